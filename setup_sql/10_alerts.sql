-- Rows of firn.control.alerts go out, each once by every way listed in firn_landing.watch.way_out; so does the news that a pipeline
-- has stopped, which nothing inside it can tell. Run it after 07 and 08; again at any time.
--   snow sql -f setup_sql/10_alerts.sql -D quiet_minutes=60
-- Why out here: docs/alerts.md. Other ways out than mail: 11_webhook.sql, 12_topic.sql.
USE ROLE firn_transformer;

-- By what messages leave; a row more is a way more.
CREATE TABLE IF NOT EXISTS firn_landing.watch.way_out (
    integration     VARCHAR         NOT NULL,   -- a notification integration that firn_transformer may use
    kind            VARCHAR         NOT NULL,   -- mail, webhook, topic
    since           TIMESTAMP_NTZ   NOT NULL,   -- UTC: what happened before is not told
    looked_at       TIMESTAMP_NTZ               -- UTC; updated first, so that two deliveries by one way wait for each other
);
INSERT INTO firn_landing.watch.way_out (integration, kind, since)
SELECT 'firn_mail', 'mail', SYSDATE()
WHERE NOT EXISTS (SELECT 1 FROM firn_landing.watch.way_out WHERE integration = 'firn_mail');

-- What has been handed over, with the message in one transaction.
CREATE TABLE IF NOT EXISTS firn_landing.watch.delivered (
    integration     VARCHAR         NOT NULL,
    alert_id        VARCHAR         NOT NULL,
    delivered_at    TIMESTAMP_NTZ   NOT NULL    -- UTC
);

-- Pipelines that stopped, in the columns of firn.control.alerts.
CREATE TABLE IF NOT EXISTS firn_landing.watch.stopped (
    alert_id        VARCHAR         NOT NULL,
    pipeline        VARCHAR         NOT NULL,
    kind            VARCHAR         NOT NULL,   -- stopped
    subject         VARCHAR         NOT NULL,   -- the pipeline
    state           VARCHAR         NOT NULL,   -- raised, recovered
    severity        VARCHAR         NOT NULL,
    message         VARCHAR         NOT NULL,
    run_id          VARCHAR,
    happened_at     TIMESTAMP_NTZ   NOT NULL,   -- UTC
    recovers        VARCHAR
);

-- Pipelines of which it is news that they have stopped (open_alert is NULL) or run again (it is not).
CREATE OR REPLACE VIEW firn_landing.watch.stopping
    COMMENT = 'Pipelines that have stopped or run again since somebody was told'
AS
WITH newest AS (
    SELECT log.pipeline, MAX(log.ended_at) AS newest_at
    FROM firn.control.pipeline_log AS log
    INNER JOIN firn.control.pipeline_spec AS spec ON log.pipeline = spec.pipeline AND spec.is_current
    GROUP BY log.pipeline
),

open_alert AS (
    SELECT pipeline, alert_id
    FROM firn_landing.watch.stopped
    WHERE
        state = 'raised'
        AND alert_id NOT IN (SELECT recovers FROM firn_landing.watch.stopped WHERE recovers IS NOT NULL)
)

SELECT newest.pipeline, newest.newest_at, open_alert.alert_id AS open_alert
FROM newest
LEFT JOIN open_alert ON newest.pipeline = open_alert.pipeline
WHERE (newest.newest_at < DATEADD('minute', -TO_NUMBER('<% quiet_minutes | default("60") %>'), SYSDATE())) = (open_alert.alert_id IS NULL);

-- What is still to be told, by each way.
CREATE OR REPLACE VIEW firn_landing.watch.waiting
    COMMENT = 'Alerts that have not gone out, by way out'
AS
WITH event AS (
    SELECT alert_id, pipeline, kind, subject, state, severity, message, run_id, happened_at, recovers FROM firn.control.alerts
    UNION ALL
    SELECT alert_id, pipeline, kind, subject, state, severity, message, run_id, happened_at, recovers FROM firn_landing.watch.stopped
)

SELECT
    way_out.integration,
    way_out.kind AS way,
    event.alert_id,
    event.pipeline,
    event.kind,
    event.subject,
    event.state,
    event.severity,
    event.message,
    event.run_id,
    event.happened_at,
    event.recovers
FROM event
LEFT JOIN event AS first ON event.recovers = first.alert_id
INNER JOIN firn_landing.watch.way_out AS way_out
    ON COALESCE(first.happened_at, event.happened_at) >= way_out.since    -- nobody is told the end of what he was not told
LEFT JOIN firn_landing.watch.delivered AS delivered
    ON way_out.integration = delivered.integration AND event.alert_id = delivered.alert_id
WHERE delivered.alert_id IS NULL;

-- With its caller's rights: who calls it needs the tables and the integrations himself, and the procedure lends them to nobody.
CREATE OR REPLACE PROCEDURE firn_landing.watch.deliver()
RETURNS VARIANT
LANGUAGE PYTHON
RUNTIME_VERSION = '3.11'
PACKAGES = ('snowflake-snowpark-python')
HANDLER = 'deliver'
COMMENT = 'Sends what waits, the oldest first, each message and its mark in one transaction'
EXECUTE AS CALLER
AS
$$
import json
import uuid

WATCH = "firn_landing.watch"
MOST = 20  # messages by one way at a time; the next look sends the rest


def deliver(session):
    note_stops(session)
    sent, failed = {}, {}
    for row in session.sql(f"SELECT integration, kind FROM {WATCH}.way_out ORDER BY integration").collect():
        name = row["INTEGRATION"]
        sent[name] = 0
        try:
            while sent[name] < MOST and one(session, name, row["KIND"]):
                sent[name] += 1
        except Exception as error:  # the other ways go on, this one is tried again at the next look
            failed[name] = str(error)
    if failed:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise RuntimeError(f"Not delivered, and kept for the next look. Sent: {json.dumps(sent)}. {told}")
    return sent


def one(session, name, way):
    """Hands over the oldest message that waits; False when none does."""
    def work():
        session.sql(f"UPDATE {WATCH}.way_out SET looked_at = SYSDATE() WHERE integration = ?", params=[name]).collect()
        found = session.sql(
            f"SELECT * FROM {WATCH}.waiting WHERE integration = ? ORDER BY happened_at, state, alert_id LIMIT 1", params=[name]
        ).collect()
        if not found:
            return False
        alert = {key.lower(): value for key, value in found[0].as_dict().items()}
        session.sql(
            f"INSERT INTO {WATCH}.delivered (integration, alert_id, delivered_at) SELECT ?, ?, SYSDATE()", params=[name, alert["alert_id"]]
        ).collect()
        content, settings = made(session, way, alert)
        session.sql("CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(?, ?)", params=[json.dumps(content), json.dumps({name: settings})]).collect()
        return True

    return in_transaction(session, work)


def in_transaction(session, work):
    session.sql("BEGIN").collect()
    try:
        done = work()
        session.sql("COMMIT").collect()
    except BaseException:
        session.sql("ROLLBACK").collect()
        raise
    return done


def made(session, way, alert):
    """The message and the settings of its integration."""
    word = "over" if alert["state"] == "recovered" else alert["severity"]
    line = f"Firn {alert['pipeline']} {word}: {alert['message']}"
    if way == "topic":
        told = {key: value for key, value in alert.items() if key not in ("integration", "way")}
        return {"application/json": json.dumps(told, default=str)}, {}
    if way == "webhook":  # signs that its template could be broken by are replaced: it may be JSON or not
        plain = " ".join(line.replace('"', "'").replace("\\", "/").split())
        clean = session.sql("SELECT SNOWFLAKE.NOTIFICATION.SANITIZE_WEBHOOK_CONTENT(?) AS text", params=[plain]).collect()[0]["TEXT"]
        return {"text/plain": clean}, {}
    lines = [
        alert["message"],
        "",
        f"pipeline  {alert['pipeline']}",
        f"what      {alert['kind']} of {alert['subject']}, {alert['state']}",
        f"when      {alert['happened_at']:%Y-%m-%d %H:%M:%S} UTC",
        f"run       {alert['run_id'] or '-'}",
        f"alert     {alert['alert_id']}" + (f", recovers {alert['recovers']}" if alert["recovers"] else ""),
        "",
        "SELECT * FROM firn.control.alerts ORDER BY happened_at DESC",
    ]
    return {"text/plain": "\n".join(lines)}, {"subject": line[:256]}


def note_stops(session):
    """Rows for pipelines that have stopped, or run again; the lock on the ways keeps two looks from writing both."""
    def work():
        session.sql(f"UPDATE {WATCH}.way_out SET looked_at = SYSDATE()").collect()
        for row in session.sql(f"SELECT pipeline, newest_at, open_alert FROM {WATCH}.stopping").collect():
            is_over = row["OPEN_ALERT"] is not None
            message = f"{row['PIPELINE']} runs again" if is_over else f"{row['PIPELINE']} has stopped: nothing has run since {row['NEWEST_AT']:%Y-%m-%d %H:%M:%S} UTC"
            session.sql(
                f"INSERT INTO {WATCH}.stopped (alert_id, pipeline, kind, subject, state, severity, message, happened_at, recovers) "
                "SELECT ?, ?, 'stopped', ?, ?, 'error', ?, SYSDATE(), ?",
                params=[str(uuid.uuid4()), row["PIPELINE"], row["PIPELINE"], "recovered" if is_over else "raised", message, row["OPEN_ALERT"]],
            ).collect()

    if session.sql(f"SELECT 1 FROM {WATCH}.stopping LIMIT 1").collect():
        in_transaction(session, work)
$$;

-- Until now: one that told of failures again and again, one of silence.
DROP ALERT IF EXISTS firn_landing.watch.step_failed;
DROP ALERT IF EXISTS firn_landing.watch.nothing_runs;

CREATE ALERT IF NOT EXISTS firn_landing.watch.tell
    SCHEDULE = '1 MINUTE'
    COMMENT = 'Firn: alerts go out'
    IF (EXISTS (
        SELECT alert_id FROM firn_landing.watch.waiting
        UNION ALL
        SELECT pipeline FROM firn_landing.watch.stopping
    ))
    THEN CALL firn_landing.watch.deliver();

ALTER ALERT firn_landing.watch.tell RESUME;
