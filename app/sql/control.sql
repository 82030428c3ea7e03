-- Where the landing tables are; always one row.
CREATE TABLE IF NOT EXISTS control.binding (
    database_name   VARCHAR         NOT NULL,
    schema_name     VARCHAR         NOT NULL,
    bound_at        TIMESTAMP_NTZ
);
INSERT INTO control.binding (database_name, schema_name)
SELECT 'firn_landing', 'bronze'
WHERE NOT EXISTS (SELECT 1 FROM control.binding);
GRANT SELECT ON TABLE control.binding TO APPLICATION ROLE app_admin;

-- Where every step stands. The row of step 'pipeline' is the lock: a step's transaction begins by updating it.
CREATE TABLE IF NOT EXISTS control.parameter_control (
    pipeline        VARCHAR         NOT NULL,
    step            VARCHAR         NOT NULL,   -- 'pipeline', 'load customers', 'dimension dim_customer', …
    lets            TIMESTAMP_NTZ,              -- Last Extracted Time Stamp: the newest loaded_at a load has read
    late_from       TIMESTAMP_NTZ,              -- the next load starts here when rows were found below LETS - overlap
    last_batch      NUMBER          NOT NULL,   -- row 'pipeline': the counter; else: the last batch the step has seen
    run_id          VARCHAR,
    status          VARCHAR,
    updated_at      TIMESTAMP_NTZ
);
GRANT SELECT ON TABLE control.parameter_control TO APPLICATION ROLE app_admin;

-- One row per step and run. rows_read = written + duplicate + superseded + quarantined + held.
CREATE TABLE IF NOT EXISTS control.pipeline_log (
    run_id              VARCHAR         NOT NULL,
    pipeline            VARCHAR         NOT NULL,
    step                VARCHAR         NOT NULL,
    status              VARCHAR         NOT NULL,   -- succeeded, failed, skipped, nothing new
    started_at          TIMESTAMP_NTZ   NOT NULL,
    ended_at            TIMESTAMP_NTZ   NOT NULL,
    batch_no            NUMBER,
    lets_from           TIMESTAMP_NTZ,
    lets_to             TIMESTAMP_NTZ,
    rows_read           NUMBER,
    rows_written        NUMBER,
    rows_duplicate      NUMBER,
    rows_superseded     NUMBER,
    rows_quarantined    NUMBER,
    rows_held           NUMBER,
    rows_inserted       NUMBER,                     -- what happened to the target's rows
    rows_updated        NUMBER,
    rows_deleted        NUMBER,
    detail              VARIANT,
    error               VARCHAR,
    spec_version        NUMBER
);
GRANT SELECT ON TABLE control.pipeline_log TO APPLICATION ROLE app_admin;

-- Every pipeline file ever applied; one per pipeline is current.
CREATE TABLE IF NOT EXISTS control.pipeline_spec (
    pipeline        VARCHAR         NOT NULL,
    version         NUMBER          NOT NULL,
    sha256          VARCHAR         NOT NULL,
    applied_at      TIMESTAMP_NTZ   NOT NULL,
    applied_by      VARCHAR,
    spec            VARCHAR         NOT NULL,   -- the file's text
    is_current      BOOLEAN         NOT NULL
);
GRANT SELECT ON TABLE control.pipeline_spec TO APPLICATION ROLE app_admin;

-- Which rows of bronze were taken: one row per unbroken run of row numbers of one load of one file.
-- A place in a file's content (content_key, row number) is taken once; seen again it is entered as a duplicate, so that
-- the sum of row_count for a load equals what bronze holds of it and the load is not looked at again.
CREATE TABLE IF NOT EXISTS control.ledger (
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    file_name       VARCHAR         NOT NULL,
    content_key     VARCHAR         NOT NULL,
    loaded_at       TIMESTAMP_NTZ   NOT NULL,   -- the load these rows came with
    first_row       NUMBER          NOT NULL,
    last_row        NUMBER          NOT NULL,
    row_count       NUMBER          NOT NULL,
    is_duplicate    BOOLEAN         NOT NULL,
    batch_no        NUMBER          NOT NULL,
    taken_at        TIMESTAMP_NTZ   NOT NULL
);
GRANT SELECT ON TABLE control.ledger TO APPLICATION ROLE app_admin;

-- Rows that failed a check, with every check they failed and their values as received.
CREATE TABLE IF NOT EXISTS control.quarantine (
    quarantine_id   VARCHAR         NOT NULL,   -- source/content_key/row_number
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    run_id          VARCHAR         NOT NULL,
    batch_no        NUMBER          NOT NULL,
    spec_version    NUMBER          NOT NULL,
    file_name       VARCHAR         NOT NULL,
    row_number      NUMBER          NOT NULL,
    content_key     VARCHAR,
    loaded_at       TIMESTAMP_NTZ   NOT NULL,
    failed_checks   ARRAY           NOT NULL,
    row_values      VARIANT,
    quarantined_at  TIMESTAMP_NTZ   NOT NULL,
    status          VARCHAR         NOT NULL    -- waiting
);
GRANT SELECT ON TABLE control.quarantine TO APPLICATION ROLE app_admin;

-- When a key has had another version since: facts inside these windows are pointed again.
CREATE TABLE IF NOT EXISTS control.changed_window (
    pipeline        VARCHAR         NOT NULL,
    dimension       VARCHAR         NOT NULL,
    durable_key     NUMBER          NOT NULL,
    changed_from    TIMESTAMP_NTZ   NOT NULL,
    changed_to      TIMESTAMP_NTZ,              -- NULL: without end
    batch_no        NUMBER          NOT NULL
);
GRANT SELECT ON TABLE control.changed_window TO APPLICATION ROLE app_admin;
