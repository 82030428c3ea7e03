-- A mail when a step failed, and when no step has run for an hour. Run it after 07 and 08.
--   snow sql -f setup_sql/10_alerts.sql -D mail=ops@acme.example
-- The second is for pipelines on a schedule: one that runs on arrival is silent while nothing arrives.
-- The local account records alerts and does not run them; the conditions are run by tests/flow.
USE ROLE firn_transformer;

CREATE ALERT IF NOT EXISTS firn_landing.watch.step_failed
    SCHEDULE = '5 MINUTE'
    COMMENT = 'Firn: a step failed since the last look'
    IF (EXISTS (
        SELECT run_id, step, error
        FROM firn.control.pipeline_log
        WHERE
            status = 'failed'
            AND ended_at > CONVERT_TIMEZONE('UTC', SNOWFLAKE.ALERT.LAST_SUCCESSFUL_SCHEDULED_TIME())::TIMESTAMP_NTZ
    ))
    THEN CALL SYSTEM$SEND_EMAIL(
        'firn_mail',
        '<% mail | default("ops@example.org") %>',
        'Firn: a step failed',
        'SELECT step, started_at, error FROM firn.control.pipeline_log WHERE status = ''failed'' ORDER BY started_at DESC'
    );

CREATE ALERT IF NOT EXISTS firn_landing.watch.nothing_runs
    SCHEDULE = '15 MINUTE'
    COMMENT = 'Firn: a pipeline has not run for an hour'
    IF (EXISTS (
        SELECT pipeline
        FROM firn.control.pipeline_log
        GROUP BY pipeline
        HAVING MAX(ended_at) < DATEADD('hour', -1, SYSDATE())
    ))
    THEN CALL SYSTEM$SEND_EMAIL(
        'firn_mail',
        '<% mail | default("ops@example.org") %>',
        'Firn: a pipeline has not run for an hour',
        'SELECT name, state, error_message FROM TABLE(firn.INFORMATION_SCHEMA.TASK_HISTORY()) ORDER BY scheduled_time DESC'
    );

ALTER ALERT firn_landing.watch.step_failed RESUME;
ALTER ALERT firn_landing.watch.nothing_runs RESUME;
