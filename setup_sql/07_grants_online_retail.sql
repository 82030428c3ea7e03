-- Made by `firn setup-sql` from the sources of pipeline online_retail; change the pipeline file, not this.
-- What the application may do with these sources. Run it after `snow app run`, and again when a source was added.
-- SELECT to load, DELETE for the sweep, which removes rows that are in the ledger and past retention.
USE ROLE firn_loader;

GRANT SELECT, DELETE ON TABLE firn_landing.bronze.sales TO APPLICATION firn;
GRANT SELECT ON STREAM firn_landing.bronze.sales_stream TO APPLICATION firn;
