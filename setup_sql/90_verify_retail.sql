-- Made by `firn setup-sql` from the sources of pipeline retail; change the pipeline file, not this.
-- Is everything in place, and did everything load? Changes nothing. Needs a warehouse: snow sql --warehouse firn_wh -f …
USE ROLE SYSADMIN;

LIST @firn_landing.bronze.landing/crm/customers/;
LIST @firn_landing.bronze.landing/erp/inventory/;
LIST @firn_landing.bronze.landing/web/events/;
LIST @firn_landing.bronze.landing/shop/orders/;

-- executionState is RUNNING, pendingFileCount goes back to 0.
SELECT
    SYSTEM$PIPE_STATUS('firn_landing.bronze.customers_pipe') AS customers,
    SYSTEM$PIPE_STATUS('firn_landing.bronze.inventory_pipe') AS inventory,
    SYSTEM$PIPE_STATUS('firn_landing.bronze.web_events_pipe') AS web_events,
    SYSTEM$PIPE_STATUS('firn_landing.bronze.orders_pipe') AS orders;

-- Rows and files by source.
SELECT 'customers' AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest
FROM firn_landing.bronze.customers
UNION ALL
SELECT 'inventory' AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest
FROM firn_landing.bronze.inventory
UNION ALL
SELECT 'web_events' AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest
FROM firn_landing.bronze.web_events
UNION ALL
SELECT 'orders' AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest
FROM firn_landing.bronze.orders
ORDER BY source;

-- Files of the last day that did not load, or not whole; one query per table.
SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => 'firn_landing.bronze.customers', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;

SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => 'firn_landing.bronze.inventory', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;

SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => 'firn_landing.bronze.web_events', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;

SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => 'firn_landing.bronze.orders', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;
