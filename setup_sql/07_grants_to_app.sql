-- What the application may touch outside itself. Run it after `snow app run`, and again when a source was added.
USE ROLE SYSADMIN;

GRANT USAGE ON DATABASE firn_landing TO APPLICATION firn;
GRANT USAGE ON SCHEMA firn_landing.bronze TO APPLICATION firn;
-- SELECT to load, DELETE for the sweep, which removes rows that are in the ledger and past retention.
GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA firn_landing.bronze TO APPLICATION firn;

-- Run this part as the role that installed the application: it owns the application roles.
USE ROLE ACCOUNTADMIN;

GRANT APPLICATION ROLE firn.app_admin TO ROLE firn_transformer;
GRANT APPLICATION ROLE firn.app_reader TO ROLE firn_reader;
