"""Every statement of a run says whose it is, at no cost of its own; what a step took is read from the account's history."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from snowflake.connector.errors import ProgrammingError

from local.rig import Rig
from local.scheduler import Scheduler
from tests.operating.watching import run_script

ORDERS = "order_id,id,amount,ordered_at\n1,1,5.00,2024-01-01 00:00:00\n2,1,-1,2024-01-01 00:00:00\n"


@pytest.fixture(scope="module")
def costed(rig: Rig) -> Iterator[Rig]:
    rig.answer("CREATE SCHEMA IF NOT EXISTS firn_landing.watch", "CREATE ROLE IF NOT EXISTS firn_transformer")
    run_script(rig.account, "13_cost")
    rig.admin.connection.use("FIRN", "CONTROL")
    return rig


def history(rig: Rig, where: str) -> list[dict]:
    rig.account.usage.flush()
    return rig.query(f"SELECT query_text, query_type, query_tag, execution_status FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY WHERE {where} ORDER BY start_time")


def cost(rig: Rig, run_id: str | None = None) -> list[dict]:
    rig.account.usage.flush()
    which, params = ("run_id = ?", [run_id]) if run_id else ("run_id IS NULL", None)
    return rig.query(f"SELECT * FROM firn_landing.watch.cost_by_step WHERE {which} ORDER BY first_at", params)


def test_every_statement_of_a_run_carries_pipeline_run_and_step(costed):
    costed.load("orders", ORDERS)
    before = len(history(costed, "TRUE"))

    run = costed.run()

    made = history(costed, "TRUE")[before:]
    ours = [row for row in made if row["query_type"] not in ("CALL", "ALTER") and "QUERY_HISTORY" not in row["query_text"]]
    tags = [json.loads(row["query_tag"] or "{}") for row in ours]
    assert not [row["query_text"] for row, tag in zip(ours, tags, strict=True) if tag.get("run_id") != run["run_id"]]
    assert {tag["pipeline"] for tag in tags} == {"shop"}
    assert {tag["step"] for tag in tags} == {"open", "begin", "load orders", "fact fact_orders", "measure orders_by_month", "sweep", "finish"}


def test_what_each_step_took_is_read_by_pipeline_step_and_run(costed):
    costed.load("orders", ORDERS.replace("\n1,", "\n3,").replace("\n2,", "\n4,"))
    run = costed.run()

    rows = {row["step"]: row for row in cost(costed, run["run_id"])}

    assert list(rows)[:2] == ["open", "begin"]
    load = rows["load orders"]
    logged = costed.query("SELECT started_at, ended_at FROM control.pipeline_log WHERE run_id = ? AND step = 'load orders'", [run["run_id"]])[0]
    assert abs(load["first_at"] - logged["started_at"]) < dt.timedelta(seconds=1)
    assert 0 < load["seconds"] <= (load["last_at"] - load["first_at"]).total_seconds() + 0.5
    assert load["failed_count"] == 0 and load["statement_count"] > 10
    assert load["compute_credits"] is None, "nothing costs credits here"


def test_a_step_that_fails_has_its_failed_statements_counted(costed):
    costed.load("orders", ORDERS.replace("\n1,", "\n5,").replace("\n2,", "\n6,"))
    costed.answer("REVOKE SELECT ON TABLE firn_landing.bronze.orders FROM APPLICATION firn")
    try:
        with pytest.raises(ProgrammingError):
            costed.run()
    finally:
        costed.answer("GRANT SELECT ON TABLE firn_landing.bronze.orders TO APPLICATION firn")

    failed = costed.query("SELECT run_id FROM control.pipeline_log WHERE status = 'failed' ORDER BY started_at DESC LIMIT 1")[0]["run_id"]
    rows = {row["step"]: row["failed_count"] for row in cost(costed, failed)}
    assert rows["load orders"] > 0 and rows["finish"] == 0


def test_a_task_tags_what_it_does_before_it_knows_its_run(costed):
    """QUERY_TAG of CREATE TASK: one of the parameters that a procedure with its owner's rights takes over."""
    task = costed.account.catalog.get("task", "SHOP_BEGIN", database="FIRN", schema="TASKS")
    costed.account.catalog.change(task, state="started", resumed_at=(dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).replace(tzinfo=None).isoformat())

    Scheduler(costed.account).step(costed.account.clock())

    rows = {row["step"]: row for row in cost(costed)}
    assert {"begin", "load orders"} <= set(rows)
    called = history(costed, "query_type = 'CALL' AND query_text LIKE '%run_step%load%'")[-1]
    assert json.loads(called["query_tag"]) == {"app": "firn", "pipeline": "shop", "step": "load orders"}
    costed.account.catalog.change(task, state="suspended")


def test_what_is_called_next_in_a_session_is_not_ours(costed):
    costed.run()
    costed.call("config.export_spec", "shop")

    (row,) = [row for row in history(costed, "query_text LIKE 'SELECT spec FROM control.pipeline_spec%'")][-1:]

    assert row["query_tag"] == ""


def test_only_the_role_of_the_views_reads_the_account_s_history(costed):
    reader = costed.account.session("FIRN", "CONTROL", role="FIRN_TRANSFORMER")

    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        costed.account.execute(reader, "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY")
    app = costed.account.session("FIRN", "CONTROL", app="FIRN")
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        costed.account.execute(app, "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY")
    assert costed.account.execute(reader, "SELECT * FROM firn_landing.watch.cost_by_step")["returned"] > 0
    assert costed.account.execute(reader, "SELECT * FROM firn_landing.watch.cost_by_task")["returned"] == 0
