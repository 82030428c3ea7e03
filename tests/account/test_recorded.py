"""Alerts, notification integrations, monitors and warehouses are remembered and shown, say that they do nothing here, and do nothing."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account

ALERT = "CREATE ALERT watch.late SCHEDULE = '5 MINUTE' COMMENT = 'too late' IF (EXISTS (SELECT 1 FROM t WHERE (a) > 1)) THEN CALL SYSTEM$SEND_EMAIL('m', 'a@b.c', 's', 't')"
QUEUE = "CREATE NOTIFICATION INTEGRATION topic ENABLED = TRUE TYPE = QUEUE DIRECTION = OUTBOUND NOTIFICATION_PROVIDER = AWS_SNS AWS_SNS_TOPIC_ARN = 'arn:a' AWS_SNS_ROLE_ARN = 'arn:b'"


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    one = Account(tmp_path_factory.mktemp("recorded"))
    session = one.session()
    for sql in ("CREATE DATABASE landing", "CREATE SCHEMA landing.watch"):
        one.answer(session, sql)
    yield one
    one.close()


@pytest.fixture
def run(account):
    session = account.session("LANDING", "WATCH")
    return lambda sql: account.answer(session, sql)


@pytest.mark.parametrize(("create", "show", "says", "drop"), [
    pytest.param(ALERT, "SHOW ALERTS", "does not run alerts", "DROP ALERT watch.late", id="alert"),
    pytest.param(QUEUE, "SHOW NOTIFICATION INTEGRATIONS", "sends no messages", "DROP NOTIFICATION INTEGRATION topic", id="integration"),
    pytest.param("CREATE RESOURCE MONITOR m WITH CREDIT_QUOTA = 1", "SHOW RESOURCE MONITORS", "nothing costs credits", "DROP RESOURCE MONITOR m", id="monitor"),
])
def test_what_is_recorded_says_so_is_shown_and_goes(run, create, show, says, drop):
    ((told,),) = run(create)
    assert "Recorded only" in told and says in told
    assert len(run(show)) == 1

    assert "already exists" in run(create.replace("ALERT watch", "ALERT IF NOT EXISTS watch").replace("INTEGRATION topic", "INTEGRATION IF NOT EXISTS topic").replace("MONITOR m", "MONITOR IF NOT EXISTS m"))[0][0]
    with pytest.raises(ProgrammingError, match="already exists"):
        run(create)

    run(drop)
    assert run(show) == []


def test_an_alert_shows_its_schedule_condition_and_state(run):
    run(ALERT)
    run("ALTER ALERT watch.late RESUME")

    ((_, name, database, schema, _, comment, _, schedule, state, condition, action),) = run("SHOW ALERTS LIKE 'LATE'")

    assert (name, database, schema, comment, schedule, state) == ("LATE", "LANDING", "WATCH", "too late", "5 MINUTE", "started")
    assert condition == "SELECT 1 FROM t WHERE (a) > 1"
    assert action.startswith("CALL SYSTEM$SEND_EMAIL(")
    run("DROP ALERT watch.late")


@pytest.mark.parametrize(("sql", "message"), [
    pytest.param("EXECUTE ALERT watch.late", "does not run alerts", id="an alert is not run"),
    pytest.param("CALL SYSTEM$SEND_EMAIL('m', 'a@b.c', 's', 't')", "SEND_EMAIL", id="no mail is sent"),
    pytest.param("CREATE ALERT watch.x SCHEDULE = '5 MINUTE' IF (EXISTS (SELECT 1)) THEN", "THEN", id="an alert without an action"),
    pytest.param("CREATE ALERT watch.x EVERY = '5 MINUTE' IF (EXISTS (SELECT 1)) THEN SELECT 1", "EVERY", id="an option that does not exist"),
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = QUEUE DIRECTION = OUTBOUND", "Missing option", id="a queue without its topic"),
    pytest.param("CREATE NOTIFICATION INTEGRATION x ENABLED = TRUE TYPE = WEBHOOK", "EMAIL", id="another kind of way out"),
    pytest.param("DROP ALERT watch.none", "does not exist", id="an alert that is not there"),
])
def test_what_cannot_be_is_refused(run, sql, message):
    with pytest.raises(ProgrammingError, match=message):
        run(sql)
