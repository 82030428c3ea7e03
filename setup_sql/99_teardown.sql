-- Takes away everything that 01 to 13 made, with all rows of bronze; files stay in the bucket.
-- First: snow app teardown, and 98_teardown_<pipeline>.sql of every pipeline. Afterwards remove the bucket's notifications and the IAM role.
USE ROLE SYSADMIN;

ALTER ALERT IF EXISTS firn_landing.watch.tell SUSPEND;
DROP STAGE IF EXISTS firn_landing.bronze.landing;
DROP DATABASE IF EXISTS firn_landing;

USE ROLE ACCOUNTADMIN;

DROP INTEGRATION IF EXISTS firn_landing_s3;
DROP NOTIFICATION INTEGRATION IF EXISTS firn_mail;
DROP NOTIFICATION INTEGRATION IF EXISTS firn_pipe_errors;
DROP NOTIFICATION INTEGRATION IF EXISTS firn_webhook;
DROP NOTIFICATION INTEGRATION IF EXISTS firn_topic;
DROP WAREHOUSE IF EXISTS firn_wh;
DROP RESOURCE MONITOR IF EXISTS firn_monitor;
REVOKE CREATE APPLICATION PACKAGE ON ACCOUNT FROM ROLE firn_transformer;
REVOKE CREATE APPLICATION ON ACCOUNT FROM ROLE firn_transformer;

USE ROLE USERADMIN;

DROP ROLE IF EXISTS firn_cost;
DROP ROLE IF EXISTS firn_reader;
DROP ROLE IF EXISTS firn_transformer;
DROP ROLE IF EXISTS firn_loader;
