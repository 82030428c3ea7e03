"""Alerts on the local account, stepped with a clock of the test's own: when they run, as whom, what ALERT_HISTORY says, what is refused."""

from __future__ import annotations

import datetime as dt

import pytest
from snowflake.connector.errors import ProgrammingError

from local import alerts
from local.account import Account

NOON = dt.datetime(2030, 1, 1, 12)
ALERT = "CREATE ALERT watch.late SCHEDULE = '5 MINUTE' COMMENT = 'too late' IF (EXISTS (SELECT 1 FROM landing.watch.t WHERE (a) > 1)) THEN INSERT INTO landing.watch.log VALUES ('late')"


@pytest.fixture
def account(tmp_path):
    one = Account(tmp_path)
    one.clock = lambda: NOON
    session = one.session()
    for sql in (
        "CREATE DATABASE landing", "CREATE SCHEMA landing.watch", "CREATE TABLE landing.watch.t (a INT)", "CREATE TABLE landing.watch.log (what VARCHAR)",
        "CREATE ROLE watcher",
    ):  # fmt: skip
        one.answer(session, sql)
    yield one
    one.close()


@pytest.fixture
def run(account):
    session = account.session("LANDING", "WATCH")
    return lambda sql: account.answer(session, sql)


def logged(account) -> list[str]:
    session = account.session("LANDING", "WATCH")
    return [row[0] for row in session.connection.cursor().execute("SELECT what FROM log").fetchall()]


def states(account, **arguments) -> list[str]:
    return [row[7] for row in alerts.alert_history(account, account.session(), arguments).rows]


def after(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def test_an_alert_runs_on_its_schedule_from_when_it_was_resumed_and_acts_when_there_is_a_row(account, run):
    run(ALERT)
    assert alerts.step(account, after(60)) == [], "a new alert is suspended"
    run("ALTER ALERT watch.late RESUME")

    assert alerts.step(account, after(4.9)) == []
    assert alerts.step(account, after(5)) == ["LANDING.WATCH.LATE"]
    assert logged(account) == []
    run("INSERT INTO t VALUES (2)")
    assert alerts.step(account, after(9)) == []
    assert alerts.step(account, after(10)) == ["LANDING.WATCH.LATE"]

    assert logged(account) == ["late"]
    assert states(account) == ["SCHEDULED", "TRIGGERED", "CONDITION_FALSE"]
    assert states(account, SCHEDULED_TIME_RANGE_END=NOON, ALERT_NAME="late") == ["TRIGGERED", "CONDITION_FALSE"]


def test_an_alert_shows_its_schedule_condition_and_state(run):
    run(ALERT)
    run("ALTER ALERT watch.late RESUME")

    ((_, name, database, schema, owner, comment, _, schedule, state, condition, action),) = run("SHOW ALERTS LIKE 'LATE'")

    assert (name, database, schema, owner, comment, schedule, state) == ("LATE", "LANDING", "WATCH", "ACCOUNTADMIN", "too late", "5 MINUTE", "started")
    assert condition == "SELECT 1 FROM landing.watch.t WHERE (a) > 1"
    assert action.startswith("INSERT INTO landing.watch.log")


def test_execute_alert_runs_it_now_and_leaves_it_suspended(account, run):
    run(ALERT)
    run("INSERT INTO t VALUES (2)")
    run("EXECUTE ALERT watch.late")
    account.alert_history.wait_idle()

    assert logged(account) == ["late"]
    assert run("SHOW ALERTS")[0][8] == "suspended"
    assert states(account) == ["TRIGGERED"]


def test_what_fails_is_in_the_history_and_suspends_after_so_many_times(account, run):
    run("CREATE ALERT x SCHEDULE = '1 MINUTE' SUSPEND_ALERT_AFTER_NUM_FAILURES = 2 IF (EXISTS (SELECT 1)) THEN INSERT INTO landing.watch.gone VALUES (1)")
    run("CREATE ALERT y SCHEDULE = '1 MINUTE' IF (EXISTS (SELECT 1 FROM landing.watch.gone)) THEN SELECT 1")
    run("ALTER ALERT x RESUME")
    run("ALTER ALERT y RESUME")
    for minute in (1, 2, 3):
        alerts.step(account, after(minute))

    rows = alerts.alert_history(account, account.session(), {}).rows
    assert [row[7] for row in rows if row[0] == "X"] == ["ACTION_FAILED", "ACTION_FAILED"]
    assert [row[14] for row in rows if row[0] == "X"] == [True, False]
    assert {row[7] for row in rows if row[0] == "Y"} == {"SCHEDULED", "CONDITION_FAILED"}
    assert "GONE" in next(row[9] for row in rows if row[0] == "X")


def test_an_alert_has_the_rights_of_its_owner_and_no_others(account, run):
    for sql in (
        "GRANT EXECUTE ALERT ON ACCOUNT TO ROLE watcher", "GRANT EXECUTE MANAGED ALERT ON ACCOUNT TO ROLE watcher",
        "GRANT CREATE ALERT ON SCHEMA landing.watch TO ROLE watcher", "INSERT INTO t VALUES (2)",
    ):  # fmt: skip
        run(sql)
    watcher = account.session("LANDING", "WATCH", role="WATCHER")
    account.answer(watcher, ALERT)

    run("EXECUTE ALERT watch.late")
    account.alert_history.wait_idle()
    assert states(account) == ["CONDITION_FAILED"], "it may not read the table"

    run("GRANT SELECT ON TABLE t TO ROLE watcher")
    run("GRANT INSERT ON TABLE log TO ROLE watcher")
    run("EXECUTE ALERT watch.late")
    account.alert_history.wait_idle()
    assert logged(account) == ["late"]


@pytest.mark.parametrize("missing", ["EXECUTE ALERT ON ACCOUNT", "EXECUTE MANAGED ALERT ON ACCOUNT", "CREATE ALERT ON SCHEMA landing.watch"])
def test_a_role_without_each_of_the_privileges_makes_no_alert(account, run, missing):
    for privilege in {"EXECUTE ALERT ON ACCOUNT", "EXECUTE MANAGED ALERT ON ACCOUNT", "CREATE ALERT ON SCHEMA landing.watch"} - {missing}:
        run(f"GRANT {privilege} TO ROLE watcher")

    with pytest.raises(ProgrammingError, match=missing.split(" ON ")[0]):
        account.answer(account.session("LANDING", "WATCH", role="WATCHER"), ALERT)


def test_alerts_of_a_stopped_account_go_on_where_they_stood(account, run, tmp_path):
    run(ALERT)
    run("INSERT INTO t VALUES (2)")
    run("ALTER ALERT watch.late RESUME")
    account.alert_history.start(account.catalog.get("alert", "LATE", database="LANDING", schema="WATCH"), NOON, "SCHEDULE")
    account.close()

    again = Account(tmp_path)
    try:
        assert states(again) == ["SCHEDULED", "FAILED"]
        assert alerts.step(again, after(4)) == []
        assert alerts.step(again, after(5)) == ["LANDING.WATCH.LATE"]
        assert logged(again) == ["late"]
    finally:
        again.close()
        account.close = lambda: None


@pytest.mark.parametrize(("sql", "message"), [
    pytest.param("EXECUTE ALERT watch.none", "does not exist", id="an alert that is not there"),
    pytest.param("DROP ALERT watch.none", "does not exist", id="dropping one that is not there"),
    pytest.param("CREATE ALERT watch.x SCHEDULE = '5 MINUTE' IF (EXISTS (SELECT 1)) THEN", "THEN", id="an alert without an action"),
    pytest.param("CREATE ALERT watch.x EVERY = '5 MINUTE' IF (EXISTS (SELECT 1)) THEN SELECT 1", "EVERY", id="an option that does not exist"),
    pytest.param("CREATE ALERT watch.x IF (EXISTS (SELECT 1)) THEN SELECT 1", "on new data", id="without a schedule"),
    pytest.param("CREATE ALERT watch.x SCHEDULE = 'USING CRON * * * * * UTC' IF (EXISTS (SELECT 1)) THEN SELECT 1", "interval", id="a cron schedule"),
    pytest.param("CREATE ALERT watch.x SCHEDULE = '90 SECONDS' IF (EXISTS (SELECT 1)) THEN SELECT 1", "90 SECONDS", id="seconds"),
    pytest.param("CREATE ALERT watch.x SCHEDULE = '5 MINUTE' IF (EXISTS (DELETE FROM t)) THEN SELECT 1", "SELECT, SHOW or CALL", id="a condition that writes"),
    pytest.param("CREATE ALERT nowhere.x SCHEDULE = '5 MINUTE' IF (EXISTS (SELECT 1)) THEN SELECT 1", "does not exist", id="in no schema"),
])  # fmt: skip
def test_what_cannot_be_is_refused(run, sql, message):
    with pytest.raises(ProgrammingError, match=message):
        run(sql)
