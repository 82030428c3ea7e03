"""Task graphs on the local account, stepped with a clock of the test's own."""

from __future__ import annotations

import datetime as dt

import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account
from local.scheduler import Scheduler

NOON = dt.datetime(2030, 1, 1, 12)


@pytest.fixture
def account(tmp_path):
    made = Account(tmp_path)
    made.clock = lambda: NOON
    session = made.session()
    for sql in ("CREATE DATABASE d", "CREATE TABLE d.public.log (what VARCHAR)"):
        made.answer(session, sql)
    yield made
    made.close()


def run(account, *statements):
    session = account.session("D", "PUBLIC")
    for sql in statements:
        account.answer(session, sql)


def logged(account):
    session = account.session("D", "PUBLIC")
    return [row[0] for row in session.connection.cursor().execute("SELECT what FROM log ORDER BY rowid").fetchall()]


def states(account):
    session = account.session("D", "PUBLIC")
    from local.tasks import task_history

    return [(row[1], row[4]) for row in reversed(task_history(account, session, {}).rows)]


def test_a_graph_runs_on_its_schedule_in_order_and_ends_with_the_finalizer(account):
    run(
        account,
        "CREATE TASK a SCHEDULE = '10 SECONDS' AS INSERT INTO d.public.log VALUES ('a')",
        "CREATE TASK b AFTER a AS INSERT INTO d.public.log VALUES ('b')",
        "CREATE TASK c AFTER b AS INSERT INTO d.public.log VALUES ('c')",
        "CREATE TASK z FINALIZE = a AS INSERT INTO d.public.log VALUES ('z')",
        "ALTER TASK z RESUME", "ALTER TASK c RESUME", "ALTER TASK b RESUME", "ALTER TASK a RESUME",
    )
    scheduler = Scheduler(account)

    assert scheduler.step(NOON + dt.timedelta(seconds=9)) == []
    assert scheduler.step(NOON + dt.timedelta(seconds=10)) == ["D.PUBLIC.A"]
    assert scheduler.step(NOON + dt.timedelta(seconds=11)) == []
    assert logged(account) == ["a", "b", "c", "z"]
    assert scheduler.step(NOON + dt.timedelta(seconds=20)) == ["D.PUBLIC.A"]
    assert len(logged(account)) == 8


def test_a_failed_task_skips_what_comes_after_it_and_the_finalizer_still_runs(account):
    run(
        account,
        "CREATE TASK a SCHEDULE = '1 MINUTE' AS INSERT INTO d.public.log VALUES ('a')",
        "CREATE TASK b AFTER a AS INSERT INTO d.public.gone VALUES ('b')",
        "CREATE TASK c AFTER b AS INSERT INTO d.public.log VALUES ('c')",
        "CREATE TASK z FINALIZE = a AS INSERT INTO d.public.log VALUES ('z')",
        "ALTER TASK z RESUME", "ALTER TASK c RESUME", "ALTER TASK b RESUME", "ALTER TASK a RESUME",
    )

    Scheduler(account).step(NOON + dt.timedelta(minutes=1))

    assert logged(account) == ["a", "z"]
    assert states(account) == [("A", "SUCCEEDED"), ("B", "FAILED"), ("Z", "SUCCEEDED")]


def test_a_graph_is_suspended_after_so_many_failures(account):
    run(
        account,
        "CREATE TASK a SCHEDULE = '10 SECONDS' SUSPEND_TASK_AFTER_NUM_FAILURES = 2 AS SELECT * FROM d.public.gone",
        "ALTER TASK a RESUME",
    )
    scheduler = Scheduler(account)
    for seconds in (10, 20):
        assert scheduler.step(NOON + dt.timedelta(seconds=seconds)) == ["D.PUBLIC.A"]

    assert scheduler.step(NOON + dt.timedelta(seconds=30)) == []
    assert account.catalog.get("task", "A", database="D", schema="PUBLIC")["state"] == "suspended"


def test_a_retry_runs_only_what_had_not_succeeded(account):
    run(
        account,
        "CREATE TASK a SCHEDULE = '1 MINUTE' AS INSERT INTO d.public.log VALUES ('a')",
        "CREATE TASK b AFTER a AS INSERT INTO d.public.later VALUES ('b')",
        "ALTER TASK b RESUME", "ALTER TASK a RESUME",
    )
    Scheduler(account).step(NOON + dt.timedelta(minutes=1))
    run(account, "CREATE TABLE d.public.later (what VARCHAR)")

    run(account, "EXECUTE TASK a RETRY LAST")
    account.history.wait_idle("D")

    assert logged(account) == ["a"], "a had succeeded and is not run again"
    assert states(account)[-1] == ("B", "SUCCEEDED")


@pytest.mark.parametrize(("sql", "said"), [
    pytest.param("CREATE TASK t SCHEDULE = '5 SECONDS' AS SELECT 1", "between 10 seconds", id="too often"),
    pytest.param("CREATE TASK t SCHEDULE = '1 MINUTE' AFTER resting AS SELECT 1", "cannot have both", id="schedule and predecessor"),
    pytest.param("CREATE TASK t AFTER nobody AS SELECT 1", "does not exist", id="unknown predecessor"),
    pytest.param("ALTER TASK t RESUME", "does not exist", id="unknown task"),
    pytest.param("CREATE OR REPLACE TASK child AFTER root AS SELECT 1", "not suspended", id="graph in use"),
    pytest.param("CREATE TASK t SCHEDULE = 'USING CRON * * * * * UTC' AS SELECT 1", "interval schedules only", id="cron"),
    pytest.param("CREATE TASK t WAREHUOSE = w AS SELECT 1", "WAREHUOSE", id="unknown option"),
])
def test_what_snowflake_refuses(account, sql, said):
    run(account, "CREATE TASK root SCHEDULE = '1 MINUTE' AS SELECT 1", "CREATE TASK child AFTER root AS SELECT 1", "ALTER TASK root RESUME")
    run(account, "CREATE TASK resting SCHEDULE = '1 MINUTE' AS SELECT 1")

    with pytest.raises(ProgrammingError, match=said):
        run(account, sql)


def test_tasks_of_a_stopped_account_are_found_again_and_their_unfinished_runs_marked(account, tmp_path):
    run(account, "CREATE TASK a SCHEDULE = '1 MINUTE' AS SELECT 1", "ALTER TASK a RESUME")
    from local.scheduler import TaskRun
    from local.tasks import history

    history(account).start(account.catalog.get("task", "A", database="D", schema="PUBLIC"), TaskRun("A", "A", "run", NOON), 1)

    account.close()
    again = Account(tmp_path)
    try:
        assert again.catalog.get("task", "A", database="D", schema="PUBLIC")["state"] == "started"
        assert history(again).rows(None, 10)[0][4] == "FAILED"
    finally:
        again.close()
        account.close = lambda: None


def test_a_task_waits_for_a_lock_as_long_as_it_says(account):
    """LOCK_TIMEOUT is a session parameter of the task: docs.snowflake.com/en/sql-reference/sql/create-task."""
    run(account, "CREATE TASK a LOCK_TIMEOUT = 0 SCHEDULE = '1 MINUTE' AS UPDATE d.public.log SET what = 'a'", "ALTER TASK a RESUME")
    holder = account.session("D", "PUBLIC")
    for sql in ("BEGIN", "UPDATE log SET what = 'b'"):
        account.answer(holder, sql)

    Scheduler(account).step(NOON + dt.timedelta(minutes=1))

    assert states(account) == [("A", "FAILED")]
    account.answer(holder, "ROLLBACK")
