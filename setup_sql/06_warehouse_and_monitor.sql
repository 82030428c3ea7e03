-- A warehouse for people (verification, questions to gold) and its limit. The application's own tasks are serverless and the pipes
-- too: no resource monitor counts them; set a budget on the database for these.
-- Another limit later: ALTER RESOURCE MONITOR firn_monitor SET CREDIT_QUOTA = 50.
-- ACCOUNTADMIN: Snowflake lets no other role make a monitor or assign one to a warehouse.
-- The local account records both and neither limits nor runs anything by them.
USE ROLE ACCOUNTADMIN;

CREATE RESOURCE MONITOR IF NOT EXISTS firn_monitor WITH
    CREDIT_QUOTA = 20
    FREQUENCY = MONTHLY
    START_TIMESTAMP = IMMEDIATELY
    TRIGGERS
        ON 80 PERCENT DO NOTIFY
        ON 100 PERCENT DO SUSPEND;

CREATE WAREHOUSE IF NOT EXISTS firn_wh
    WAREHOUSE_SIZE = XSMALL
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    RESOURCE_MONITOR = firn_monitor
    COMMENT = 'Firn: people, never the pipeline';

GRANT USAGE ON WAREHOUSE firn_wh TO ROLE firn_loader;
GRANT USAGE ON WAREHOUSE firn_wh TO ROLE firn_transformer;
GRANT USAGE ON WAREHOUSE firn_wh TO ROLE firn_reader;
