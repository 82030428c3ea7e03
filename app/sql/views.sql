-- What operators ask most, for people who prefer SQL. Views hold no state; they stand beside the tables, in a plain schema,
-- as a view of a versioned schema would be gone while an upgrade runs.

CREATE OR REPLACE VIEW control.last_runs (
    pipeline COMMENT 'Pipeline',
    run_id COMMENT 'Run; the same in control.pipeline_log, control.quarantine and the tasks of one graph run',
    started_at COMMENT 'When its first step began, UTC',
    ended_at COMMENT 'When its last step ended so far, UTC',
    seconds COMMENT 'From the first step to the last',
    status COMMENT 'failed when the newest try of a step failed, else succeeded when a step wrote, else nothing new; running before its end',
    step_count COMMENT 'Steps that ran or were skipped',
    failed_steps COMMENT 'Steps whose newest try failed, with commas between; NULL when none',
    rows_read COMMENT 'Rows its loads took from bronze',
    rows_written COMMENT 'Events its loads added to silver',
    rows_quarantined COMMENT 'Rows its loads put into quarantine',
    error COMMENT 'The first error of a failed step'
)
COMMENT = 'One row per run, the newest first when ordered by started_at DESC'
AS
WITH tries AS (
    SELECT
        pipeline, run_id, step, status, started_at, ended_at, rows_read, rows_written, rows_quarantined, error,
        ROW_NUMBER() OVER (PARTITION BY pipeline, run_id, step ORDER BY started_at DESC, ended_at DESC) AS try_no
    FROM control.pipeline_log
)
SELECT
    pipeline,
    run_id,
    MIN(started_at),
    MAX(ended_at),
    DATEDIFF('millisecond', MIN(started_at), MAX(ended_at)) / 1000,
    CASE
        WHEN MAX(IFF(status = 'begun', 1, 0)) = 1 AND MAX(IFF(status = 'ended', 1, 0)) = 0 THEN 'running'
        WHEN MAX(IFF(status = 'failed', 1, 0)) = 1 THEN 'failed'
        WHEN MAX(IFF(status = 'succeeded', 1, 0)) = 1 THEN 'succeeded'
        ELSE 'nothing new'
    END,
    COUNT_IF(status NOT IN ('begun', 'ended')),
    NULLIF(LISTAGG(IFF(status = 'failed', step, NULL), ', ') WITHIN GROUP (ORDER BY step), ''),
    SUM(IFF(step LIKE 'load %', rows_read, 0)),
    SUM(IFF(step LIKE 'load %', rows_written, 0)),
    SUM(IFF(step LIKE 'load %', rows_quarantined, 0)),
    MIN_BY(error, IFF(status = 'failed', started_at, NULL))
FROM tries
WHERE try_no = 1
GROUP BY pipeline, run_id;
GRANT SELECT ON VIEW control.last_runs TO APPLICATION ROLE app_admin;

CREATE OR REPLACE VIEW control.freshness (
    pipeline COMMENT 'Pipeline',
    target COMMENT 'What is to be fresh: a name from `freshness` in the pipeline file, else the source itself',
    source COMMENT 'Source whose arrivals it depends on',
    lets COMMENT 'Last Extracted Time Stamp: the newest arrival a load has read, UTC; NULL before the first',
    late_from COMMENT 'Set while rows were found that arrived under an old stamp; the next load takes them',
    loaded_at COMMENT 'When a load last took anything, UTC',
    lag_seconds COMMENT 'From LETS to now; NULL before the first arrival',
    allowed_seconds COMMENT 'As much as the pipeline file allows; NULL when it says nothing',
    is_late COMMENT 'Whether the lag is more than is allowed; a source that never had an arrival is late when anything is allowed'
)
COMMENT = 'How old the newest data is, against what the pipeline file allows'
AS
SELECT
    step.pipeline,
    COALESCE(allowed.target, step.source),
    step.source,
    step.lets,
    step.late_from,
    IFF(step.lets IS NULL, NULL, step.updated_at),
    DATEDIFF('second', step.lets, SYSDATE()),
    allowed.allowed_seconds,
    allowed.allowed_seconds IS NOT NULL AND COALESCE(DATEDIFF('second', step.lets, SYSDATE()) > allowed.allowed_seconds, TRUE)
FROM control.parameter_control AS step
LEFT JOIN control.freshness_allowed AS allowed ON allowed.pipeline = step.pipeline AND allowed.source = step.source
WHERE step.source IS NOT NULL;
GRANT SELECT ON VIEW control.freshness TO APPLICATION ROLE app_admin;

CREATE OR REPLACE VIEW control.row_accounts (
    pipeline COMMENT 'Pipeline',
    run_id COMMENT 'Run',
    step COMMENT 'Step; `replay <source>` for rows that left quarantine',
    started_at COMMENT 'When the step began, UTC',
    rows_read COMMENT 'Rows the step took',
    rows_written COMMENT 'of them: written',
    rows_duplicate COMMENT 'of them: known already',
    rows_superseded COMMENT 'of them: overtaken by a newer one',
    rows_quarantined COMMENT 'of them: put into quarantine, or still waiting there',
    rows_held COMMENT 'of them: held back for a later run',
    rows_unexplained COMMENT 'rows_read less all of the others: 0, or something is wrong'
)
COMMENT = 'read = written + duplicate + superseded + quarantined + held, for every step that moved rows'
AS
SELECT
    pipeline,
    run_id,
    step,
    started_at,
    rows_read,
    rows_written,
    rows_duplicate,
    rows_superseded,
    rows_quarantined,
    rows_held,
    rows_read - rows_written - rows_duplicate - rows_superseded - rows_quarantined - rows_held
FROM control.pipeline_log
WHERE status = 'succeeded';
GRANT SELECT ON VIEW control.row_accounts TO APPLICATION ROLE app_admin;

CREATE OR REPLACE VIEW control.quarantine_summary (
    pipeline COMMENT 'Pipeline',
    source COMMENT 'Source',
    check_name COMMENT 'Check; a row that failed two counts for both',
    waiting_count COMMENT 'Rows that wait for this check: it is among those they failed when last looked at',
    released_count COMMENT 'Rows that failed it first and have gone through the door since',
    discarded_count COMMENT 'Rows that failed it first and were given up',
    oldest_waiting_at COMMENT 'Since when the oldest of the waiting waits, UTC',
    newest_waiting_at COMMENT 'When the newest of the waiting came, UTC'
)
COMMENT = 'Rows in quarantine by check; see docs/quarantine.md'
AS
WITH held AS (
    SELECT
        pipeline, source, status, quarantined_at,
        IFF(status = 'waiting', COALESCE(newest_checks, failed_checks), failed_checks) AS checks
    FROM control.quarantine
)
SELECT
    held.pipeline,
    held.source,
    failed.value::VARCHAR,
    COUNT_IF(held.status = 'waiting'),
    COUNT_IF(held.status = 'released'),
    COUNT_IF(held.status = 'discarded'),
    MIN(IFF(held.status = 'waiting', held.quarantined_at, NULL)),
    MAX(IFF(held.status = 'waiting', held.quarantined_at, NULL))
FROM held, LATERAL FLATTEN(input => held.checks) AS failed
GROUP BY held.pipeline, held.source, failed.value::VARCHAR;
GRANT SELECT ON VIEW control.quarantine_summary TO APPLICATION ROLE app_admin;

CREATE OR REPLACE VIEW control.pipe_health (
    pipeline COMMENT 'Pipeline',
    source COMMENT 'Source',
    newest_arrival_at COMMENT 'The newest arrival in bronze that a load has taken, UTC',
    newest_file COMMENT 'The file it came with',
    files_last_day COMMENT 'Files whose rows arrived in the 24 hours before now',
    rows_last_day COMMENT 'Their rows, repetitions included',
    rows_repeated_last_day COMMENT 'Of them rows of files sent before, under whatever name',
    files_per_day COMMENT 'Files per day over the seven days before that'
)
COMMENT = 'What the pipes brought, as far as the loads have taken it; the errors of a pipe itself stay in the landing database: COPY_HISTORY, SYSTEM$PIPE_STATUS'
AS
SELECT
    pipeline,
    source,
    MAX(loaded_at),
    MAX_BY(file_name, loaded_at),
    COUNT(DISTINCT IFF(loaded_at > DATEADD('day', -1, SYSDATE()), file_name, NULL)),
    SUM(IFF(loaded_at > DATEADD('day', -1, SYSDATE()), row_count, 0)),
    SUM(IFF(loaded_at > DATEADD('day', -1, SYSDATE()) AND is_duplicate, row_count, 0)),
    COUNT(DISTINCT IFF(loaded_at BETWEEN DATEADD('day', -8, SYSDATE()) AND DATEADD('day', -1, SYSDATE()), file_name, NULL)) / 7
FROM control.ledger
GROUP BY pipeline, source;
GRANT SELECT ON VIEW control.pipe_health TO APPLICATION ROLE app_admin;

CREATE OR REPLACE VIEW control.slow_steps (
    pipeline COMMENT 'Pipeline',
    step COMMENT 'Step',
    run_count COMMENT 'Runs of the last 14 days in which it moved rows',
    median_seconds COMMENT 'Half of them took less',
    longest_seconds COMMENT 'The longest of them',
    newest_seconds COMMENT 'The newest of them',
    rows_per_second COMMENT 'Rows read by all of them, by the seconds of all of them; NULL when they took none'
)
COMMENT = 'How long steps take, and whether the newest took longer than usual'
AS
WITH timed AS (
    SELECT pipeline, step, started_at, rows_read, DATEDIFF('millisecond', started_at, ended_at) / 1000 AS seconds
    FROM control.pipeline_log
    WHERE status = 'succeeded' AND started_at > DATEADD('day', -14, SYSDATE())
)
SELECT
    pipeline,
    step,
    COUNT(*),
    MEDIAN(seconds),
    MAX(seconds),
    MAX_BY(seconds, started_at),
    SUM(rows_read) / NULLIF(SUM(seconds), 0)
FROM timed
GROUP BY pipeline, step;
GRANT SELECT ON VIEW control.slow_steps TO APPLICATION ROLE app_admin;
