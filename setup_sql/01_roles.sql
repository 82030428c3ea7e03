-- Who does what, so that nothing runs as ACCOUNTADMIN afterwards.
--   snow sql -f setup_sql/01_roles.sql          (USERADMIN and ACCOUNTADMIN, once per account)
USE ROLE USERADMIN;

-- Owns bronze tables, stage and pipes: Snowpipe loads with its rights.
CREATE ROLE IF NOT EXISTS firn_loader COMMENT = 'Firn: loads files into the landing database';
-- Installs and runs the application.
CREATE ROLE IF NOT EXISTS firn_transformer COMMENT = 'Firn: installs and operates the application';
-- Reads gold and nothing else.
CREATE ROLE IF NOT EXISTS firn_reader COMMENT = 'Firn: reads dimensions, facts and KPIs';

-- Whoever administers objects sees what these roles own.
GRANT ROLE firn_loader TO ROLE SYSADMIN;
GRANT ROLE firn_transformer TO ROLE SYSADMIN;
GRANT ROLE firn_reader TO ROLE firn_transformer;

USE ROLE ACCOUNTADMIN;

GRANT CREATE APPLICATION PACKAGE ON ACCOUNT TO ROLE firn_transformer;
GRANT CREATE APPLICATION ON ACCOUNT TO ROLE firn_transformer;
