-- Optional: alerts into a Slack channel. Run it after 10.
--   snow sql -f setup_sql/11_webhook.sql -D "slack=$SLACK_SECRET"      (of https://hooks.slack.com/services/<secret>)
-- For Teams, PagerDuty, Jira or ServiceNow change URL, template and headers: docs.snowflake.com/en/user-guide/notifications/webhook-notifications
-- The message is one line without double quotes and backslashes, so that a template of JSON stays JSON.
USE ROLE SYSADMIN;

CREATE SECRET IF NOT EXISTS firn_landing.watch.webhook_secret
    TYPE = GENERIC_STRING
    SECRET_STRING = '<% slack | default("T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX") %>'
    COMMENT = 'Firn: of the webhook for alerts';
GRANT READ ON SECRET firn_landing.watch.webhook_secret TO ROLE firn_transformer;

USE ROLE ACCOUNTADMIN;

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS firn_webhook
    TYPE = WEBHOOK
    ENABLED = TRUE
    WEBHOOK_URL = 'https://hooks.slack.com/services/SNOWFLAKE_WEBHOOK_SECRET'
    WEBHOOK_SECRET = firn_landing.watch.webhook_secret
    WEBHOOK_BODY_TEMPLATE = '{"text": "SNOWFLAKE_WEBHOOK_MESSAGE"}'
    WEBHOOK_HEADERS = ('Content-Type' = 'application/json')
    COMMENT = 'Firn: alerts';
GRANT USAGE ON INTEGRATION firn_webhook TO ROLE firn_transformer;

USE ROLE firn_transformer;

INSERT INTO firn_landing.watch.way_out (integration, kind, since)
SELECT 'firn_webhook', 'webhook', SYSDATE()
WHERE NOT EXISTS (SELECT 1 FROM firn_landing.watch.way_out WHERE integration = 'firn_webhook');
