-- Takes away everything that 01 to 07 made, with all rows of bronze; files stay in the bucket.
-- First: snow app teardown. Afterwards remove the bucket's notifications and the IAM role.
USE ROLE SYSADMIN;

-- Pipes first: they stop reading the queue.
DROP PIPE IF EXISTS firn_landing.bronze.customers_pipe;
DROP PIPE IF EXISTS firn_landing.bronze.inventory_pipe;
DROP PIPE IF EXISTS firn_landing.bronze.web_events_pipe;
DROP PIPE IF EXISTS firn_landing.bronze.orders_pipe;
DROP PIPE IF EXISTS firn_landing.bronze.sales_pipe;
DROP STAGE IF EXISTS firn_landing.bronze.landing;
DROP DATABASE IF EXISTS firn_landing;

USE ROLE ACCOUNTADMIN;

DROP INTEGRATION IF EXISTS firn_landing_s3;
REVOKE CREATE APPLICATION PACKAGE ON ACCOUNT FROM ROLE firn_transformer;
REVOKE CREATE APPLICATION ON ACCOUNT FROM ROLE firn_transformer;

USE ROLE USERADMIN;

DROP ROLE IF EXISTS firn_reader;
DROP ROLE IF EXISTS firn_transformer;
DROP ROLE IF EXISTS firn_loader;
