-- Optional: what each step of each run cost, from the account's own history. Run it after 10.
-- QUERY_HISTORY holds the text of every statement of the account. So a role of its own reads it, which is granted to nobody; its views show Firn's
-- statements only, and firn_transformer reads the views. The application needs and gets none of this.
-- ACCOUNT_USAGE lags: QUERY_HISTORY up to 45 minutes, QUERY_ATTRIBUTION_HISTORY up to 8 hours, SERVERLESS_TASK_HISTORY up to 3 hours.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS firn_cost COMMENT = 'Firn: owns the views of what runs cost; for nobody to take';

USE ROLE ACCOUNTADMIN;

GRANT DATABASE ROLE SNOWFLAKE.GOVERNANCE_VIEWER TO ROLE firn_cost;
GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE firn_cost;
GRANT ROLE firn_cost TO ROLE ACCOUNTADMIN;

USE ROLE SYSADMIN;

GRANT USAGE ON DATABASE firn_landing TO ROLE firn_cost;
GRANT USAGE ON SCHEMA firn_landing.watch TO ROLE firn_cost;
GRANT CREATE VIEW ON SCHEMA firn_landing.watch TO ROLE firn_cost;

-- ACCOUNTADMIN made the grant above so that this role can be taken here.
USE ROLE firn_cost;

CREATE OR REPLACE VIEW firn_landing.watch.cost_by_step (
    pipeline COMMENT 'Name of the pipeline',
    step COMMENT 'Step as in control.pipeline_log; open: reading the pipeline file',
    run_id COMMENT 'The run, as in control.pipeline_log; NULL for what a task does before it knows its run',
    first_at COMMENT 'Start of the first statement, UTC',
    last_at COMMENT 'End of the last statement, UTC',
    statement_count COMMENT 'Statements, without the CALL around them',
    failed_count COMMENT 'Of these, how many failed',
    seconds COMMENT 'Seconds the statements took, together',
    rows_produced COMMENT 'Rows read by queries and changed by DML',
    bytes_scanned COMMENT 'Bytes read from tables; NULL on the local account',
    compute_credits COMMENT 'Credits of a warehouse; NULL for serverless tasks, see cost_by_task, and for statements under about 0.1 s',
    cloud_services_credits COMMENT 'Credits of cloud services before the daily adjustment; NULL on the local account'
)
COMMENT = 'What each step of each run took and cost, by the tag its statements carry'
AS
WITH tagged AS (
    SELECT
        query_id,
        query_type,
        PARSE_JSON(query_tag) AS tag,
        CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ AS started_at,
        CONVERT_TIMEZONE('UTC', end_time)::TIMESTAMP_NTZ AS ended_at,
        execution_status,
        total_elapsed_time,
        rows_produced,
        bytes_scanned,
        credits_used_cloud_services
    FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY
    WHERE query_tag LIKE '{"app":"firn",%}'
)

SELECT
    tagged.tag:pipeline::VARCHAR AS pipeline,
    tagged.tag:step::VARCHAR AS step,
    tagged.tag:run_id::VARCHAR AS run_id,
    MIN(tagged.started_at) AS first_at,
    MAX(tagged.ended_at) AS last_at,
    COUNT_IF(tagged.query_type <> 'CALL') AS statement_count,
    COUNT_IF(tagged.query_type <> 'CALL' AND tagged.execution_status <> 'SUCCESS') AS failed_count,
    SUM(IFF(tagged.query_type <> 'CALL', tagged.total_elapsed_time, 0)) / 1000 AS seconds,
    SUM(IFF(tagged.query_type <> 'CALL', tagged.rows_produced, 0)) AS rows_produced,
    SUM(tagged.bytes_scanned) AS bytes_scanned,
    SUM(attributed.credits_attributed_compute) AS compute_credits,
    SUM(tagged.credits_used_cloud_services) AS cloud_services_credits
FROM tagged
LEFT JOIN SNOWFLAKE.ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY AS attributed ON tagged.query_id = attributed.query_id
GROUP BY pipeline, step, run_id;

CREATE OR REPLACE VIEW firn_landing.watch.cost_by_task (
    task_name COMMENT 'Task of the graph: pipeline, step and target',
    used_on COMMENT 'Day, UTC',
    credits COMMENT 'Credits billed for the serverless task'
)
COMMENT = 'What each serverless task was billed, by day'
AS
SELECT
    LOWER(task_name) AS task_name,
    CONVERT_TIMEZONE('UTC', start_time)::DATE AS used_on,
    SUM(TO_DOUBLE(credits_used)) AS credits
FROM SNOWFLAKE.ACCOUNT_USAGE.SERVERLESS_TASK_HISTORY
WHERE database_name = 'FIRN' AND schema_name = 'TASKS'
GROUP BY task_name, used_on;

GRANT SELECT ON VIEW firn_landing.watch.cost_by_step TO ROLE firn_transformer;
GRANT SELECT ON VIEW firn_landing.watch.cost_by_task TO ROLE firn_transformer;
