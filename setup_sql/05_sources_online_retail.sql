-- Made by `firn setup-sql` from the sources of pipeline online_retail; change the pipeline file, not this.
-- Sales of an online shop, from its daily extracts. Bronze tables, every column as text, and the pipes that fill them.
-- ON_ERROR = SKIP_FILE: a file whose structure is broken stays out whole, stays in the bucket and is told of (90_verify);
-- mend it and put it there under another name. IF NOT EXISTS: a replaced pipe would forget what it has loaded (firn pipes replace).
-- After this script: firn aws apply, which sends the bucket's events of each prefix to the pipes' queue.
USE ROLE firn_loader;

-- sales, CSV: Invoice lines as the extract names them; a line is known by its file and row.
CREATE TABLE IF NOT EXISTS firn_landing.bronze.sales (
    invoiceno     VARCHAR,
    stockcode     VARCHAR,
    description   VARCHAR,
    quantity      VARCHAR,
    invoicedate   VARCHAR,
    unitprice     VARCHAR,
    customerid    VARCHAR,
    country       VARCHAR,
    _file_name    VARCHAR,        -- object in the bucket
    _row_number   NUMBER,         -- place in the file
    _content_key  VARCHAR,        -- the object's checksum
    _modified_at  TIMESTAMP_NTZ,  -- when the object was written, UTC
    _loaded_at    TIMESTAMP_NTZ   -- when the file was read, UTC
);

CREATE PIPE IF NOT EXISTS firn_landing.bronze.sales_pipe
    AUTO_INGEST = TRUE
    COMMENT = 'Firn: s3://<bucket>/online_retail/ into bronze.sales'
AS
    COPY INTO firn_landing.bronze.sales
    FROM @firn_landing.bronze.landing/online_retail/
    FILE_FORMAT = (FORMAT_NAME = 'firn_landing.bronze.csv_with_header')
    MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
    INCLUDE_METADATA = (
        _file_name = METADATA$FILENAME,
        _row_number = METADATA$FILE_ROW_NUMBER,
        _content_key = METADATA$FILE_CONTENT_KEY,
        _modified_at = METADATA$FILE_LAST_MODIFIED,
        _loaded_at = METADATA$START_SCAN_TIME
    )
    ON_ERROR = SKIP_FILE;

-- What starts the graph. A stream that was not read for two weeks goes stale; firn pipes status says so, the ledger makes up for it.
CREATE STREAM IF NOT EXISTS firn_landing.bronze.sales_stream
    ON TABLE firn_landing.bronze.sales
    APPEND_ONLY = TRUE
    COMMENT = 'Firn: rows that arrive in bronze.sales';
