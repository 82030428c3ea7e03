-- How files are written, and where they are. One stage for the whole bucket: a pipe names the prefix of its source.
--   snow sql -f setup_sql/04_file_formats_and_stage.sql -D bucket=my-landing
USE ROLE firn_loader;

-- Columns by their header names, everything as text: only broken structure can fail a file.
-- An empty field is NULL, "" is an empty text, a backslash is a character; a short line leaves NULLs.
CREATE FILE FORMAT IF NOT EXISTS firn_landing.bronze.csv_with_header
    TYPE = CSV
    PARSE_HEADER = TRUE
    FIELD_OPTIONALLY_ENCLOSED_BY = '"'
    ESCAPE_UNENCLOSED_FIELD = NONE
    EMPTY_FIELD_AS_NULL = TRUE
    ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE
    COMMENT = 'Firn: CSV with a header';

-- One document per line; it lands whole, as one VARIANT.
CREATE FILE FORMAT IF NOT EXISTS firn_landing.bronze.json_documents
    TYPE = JSON
    COMMENT = 'Firn: JSON, one document per line';

-- Logical types, or a time without a zone would land as a number of microseconds.
CREATE FILE FORMAT IF NOT EXISTS firn_landing.bronze.parquet_columns
    TYPE = PARQUET
    USE_LOGICAL_TYPE = TRUE
    COMMENT = 'Firn: Parquet';

CREATE STAGE IF NOT EXISTS firn_landing.bronze.landing
    URL = 's3://<% bucket | default("firn-landing") %>/'
    STORAGE_INTEGRATION = firn_landing_s3
    COMMENT = 'Firn: the landing bucket';

-- What is in the bucket, for core.reconcile(): it holds this against what arrived. The application refreshes the directory itself, for the
-- prefixes of its sources; it is not filled here, as the bucket's role may not be there yet.
ALTER STAGE firn_landing.bronze.landing SET DIRECTORY = (ENABLE = TRUE);

CREATE VIEW IF NOT EXISTS firn_landing.bronze.landing_files
    COMMENT = 'Firn: files of the landing bucket when it was last looked at'
AS
SELECT
    relative_path AS file_name,
    size AS byte_count,
    CONVERT_TIMEZONE('UTC', last_modified)::TIMESTAMP_NTZ AS modified_at
FROM DIRECTORY(@firn_landing.bronze.landing);
