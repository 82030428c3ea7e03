"""What the sweep takes out of bronze, log and quarantine, and what it leaves."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.keeping.shop import LONG_AGO, order


def now():
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


@pytest.fixture
def shop(shop):
    """Everything in stock arrived in June 2024 and is past retention."""
    shop.duck("UPDATE firn.control.pipeline_spec SET spec = replace(spec, 'bronze: 3650 days', 'bronze: 7 days')")
    return shop


def sweep(shop, limit=None):
    if limit:
        shop.duck(f"UPDATE firn.control.pipeline_spec SET spec = replace(spec, 'log: 90 days', 'log: 90 days, rows_per_sweep: {limit}')")
    return shop.handlers.run_one(shop.opened(), "sweep", "")


def in_bronze(shop, source="orders"):
    return [file for (file,) in shop.duck(f"SELECT DISTINCT _file_name FROM firn_landing.bronze.{source} ORDER BY 1")]


def test_what_was_taken_and_is_past_retention_goes_and_everything_else_stays(shop):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])
    shop.put("orders", "new.csv", [order("F", 2, 5, "2024-03-01 00:00:00")], now())
    shop.handlers.run_one(shop.opened(), "load", "customers")
    before = shop.contents()

    counts = sweep(shop)

    assert in_bronze(shop) == ["new.csv", "o3.csv"], "what no load has taken stays, however old"
    assert (counts["read"], counts["deleted"], counts["held"]) == (8 + 4 + 1, 12, 1)
    assert shop.contents() == before
    assert sweep(shop)["status"] == "nothing new"
    assert shop.duck("SELECT count(*) FROM firn.control.ledger WHERE source = 'customers'") == [(0,)], "folded into the files' record"
    assert shop.handlers.reconcile(shop.session, "shop")["balanced"], "which still says what became of each row"


def test_one_sweep_takes_so_many_rows_and_the_next_goes_on(shop):
    assert sweep(shop, limit=2)["deleted"] == 3 + 2, "the oldest load of each source, whole"
    assert in_bronze(shop) == ["o1 again.csv", "o2.csv"] and in_bronze(shop, "customers") == ["c2.csv"]

    assert sweep(shop)["deleted"] == 5 + 2
    assert in_bronze(shop) == in_bronze(shop, "customers") == []


def test_rows_that_came_after_the_rest_of_their_old_load_are_still_found(shop):
    """A load is found by its count: had its taken rows gone, three rows would look like fewer than the five entered."""
    late = [order("X", 1, 1, "2024-01-01 00:00:00"), order("Y", 1, 1, "2024-01-01 00:00:00"), order("Z", 1, 1, "2024-01-01 00:00:00")]
    shop.put("orders", "o2.csv", [*[order("ignored", 1, 1, "2024-01-01 00:00:00")] * 2, *late], LONG_AGO + dt.timedelta(hours=1))
    shop.duck("DELETE FROM firn_landing.bronze.orders WHERE order_id = 'ignored'")

    sweep(shop)
    assert in_bronze(shop) == ["o2.csv"]
    shop.handlers.run_one(shop.opened(), "load", "orders")

    assert [name for (name,) in shop.duck("SELECT order_id FROM firn.silver.orders WHERE order_id IN ('X', 'Y', 'Z') ORDER BY 1")] == ["X", "Y", "Z"]


def test_the_log_keeps_what_happened_for_its_retention_and_idle_runs_for_a_day(shop):
    shop.run()
    shop.duck("UPDATE firn.control.pipeline_log SET started_at = started_at - INTERVAL 2 DAY, ended_at = ended_at - INTERVAL 2 DAY")
    sweep(shop)
    assert shop.duck("SELECT DISTINCT status FROM firn.control.pipeline_log WHERE ended_at < now()::TIMESTAMP - INTERVAL 1 DAY ORDER BY 1") == [("begun",), ("ended",), ("succeeded",)]

    shop.duck("UPDATE firn.control.pipeline_log SET ended_at = ended_at - INTERVAL 90 DAY")
    sweep(shop)

    assert shop.duck("SELECT count(*) FROM firn.control.pipeline_log WHERE ended_at < now()::TIMESTAMP - INTERVAL 1 DAY") == [(0,)]


@pytest.mark.parametrize("retention", ["7 days", "3650 days"], ids=["entries folded", "entries in the ledger"])
def test_a_decided_row_leaves_the_quarantine_after_its_retention_and_the_accounts_still_balance(shop, retention):
    shop.duck(f"UPDATE firn.control.pipeline_spec SET spec = replace(spec, 'bronze: 7 days', 'bronze: {retention}')")
    shop.put("orders", "o3.csv", [order("E", 2, 0, "2024-03-01 00:00:00")])
    shop.handlers.run_one(shop.opened(), "load", "orders")
    released = shop.duck("SELECT quarantine_id FROM firn.control.quarantine WHERE file_name = 'o1.csv'")[0][0]
    shop.handlers.correct_quarantine(shop.session, released, {"amount": "7"})
    shop.handlers.replay_quarantine(shop.session, "orders")
    sweep(shop)
    assert shop.duck("SELECT count(*) FROM firn.control.quarantine") == [(2,)], "a year has not passed"

    shop.duck("UPDATE firn.control.quarantine SET decided_at = decided_at - INTERVAL 366 DAY, quarantined_at = quarantined_at - INTERVAL 900 DAY")
    sweep(shop)

    assert shop.duck("SELECT file_name, status FROM firn.control.quarantine") == [("o3.csv", "waiting")], "what waits is never taken out"
    assert shop.handlers.reconcile(shop.session, "shop")["balanced"]
