"""A day's budget that is used up leaves out KPIs and the sweep, says so, and leaves out nothing else; the next day makes up for it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import budgets
import pytest
from alerting import budget as budget_looked
from runs import utc_now

from tests.conftest import alone
from tests.operating.conftest import SHOP
from tests.quarantine.rig import Shop

MIDNIGHT = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    with alone(opened.session):
        for table in ("pipeline_log", "alerts", "ledger"):
            opened.bench.duck(f"DELETE FROM firn.control.{table}")
        for table in ("firn_landing.bronze.orders", "firn.gold.fact_orders", "firn.gold.orders_by_month", "firn.silver.orders"):
            opened.bench.duck(f"DELETE FROM {table}")
        opened.arrivals_from(utc_now() - dt.timedelta(minutes=1))
        opened.apply(SHOP + "budget: 1 minute a day\n")
        yield opened
        opened.apply(SHOP)


def spent(shop: Shop, seconds: float, at: dt.datetime, status: str = "succeeded") -> None:
    shop.bench.duck(
        "INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at) VALUES ('earlier', 'shop', 'load orders', ?, ?, ?)",
        [status, at - dt.timedelta(seconds=seconds), at],
    )


def run(shop: Shop) -> dict[str, str]:
    """One run as the graph makes it; the status of each step."""
    return {step["step"]: step["status"] for step in shop.handlers.run_pipeline(shop.session, "shop")["steps"]}


def left_out(shop: Shop) -> list[dict]:
    return shop.rows("SELECT step, detail FROM control.pipeline_log WHERE status = 'skipped' ORDER BY started_at")


def test_when_it_is_used_up_only_what_can_wait_is_left_out_and_the_log_says_why(shop):
    spent(shop, 61, utc_now())
    shop.arrive("orders", "1 1 5.00 2024-01-01")

    steps = run(shop)

    assert steps["load orders"] == steps["fact fact_orders"] == "succeeded"
    assert {step: status for step, status in steps.items() if status == "skipped"} == {"measure orders_by_month": "skipped", "sweep": "skipped"}
    row = left_out(shop)[0]
    detail = json.loads(row["detail"])
    assert (row["step"], detail["reason"], detail["budget_seconds"]) == ("measure orders_by_month", "budget", 60)
    assert detail["spent_seconds"] >= 61 and detail["again_at"] == str(MIDNIGHT + dt.timedelta(days=1))
    assert shop.rows("SELECT status FROM control.last_runs WHERE run_id <> 'earlier'")[0]["status"] == "succeeded"


def test_the_next_day_makes_up_for_it_by_itself(shop, monkeypatch):
    spent(shop, 61, utc_now())
    shop.arrive("orders", "1 1 5.00 2024-01-01")
    run(shop)
    assert shop.rows("SELECT * FROM gold.orders_by_month") == []

    monkeypatch.setattr(budgets, "utc_now", lambda: MIDNIGHT + dt.timedelta(days=1, minutes=1))
    steps = run(shop)

    assert steps["measure orders_by_month"] == "succeeded" and "skipped" not in steps.values()
    assert shop.rows("SELECT orders FROM gold.orders_by_month")[0]["orders"] == 1


@pytest.mark.parametrize(("seconds", "status", "is_left"), [
    pytest.param(59, "succeeded", False, id="a second is left"),
    pytest.param(60, "succeeded", True, id="to the second"),
    pytest.param(60, "failed", True, id="failures cost as well"),
    pytest.param(60, "skipped", False, id="what was left out cost nothing"),
    pytest.param(60, "ended", False, id="a run is not a step"),
])  # fmt: skip
def test_what_counts_is_the_time_of_today_s_steps(shop, seconds, status, is_left):
    spent(shop, seconds, utc_now(), status)
    spent(shop, 3600, MIDNIGHT - dt.timedelta(seconds=1))

    opened = shop.handlers.open_run(shop.session, "shop", "now")

    assert bool(budgets.left_out(opened, "sweep", "sweep")) == is_left
    assert budgets.left_out(opened, "load", "load orders") is None


def test_who_asks_for_a_step_by_name_gets_it_and_so_does_a_resumed_run(shop):
    spent(shop, 61, utc_now())
    shop.arrive("orders", "1 1 5.00 2024-01-01")
    skipped = shop.handlers.run_pipeline(shop.session, "shop")["run_id"]
    assert len(left_out(shop)) == 2

    assert shop.step("sweep", "")["status"] == "nothing new"
    resumed = shop.handlers.resume(shop.session, skipped)

    assert {step["step"]: step["status"] for step in resumed["steps"]}["measure orders_by_month"] == "succeeded"


def test_a_pipeline_without_a_budget_asks_nothing(shop):
    shop.apply(SHOP)
    opened = shop.handlers.open_run(shop.session, "shop", "now")
    before = shop.bench.account.counted["run"]

    assert budgets.left_out(opened, "sweep", "sweep") is None
    assert shop.bench.account.counted["run"] == before


def test_it_is_told_once_and_over_the_next_day(shop):
    spent(shop, 61, utc_now())
    opened = shop.handlers.open_run(shop.session, "shop", "now")

    today, tomorrow = budget_looked(opened, utc_now()), budget_looked(opened, MIDNIGHT + dt.timedelta(days=1, minutes=1))

    assert [(trouble.kind, trouble.subject, trouble.severity) for trouble in today.troubles] == [("budget", "shop", "warning")]
    assert ("budget", "shop") in tomorrow.well
    for _ in range(2):
        shop.handlers.run_step(shop.session, "shop", "finish", "")
    assert [row["kind"] for row in shop.rows("SELECT kind FROM control.alerts WHERE kind = 'budget'")] == ["budget"]
