-- What everybody of the application may touch outside itself, and who may use it. Run it after `snow app run`;
-- the rights on the tables of each source are in 07_grants_<pipeline>.sql.
USE ROLE SYSADMIN;

GRANT USAGE ON DATABASE firn_landing TO APPLICATION firn;
GRANT USAGE ON SCHEMA firn_landing.bronze TO APPLICATION firn;

-- What is in the bucket, for core.reconcile(). USAGE lets the application list the bucket again before it compares; without that line it
-- compares with what was listed last. (USAGE also lets it read the files, which it has as rows of bronze anyway.)
USE ROLE firn_loader;

GRANT SELECT ON VIEW firn_landing.bronze.landing_files TO APPLICATION firn;
GRANT USAGE ON STAGE firn_landing.bronze.landing TO APPLICATION firn;

-- Run this part as the role that installed the application: it owns the application roles.
USE ROLE ACCOUNTADMIN;

GRANT APPLICATION ROLE firn.app_admin TO ROLE firn_transformer;
GRANT APPLICATION ROLE firn.app_reader TO ROLE firn_reader;
