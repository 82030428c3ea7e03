-- Made by `firn setup-sql` from the sources of pipeline online_retail; change the pipeline file, not this.
-- Is everything in place, and did everything load? Changes nothing. Needs a warehouse: snow sql --warehouse firn_wh -f …
USE ROLE SYSADMIN;

LIST @firn_landing.bronze.landing/online_retail/;

-- executionState is RUNNING, pendingFileCount goes back to 0.
SELECT
    SYSTEM$PIPE_STATUS('firn_landing.bronze.sales_pipe') AS sales;

-- Rows and files by source.
SELECT 'sales' AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest
FROM firn_landing.bronze.sales
ORDER BY source;

-- stale is false. When it is true: firn pipes status says what to do.
SHOW STREAMS IN SCHEMA firn_landing.bronze;

-- Files of the last day that did not load, or not whole; one query per table.
SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => 'firn_landing.bronze.sales', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;
