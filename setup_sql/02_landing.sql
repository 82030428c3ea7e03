-- Where files land: a database of its own, outside the application, so that it outlives an uninstall.
USE ROLE SYSADMIN;

CREATE DATABASE IF NOT EXISTS firn_landing COMMENT = 'Firn: rows as they came';
CREATE SCHEMA IF NOT EXISTS firn_landing.bronze COMMENT = 'Firn: one table and one pipe per source';

GRANT USAGE ON DATABASE firn_landing TO ROLE firn_loader;
GRANT USAGE ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE TABLE ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE FILE FORMAT ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE STAGE ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE PIPE ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE VIEW ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
GRANT CREATE STREAM ON SCHEMA firn_landing.bronze TO ROLE firn_loader;
