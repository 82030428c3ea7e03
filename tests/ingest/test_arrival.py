"""A pipeline that runs on arrival: its stream starts the graph and moves with LETS; what a stale stream missed comes all the same."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from local.rig import Rig
from local.scheduler import Scheduler

SPEC = """
pipeline: shop
when: arrival
schedule: 1 hour
sources:
  sales:
    files: {prefix: sales/, format: csv}
    key: [id]
    effective_at: sold_at
    columns:
      id:      {type: integer}
      amount:  {type: integer, required: true}
      sold_at: {type: timestamp}
facts:
  fact_sales:
    comment: One row per sale
    from: sales
    grain: [id]
    at: sold_at
    keep: [amount]
kpis:
  by_month:
    comment: Sales by month
    from: fact_sales
    period: month
    measures:
      amount: {expression: sum(amount), type: integer}
"""
STREAM = "firn_landing.bronze.sales_stream"


@pytest.fixture
def shop(tmp_path):
    with Rig(tmp_path / "rig", spec=SPEC) as rig:
        yield rig


def arrive(shop, *ids: int) -> None:
    """Rows in bronze by a statement, as COPY or a pipe would commit them."""
    name = f"sales/{ids[0]}.csv"
    at = dt.datetime(2024, 1, 1) + dt.timedelta(minutes=ids[0])
    rows = ", ".join(f"('{i}', '10', '2024-03-0{i % 9 + 1} 00:00:00', '{name}', {n}, '{name}', '{at}', '{at}')" for n, i in enumerate(ids, start=1))
    shop.answer(f"INSERT INTO firn_landing.bronze.sales (id, amount, sold_at, _file_name, _row_number, _content_key, _modified_at, _loaded_at) VALUES {rows}")


def has_data(shop) -> bool:
    return shop.query(f"SELECT COUNT(*) AS n FROM ({shop_stream(shop)})")[0]["n"] > 0


def shop_stream(shop) -> str:
    from local import streams

    return streams.contents(shop.account, shop.admin.connection._duck_conn, streams.stream_at(shop.account, ("FIRN_LANDING", "BRONZE", "SALES_STREAM")))


def silver(shop) -> list[int]:
    return [int(row["id"]) for row in shop.query("SELECT id FROM silver.sales ORDER BY id")]


def amount(shop) -> int:
    return int(shop.query("SELECT COALESCE(SUM(amount), 0) AS n FROM gold.by_month")[0]["n"])


def test_the_tasks_wait_for_streams_and_the_schedule_looks_after_them(shop):
    tasks = {task.name: task for task in shop.account.catalog.find("task")}

    begin, look = tasks["SHOP_BEGIN"], tasks["SHOP_LOOK"]
    assert (begin["seconds"], begin["condition"]) == (None, f"SYSTEM$STREAM_HAS_DATA('{STREAM}')")
    assert (look["seconds"], look["condition"], look["after"], look["body"]) == (3600, None, [], "CALL core.run_pipeline('shop')")
    assert {begin["state"], look["state"]} == {"started"}


def test_rows_that_arrive_start_the_graph_once_and_silence_starts_nothing(shop):
    scheduler, now = Scheduler(shop.account), shop.account.clock()
    assert scheduler.step(now) == []

    arrive(shop, 1, 2)
    assert scheduler.step(now + dt.timedelta(seconds=2)) == ["FIRN.TASKS.SHOP_BEGIN"]
    assert (silver(shop), amount(shop), has_data(shop)) == ([1, 2], 20, False)

    for seconds in (5, 15, 60):
        assert scheduler.step(now + dt.timedelta(seconds=seconds)) == []


def test_a_load_that_fails_leaves_the_stream_where_it_was(shop):
    arrive(shop, 1)
    shop.duck("ALTER TABLE firn.silver.sales RENAME TO away")
    with pytest.raises(Exception, match="sales"):
        shop.step("load", "sales")
    assert has_data(shop)

    shop.duck("ALTER TABLE firn.silver.away RENAME TO sales")
    shop.step("load", "sales")
    assert (silver(shop), has_data(shop)) == ([1], False)


def test_rows_that_were_taken_without_their_stream_move_it_later_or_they_would_start_the_graph_for_ever(shop):
    shop.answer(f"REVOKE SELECT ON STREAM {STREAM} FROM APPLICATION firn")
    arrive(shop, 1)
    shop.run()
    shop.answer(f"GRANT SELECT ON STREAM {STREAM} TO APPLICATION firn")
    assert (silver(shop), has_data(shop)) == ([1], True)

    assert shop.run()["status"] == "nothing new"

    assert not has_data(shop)


@pytest.mark.parametrize("cause", [
    pytest.param("ALTER TABLE firn_landing.bronze.sales SET DATA_RETENTION_TIME_IN_DAYS = 0 MAX_DATA_EXTENSION_TIME_IN_DAYS = 0", id="stale"),
    pytest.param(f"REVOKE SELECT ON STREAM {STREAM} FROM APPLICATION firn", id="not granted"),
])
def test_without_its_stream_nothing_is_lost_and_the_log_says_so(shop, cause):
    arrive(shop, 1)
    shop.run()
    shop.answer(cause)
    arrive(shop, 2)
    scheduler, now = Scheduler(shop.account), shop.account.clock()
    assert scheduler.step(now + dt.timedelta(seconds=2)) == [], "a stream that cannot be read starts nothing"

    assert "FIRN.TASKS.SHOP_LOOK" in scheduler.step(now + dt.timedelta(hours=1, minutes=1))

    assert (silver(shop), amount(shop)) == ([1, 2], 20)
    detail = json.loads(shop.query("SELECT detail FROM control.pipeline_log WHERE step = 'load sales' ORDER BY started_at DESC LIMIT 1")[0]["detail"])
    assert STREAM in detail["stream_unreadable"]


def test_a_stream_made_anew_starts_the_graph_again(shop):
    shop.answer("ALTER TABLE firn_landing.bronze.sales SET DATA_RETENTION_TIME_IN_DAYS = 0 MAX_DATA_EXTENSION_TIME_IN_DAYS = 0")
    arrive(shop, 1)
    shop.answer(
        "ALTER TABLE firn_landing.bronze.sales SET DATA_RETENTION_TIME_IN_DAYS = 1 MAX_DATA_EXTENSION_TIME_IN_DAYS = 14",
        f"CREATE OR REPLACE STREAM {STREAM} ON TABLE firn_landing.bronze.sales APPEND_ONLY = TRUE",
        f"GRANT SELECT ON STREAM {STREAM} TO APPLICATION firn",
    )
    arrive(shop, 2)

    scheduler = Scheduler(shop.account)
    assert scheduler.step(shop.account.clock()) == ["FIRN.TASKS.SHOP_BEGIN"]
    assert (silver(shop), amount(shop)) == ([1, 2], 20), "row 1 came before the new stream and is taken by LETS"


def test_a_scheduled_pipeline_neither_reads_nor_needs_a_stream(tmp_path):
    with Rig(tmp_path / "rig", spec=SPEC.replace("when: arrival\n", "")) as rig:
        arrive(rig, 1)
        rig.run()

        assert silver(rig) == [1]
        assert "SHOP_LOOK" not in {task.name for task in rig.account.catalog.find("task")}
        rig.call("config.apply_spec", SPEC)
        assert "SHOP_LOOK" in {task.name for task in rig.account.catalog.find("task")}
        rig.call("config.apply_spec", SPEC.replace("when: arrival\n", ""))
        assert "SHOP_LOOK" not in {task.name for task in rig.account.catalog.find("task")}
