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
-- The counts are rows of the last batch: rows_read = written + duplicate + superseded + quarantined + held.
CREATE TABLE IF NOT EXISTS control.parameter_control (
    pipeline            VARCHAR         NOT NULL,
    step                VARCHAR         NOT NULL,   -- 'pipeline', 'load customers', 'dimension dim_customer', …
    source              VARCHAR,                    -- of a load: its source
    lets                TIMESTAMP_NTZ,              -- Last Extracted Time Stamp: the newest loaded_at a load has read
    overlap_seconds     NUMBER,                     -- a load looks for rows from LETS less this
    late_from           TIMESTAMP_NTZ,              -- the next load starts here when rows were found below LETS - overlap
    last_batch          NUMBER          NOT NULL,   -- row 'pipeline': the counter; else: the last batch the step has seen
    run_id              VARCHAR,                    -- the run that wrote last
    status              VARCHAR,                    -- row 'pipeline': running, succeeded, failed, nothing new; else: of the last batch
    rows_read           NUMBER,
    rows_written        NUMBER,
    rows_duplicate      NUMBER,
    rows_superseded     NUMBER,
    rows_quarantined    NUMBER,
    rows_held           NUMBER,
    updated_at          TIMESTAMP_NTZ
);
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS source VARCHAR;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS overlap_seconds NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_read NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_written NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_duplicate NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_superseded NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_quarantined NUMBER;
ALTER TABLE control.parameter_control ADD COLUMN IF NOT EXISTS rows_held NUMBER;
GRANT SELECT ON TABLE control.parameter_control TO APPLICATION ROLE app_admin;

-- One row per step and run. rows_read = written + duplicate + superseded + quarantined + held.
CREATE TABLE IF NOT EXISTS control.pipeline_log (
    run_id              VARCHAR         NOT NULL,
    pipeline            VARCHAR         NOT NULL,
    step                VARCHAR         NOT NULL,
    status              VARCHAR         NOT NULL,   -- succeeded, failed, skipped, nothing new; of begin and finish: begun, ended
                                                    -- skipped: after a failed step; or detail:reason says budget
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
    error_class         VARCHAR,                    -- transient, data, contract, guard, unknown
    spec_version        NUMBER
);
ALTER TABLE control.pipeline_log ADD COLUMN IF NOT EXISTS error_class VARCHAR;
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
    taken_at        TIMESTAMP_NTZ   NOT NULL,
    event_count         NUMBER,                 -- of row_count: became events; NULL in rows from before it was counted
    quarantined_count   NUMBER                  -- of row_count: wait in quarantine; the rest said nothing new
);
ALTER TABLE control.ledger ADD COLUMN IF NOT EXISTS event_count NUMBER;
ALTER TABLE control.ledger ADD COLUMN IF NOT EXISTS quarantined_count NUMBER;
GRANT SELECT ON TABLE control.ledger TO APPLICATION ROLE app_admin;

-- What was taken of a file whose rows the sweep has deleted; kept for good, so that a file sent again years later is known.
-- Entries of the ledger are folded into it when all of a file's are past retention and gone from bronze.
CREATE TABLE IF NOT EXISTS control.file_ledger (
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    file_name       VARCHAR         NOT NULL,
    content_key     VARCHAR         NOT NULL,
    first_row       NUMBER,                     -- of the rows taken, an unbroken range; NULL: all were duplicates
    last_row        NUMBER,
    rows_taken      NUMBER          NOT NULL,   -- to silver or quarantine, or found to be there
    rows_duplicate  NUMBER          NOT NULL,   -- rows whose place in the content had been taken before
    first_taken_at  TIMESTAMP_NTZ   NOT NULL,
    last_taken_at   TIMESTAMP_NTZ   NOT NULL,
    last_loaded_at  TIMESTAMP_NTZ   NOT NULL,   -- the newest load of the file
    folded_at       TIMESTAMP_NTZ   NOT NULL,
    event_count         NUMBER,                 -- as in the ledger
    quarantined_count   NUMBER
);
ALTER TABLE control.file_ledger ADD COLUMN IF NOT EXISTS event_count NUMBER;
ALTER TABLE control.file_ledger ADD COLUMN IF NOT EXISTS quarantined_count NUMBER;
GRANT SELECT ON TABLE control.file_ledger TO APPLICATION ROLE app_admin;

-- The loads of files that a load step has in hand, counted in bronze before their rows are read; empty between loads.
CREATE TABLE IF NOT EXISTS control.loads_in_hand (
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    waiting_file    VARCHAR         NOT NULL,
    waiting_content VARCHAR         NOT NULL,
    waiting_at      TIMESTAMP_NTZ   NOT NULL,
    row_count       NUMBER          NOT NULL,   -- rows that bronze holds of it and the ledger has not
    is_plain        BOOLEAN         NOT NULL    -- nothing of its content was taken before, or is in hand twice
);
GRANT SELECT ON TABLE control.loads_in_hand TO APPLICATION ROLE app_admin;

-- Rows that failed a check, with every check they failed and their values as received. None is taken out when it is
-- decided what becomes of it: released rows are in silver (or equal one that is), discarded ones are given up.
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
    status          VARCHAR         NOT NULL,   -- waiting, released, discarded
    corrected_values    VARIANT,                -- row_values with the corrections made since; NULL: none
    newest_checks       ARRAY,                  -- failed at the newest replay; NULL: none yet
    newest_spec_version NUMBER,
    checked_at          TIMESTAMP_NTZ,          -- the newest replay
    released_as         VARCHAR,                -- event, duplicate
    decided_at          TIMESTAMP_NTZ,          -- when the status became what it is
    decided_by          VARCHAR,                -- NULL from the console without READ SESSION
    decided_run_id      VARCHAR,
    reason              VARCHAR                 -- of the newest discard or restore
);
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS corrected_values VARIANT;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS newest_checks ARRAY;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS newest_spec_version NUMBER;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS checked_at TIMESTAMP_NTZ;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS released_as VARCHAR;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS decided_at TIMESTAMP_NTZ;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS decided_by VARCHAR;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS decided_run_id VARCHAR;
ALTER TABLE control.quarantine ADD COLUMN IF NOT EXISTS reason VARCHAR;
GRANT SELECT ON TABLE control.quarantine TO APPLICATION ROLE app_admin;

-- Every correction ever made, one row per column; nothing here is changed or taken out.
CREATE TABLE IF NOT EXISTS control.quarantine_correction (
    quarantine_id   VARCHAR         NOT NULL,
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    column_name     VARCHAR         NOT NULL,
    old_value       VARIANT,                    -- before this correction
    new_value       VARIANT,
    corrected_at    TIMESTAMP_NTZ   NOT NULL,
    corrected_by    VARCHAR,
    run_id          VARCHAR         NOT NULL
);
GRANT SELECT ON TABLE control.quarantine_correction TO APPLICATION ROLE app_admin;

-- Every decision that moved rows out of the quarantine or back into it, one row per call.
CREATE TABLE IF NOT EXISTS control.quarantine_decision (
    pipeline        VARCHAR         NOT NULL,
    source          VARCHAR         NOT NULL,
    decision        VARCHAR         NOT NULL,   -- released, discarded, restored
    selected        VARCHAR,                    -- the check or the quarantine_id; NULL: all rows of the source
    reason          VARCHAR,
    row_count       NUMBER          NOT NULL,
    decided_at      TIMESTAMP_NTZ   NOT NULL,
    decided_by      VARCHAR,
    run_id          VARCHAR         NOT NULL
);
GRANT SELECT ON TABLE control.quarantine_decision TO APPLICATION ROLE app_admin;

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

-- What moves a stream: loads of pipelines that run on arrival read theirs into here. It never has rows.
CREATE TABLE IF NOT EXISTS control.stream_read (
    content_key     VARCHAR
);
GRANT SELECT ON TABLE control.stream_read TO APPLICATION ROLE app_admin;

-- What reconcile found, one row per comparison: how many rows each side has, how many differ, and which, by name.
CREATE TABLE IF NOT EXISTS control.reconciliation (
    reconciled_at       TIMESTAMP_NTZ   NOT NULL,
    run_id              VARCHAR         NOT NULL,
    pipeline            VARCHAR         NOT NULL,
    part                VARCHAR         NOT NULL,   -- 'source orders', 'dimension dim_customer', 'fact fact_orders', …
    comparison          VARCHAR         NOT NULL,   -- 'ledger and silver', …
    expected_count      NUMBER,
    found_count         NUMBER,
    difference_count    NUMBER,                     -- 0: the sides agree; NULL: not compared, see detail
    detail              VARIANT
);
GRANT SELECT ON TABLE control.reconciliation TO APPLICATION ROLE app_admin;

-- How old what a step reads may be: the `freshness` of the applied pipeline files, with the source behind each name.
CREATE TABLE IF NOT EXISTS control.freshness_allowed (
    pipeline            VARCHAR         NOT NULL,
    target              VARCHAR         NOT NULL,   -- a source, dimension, fact or KPI
    source              VARCHAR         NOT NULL,   -- whose arrivals it depends on
    allowed_seconds     NUMBER          NOT NULL
);
GRANT SELECT ON TABLE control.freshness_allowed TO APPLICATION ROLE app_admin;

-- What somebody should be told: a row when something goes wrong, another when it is over. An alert is open while no row
-- recovers it, and is raised once however many runs it lasts.
CREATE TABLE IF NOT EXISTS control.alerts (
    alert_id        VARCHAR         NOT NULL,
    pipeline        VARCHAR         NOT NULL,
    kind            VARCHAR         NOT NULL,   -- failure, freshness, quarantine_spike, volume_anomaly, accounts_imbalance, budget
    subject         VARCHAR         NOT NULL,   -- the step, target or source it is about
    state           VARCHAR         NOT NULL,   -- raised, recovered
    severity        VARCHAR         NOT NULL,   -- error, warning
    message         VARCHAR         NOT NULL,
    detail          VARIANT,
    run_id          VARCHAR         NOT NULL,
    happened_at     TIMESTAMP_NTZ   NOT NULL,
    recovers        VARCHAR                     -- of a recovery: the alert that is over
);
GRANT SELECT ON TABLE control.alerts TO APPLICATION ROLE app_admin;
