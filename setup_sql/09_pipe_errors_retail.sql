-- Made by `firn setup-sql` from the sources of pipeline retail; change the pipeline file, not this.
-- A file that a pipe could not load becomes a message to the topic of 08_notifications.sql. The local account records this and sends nothing.
USE ROLE firn_loader;

ALTER PIPE firn_landing.bronze.customers_pipe SET ERROR_INTEGRATION = firn_pipe_errors;
ALTER PIPE firn_landing.bronze.inventory_pipe SET ERROR_INTEGRATION = firn_pipe_errors;
ALTER PIPE firn_landing.bronze.web_events_pipe SET ERROR_INTEGRATION = firn_pipe_errors;
ALTER PIPE firn_landing.bronze.orders_pipe SET ERROR_INTEGRATION = firn_pipe_errors;
