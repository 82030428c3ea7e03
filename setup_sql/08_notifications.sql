-- Ways out: mail for alerts, an SNS topic of yours for files that a pipe could not load. More of them: 11_webhook.sql, 12_topic.sql.
--   snow sql -f setup_sql/08_notifications.sql -D mail=ops@acme.example -D topic=arn:aws:sns:… -D topic_role=arn:aws:iam::…
-- The address must be one that a user of the account has verified. The role lets Snowflake's user (DESC INTEGRATION firn_pipe_errors:
-- SF_AWS_IAM_USER_ARN, SF_AWS_EXTERNAL_ID) publish to the one topic and nothing else.
-- ACCOUNTADMIN: integrations are made by no lower role unless it was given CREATE INTEGRATION.
USE ROLE ACCOUNTADMIN;

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS firn_mail
    TYPE = EMAIL
    ENABLED = TRUE
    ALLOWED_RECIPIENTS = ('<% mail | default("ops@example.org") %>')
    DEFAULT_RECIPIENTS = ('<% mail | default("ops@example.org") %>')
    COMMENT = 'Firn: alerts';

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS firn_pipe_errors
    ENABLED = TRUE
    TYPE = QUEUE
    DIRECTION = OUTBOUND
    NOTIFICATION_PROVIDER = AWS_SNS
    AWS_SNS_TOPIC_ARN = '<% topic | default("arn:aws:sns:us-east-1:123456789012:firn-pipe-errors") %>'
    AWS_SNS_ROLE_ARN = '<% topic_role | default("arn:aws:iam::123456789012:role/firn-pipe-errors") %>'
    COMMENT = 'Firn: files that a pipe could not load';

GRANT USAGE ON INTEGRATION firn_mail TO ROLE firn_transformer;
GRANT USAGE ON INTEGRATION firn_pipe_errors TO ROLE firn_loader;

-- Alerts run without a warehouse, as the role that owns them.
GRANT EXECUTE ALERT ON ACCOUNT TO ROLE firn_transformer;
GRANT EXECUTE MANAGED ALERT ON ACCOUNT TO ROLE firn_transformer;

USE ROLE SYSADMIN;

CREATE SCHEMA IF NOT EXISTS firn_landing.watch COMMENT = 'Firn: alerts';
GRANT USAGE ON DATABASE firn_landing TO ROLE firn_transformer;
GRANT USAGE ON SCHEMA firn_landing.watch TO ROLE firn_transformer;
GRANT CREATE ALERT ON SCHEMA firn_landing.watch TO ROLE firn_transformer;
GRANT CREATE TABLE ON SCHEMA firn_landing.watch TO ROLE firn_transformer;
GRANT CREATE VIEW ON SCHEMA firn_landing.watch TO ROLE firn_transformer;
GRANT CREATE PROCEDURE ON SCHEMA firn_landing.watch TO ROLE firn_transformer;
