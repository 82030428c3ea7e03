-- Optional: alerts as JSON into an SNS topic of yours, for CloudWatch, PagerDuty, queues or a chat bot behind it. Run it after 10.
--   firn aws topic apply --profile acme                       (topic; the role waits for the integration)
--   snow sql -f setup_sql/12_topic.sql -D alert_topic=arn:aws:sns:… -D alert_role=arn:aws:iam::…
--   firn aws topic apply --profile acme --connection acme --from-account      (role: Snowflake's user may publish to the one topic)
-- Snowflake accounts on AWS only; a standard topic, not FIFO.
USE ROLE ACCOUNTADMIN;

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS firn_topic
    ENABLED = TRUE
    TYPE = QUEUE
    DIRECTION = OUTBOUND
    NOTIFICATION_PROVIDER = AWS_SNS
    AWS_SNS_TOPIC_ARN = '<% alert_topic | default("arn:aws:sns:us-east-1:123456789012:firn-alerts") %>'
    AWS_SNS_ROLE_ARN = '<% alert_role | default("arn:aws:iam::123456789012:role/firn-alerts-publisher") %>'
    COMMENT = 'Firn: alerts';
GRANT USAGE ON INTEGRATION firn_topic TO ROLE firn_transformer;

USE ROLE firn_transformer;

INSERT INTO firn_landing.watch.way_out (integration, kind, since)
SELECT 'firn_topic', 'topic', SYSDATE()
WHERE NOT EXISTS (SELECT 1 FROM firn_landing.watch.way_out WHERE integration = 'firn_topic');
