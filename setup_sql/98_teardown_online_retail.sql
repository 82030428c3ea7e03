-- Made by `firn setup-sql` from the sources of pipeline online_retail; change the pipeline file, not this.
-- Takes away what 05 made for these sources, with their rows of bronze; files stay in the bucket. Pipes first: they stop reading the queue.
USE ROLE firn_loader;

DROP PIPE IF EXISTS firn_landing.bronze.sales_pipe;
DROP STREAM IF EXISTS firn_landing.bronze.sales_stream;
DROP TABLE IF EXISTS firn_landing.bronze.sales;
