"""One run writes at a time; who waits is told who has the turn.  A run that failed is in the log and can be taken up."""

from __future__ import annotations

import threading
import time

import faults
import pytest
import turns
from snowflake.snowpark.exceptions import SnowparkSQLException

from tests.keeping.shop import order


def another_session(shop):
    """A worksheet beside the one the shop works in."""
    return shop.bench.connect(shop.bench.account.address[1])


def wait_at_most(session, seconds):
    session.sql(f"ALTER SESSION SET LOCK_TIMEOUT = {seconds}").collect()


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr(faults, "FIRST_PAUSE_SECONDS", 0.01)


def test_a_second_runner_waits_and_then_goes_on_right(shop):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])
    other = another_session(shop)
    run = shop.opened()
    other.sql("BEGIN").collect()
    other.sql("UPDATE control.parameter_control SET run_id = 'other' WHERE step = 'pipeline'").collect()
    counts = []
    waiting = threading.Thread(target=lambda: counts.append(shop.handlers.run_one(run, "load", "orders")))

    waiting.start()
    time.sleep(0.3)
    assert not counts
    other.sql("COMMIT").collect()
    waiting.join()

    assert counts[0]["written"] == 1
    other.close()


def test_who_waits_too_long_is_told_who_has_the_turn(shop, quick_retries):
    other = another_session(shop)
    holder = shop.handlers.open_run(other, "shop", "the-other-run", "task")
    shop.handlers.run_one(holder, "begin", "")
    other.sql("BEGIN").collect()
    other.sql("UPDATE control.parameter_control SET run_id = 'uncommitted' WHERE step = 'pipeline'").collect()
    wait_at_most(shop.session, 0)

    with pytest.raises(turns.TurnTaken) as raised:
        shop.handlers.run_step(shop.session, "shop", "load", "orders")

    said = str(raised.value)
    assert "load orders waited" in said and "run the-other-run (run, by task, since 20" in said and "nothing was written" in said
    assert [row[:3] for row in shop.log("status = 'failed'")] == [("load orders", "failed", "transient")]
    other.sql("ROLLBACK").collect()
    assert shop.handlers.run_step(shop.session, "shop", "load", "orders")["status"] == "nothing new"
    other.close()


def test_a_lock_that_no_run_owns_up_to_is_said_to_be_one(shop, quick_retries):
    other = another_session(shop)
    other.sql("BEGIN").collect()
    other.sql("UPDATE control.parameter_control SET run_id = 'x' WHERE step = 'pipeline'").collect()
    wait_at_most(shop.session, 0)

    with pytest.raises(turns.TurnTaken, match="SHOW LOCKS IN ACCOUNT"):
        shop.handlers.run_one(shop.opened(), "load", "orders")

    other.sql("ROLLBACK").collect()
    other.close()


def test_a_run_that_is_over_is_not_blamed(shop):
    shop.run()

    assert turns.holders(shop.session, "shop", "mine") == []


# --- transient, data, contract


def failing(shop, monkeypatch, times, error):
    """Makes the load of orders fail so many times, then work."""
    import steps

    right, left = steps.STEPS["load"], [times]

    def load(run, name):
        if name == "orders" and left[0]:
            left[0] -= 1
            raise error
        return right(run, name)

    monkeypatch.setitem(steps.STEPS, "load", load)


INTERNAL = SnowparkSQLException("SQL execution internal error: Processing aborted by error 300010", sql_error_code=603)


def test_what_passes_by_itself_is_tried_again_and_leaves_no_failure(shop, monkeypatch, quick_retries):
    failing(shop, monkeypatch, 2, INTERNAL)

    assert shop.run()["status"] in ("succeeded", "nothing new")

    assert shop.log("status = 'failed'") == []


def test_it_is_tried_three_times_and_no_more(shop, monkeypatch, quick_retries):
    failing(shop, monkeypatch, 3, INTERNAL)

    with pytest.raises(shop.handlers.RunFailed):
        shop.run()

    assert [row[:3] for row in shop.log("status = 'failed'")] == [("load orders", "failed", "transient")]


def test_a_column_that_bronze_has_lost_stops_the_source_and_the_fix_is_named(shop):
    shop.put("customers", "c3.csv", [(3, "Lima", "2024-03-01 00:00:00", "I")])
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])
    shop.duck("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN amount TO betrag")
    try:
        with pytest.raises(shop.handlers.RunFailed, match=r"bronze.orders has no column amount.*\n.*ADD COLUMN"):
            shop.run()
    finally:
        shop.duck("ALTER TABLE firn_landing.bronze.orders RENAME COLUMN betrag TO amount")

    failed = shop.log("status = 'failed'")
    assert [row[:3] for row in failed] == [("load orders", "failed", "contract")]
    assert shop.duck("SELECT city FROM firn.gold.dim_customer WHERE customer_id = 3") == [("Lima",)], "the other source went on"


@pytest.mark.parametrize(("error", "error_class"), [
    pytest.param(SnowparkSQLException("…", sql_error_code=625), "transient", id="a lock"),
    pytest.param(SnowparkSQLException("waited longer than LOCK_TIMEOUT"), "transient", id="a lock, known by its words"),
    pytest.param(RuntimeError("000603 (XX000): SQL execution internal error"), "transient", id="a code inside a procedure's error"),
    pytest.param(SnowparkSQLException("…", sql_error_code=100038), "data", id="a value that is no number"),
    pytest.param(SnowparkSQLException("…", sql_error_code=2003), "contract", id="a table that is not there or not granted"),
    pytest.param(SnowparkSQLException("…", sql_error_code=3001), "contract", id="a privilege"),
    pytest.param(SnowparkSQLException("…", sql_error_code=1003), "unknown", id="a fault of ours"),
    pytest.param(ValueError("…"), "unknown", id="no error of the server"),
])  # fmt: skip
def test_the_class_of_an_error(error, error_class):
    assert faults.classify(error).error_class == error_class


# --- resume


def test_a_failed_run_is_taken_up_where_it_failed(shop, monkeypatch, quick_retries):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])
    shop.put("customers", "c3.csv", [(3, "Lima", "2024-03-01 00:00:00", "I")])
    failing(shop, monkeypatch, 1, ValueError("the warehouse burns"))
    with pytest.raises(shop.handlers.RunFailed) as raised:
        shop.run()
    run_id = raised.value.run_id
    assert f"CALL core.resume('{run_id}')" in str(raised.value)

    answer = shop.handlers.resume(shop.session, run_id)

    assert [step["step"] for step in answer["steps"]] == ["load orders", "fact fact_orders", "measure monthly", "sweep"]
    assert shop.duck("SELECT orders FROM firn.gold.monthly WHERE month = DATE '2024-03-01'") == [(1,)]
    assert shop.duck("SELECT status FROM firn.control.parameter_control WHERE step = 'pipeline'") == [("succeeded",)]


def test_resume_of_a_run_that_succeeded_says_so_and_does_nothing(shop):
    run_id = shop.run()["run_id"]
    before = shop.log()

    assert shop.handlers.resume(shop.session, run_id) == {"run_id": run_id, "pipeline": "shop", "status": "nothing to resume", "steps": []}

    assert shop.log() == before


def test_resume_of_one_step_takes_up_that_step(shop, monkeypatch):
    failing(shop, monkeypatch, 1, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        shop.handlers.run_step(shop.session, "shop", "load", "orders")
    run_id = shop.duck("SELECT run_id FROM firn.control.pipeline_log WHERE status = 'failed'")[0][0]

    answer = shop.handlers.resume(shop.session, run_id)

    assert [step["step"] for step in answer["steps"]] == ["load orders"]


def test_a_run_that_died_without_a_word_is_taken_up_too(shop):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])
    dead = shop.opened()
    for step in (("begin", ""), ("load", "customers"), ("load", "orders")):
        shop.handlers.run_one(dead, *step)

    answer = shop.handlers.resume(shop.session, dead.run_id)

    assert [step["step"] for step in answer["steps"]] == ["dimension dim_customer", "fact fact_orders", "measure monthly", "sweep"]
    assert shop.duck("SELECT count(*) FROM firn.gold.fact_orders") == [(4,)]


def test_resume_of_a_run_nobody_knows_says_where_to_look(shop):
    with pytest.raises(LookupError, match="No run `x` in the log"):
        shop.handlers.resume(shop.session, "x")


def test_the_second_try_of_a_task_graph_ends_the_run_well(shop, monkeypatch):
    """TASK_AUTO_RETRY_ATTEMPTS: the tasks that failed run again under the same run id, the finalizer too."""
    failing(shop, monkeypatch, 1, ValueError("no"))
    run = shop.handlers.open_run(shop.session, "shop", "graph-run", "task")
    shop.handlers.run_one(run, "begin", "")
    with pytest.raises(ValueError, match="no"):
        shop.handlers.run_one(run, "load", "orders")
    assert shop.handlers.run_one(run, "finish", "")["status"] == "failed"

    shop.handlers.run_one(run, "load", "orders")

    assert shop.handlers.run_one(run, "finish", "")["failures"] == {}


def test_the_control_table_says_where_each_step_stands_and_what_its_last_batch_held(shop):
    found = shop.duck("SELECT source, overlap_seconds, lets, last_batch, status, rows_read, rows_written, rows_duplicate, rows_quarantined FROM firn.control.parameter_control WHERE step = 'load orders'")

    assert found[0][0:2] == ("orders", 86400) and found[0][3] > 0 and str(found[0][2]) == "2024-06-01 01:00:00"
    assert found[0][4:] == ("succeeded", 8, 4, 3, 1)


@pytest.mark.parametrize(("step", "target"), [("laod", "orders"), ("load", "order"), ("load", "")])
def test_a_step_nobody_knows_is_refused_with_those_there_are_and_is_no_failure_of_the_pipeline(shop, step, target):
    before = shop.log("TRUE")

    with pytest.raises(shop.handlers.StepUnknown, match="unknown step .*load orders"):
        shop.handlers.run_step(shop.session, "shop", step, target)

    assert shop.log("TRUE") == before
