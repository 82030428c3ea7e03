"""Every kind of alert is produced by a fault, arrives once however long the fault lasts, and is followed by one recovery.

It arrives by mail, webhook and topic: `told` has the account's alert look twice and holds the outbox against `control.alerts`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from alerting import judged_outcomes, judged_shares, judged_volumes

from tests.conftest import alone
from tests.operating import watching
from tests.quarantine.rig import Shop

NOW = dt.datetime.now(dt.UTC).replace(tzinfo=None)


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    with alone(opened.session):
        for table in ("pipeline_log", "ledger", "quarantine", "alerts"):
            opened.bench.duck(f"DELETE FROM firn.control.{table}")
        opened.bench.duck("DELETE FROM firn_landing.bronze.orders")
        for table in ("delivered", "stopped"):
            opened.bench.duck(f"DELETE FROM firn_landing.watch.{table}")
        opened.bench.account.outbox.db.execute("DELETE FROM message")
        opened.bench.duck("UPDATE firn.control.parameter_control SET lets = NULL")
        opened.arrivals_from(NOW - dt.timedelta(minutes=1))
        opened.load("orders", "0 1 1.00 2024-01-01")
        yield opened


def ended(shop: Shop, times: int = 1) -> None:
    """Runs end, one after another, with everything as it is."""
    for _ in range(times):
        shop.handlers.run_step(shop.session, "shop", "finish", "")


def told(shop: Shop) -> list[tuple[str, str, str]]:
    """What the log of alerts has, which is what has arrived by each way, once."""
    rows = shop.rows("SELECT alert_id, kind, subject, state FROM control.alerts ORDER BY happened_at, state")
    account = shop.bench.account
    assert watching.look(account) in ("TRIGGERED", "CONDITION_FALSE")
    assert watching.look(account) == "CONDITION_FALSE", "a second look has nothing to tell"
    assert [message["alert_id"] for message in watching.told(account)] == [row["alert_id"] for row in rows]
    for way in ("FIRN_MAIL", "FIRN_WEBHOOK"):
        assert len(watching.arrived(account, way)) == len(rows)
    return [(row["kind"], row["subject"], row["state"]) for row in rows]


def test_when_all_is_well_nobody_is_told(shop):
    ended(shop, 2)

    assert told(shop) == []


def test_a_step_that_fails_is_told_once_and_once_when_it_works_again(shop, monkeypatch):
    import steps

    def broken(*_: object) -> None:
        raise OSError("the disk is full\nand more")

    monkeypatch.setitem(steps.STEPS, "fact", broken)
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            shop.step("fact", "fact_orders")
        ended(shop)
    assert told(shop) == [("failure", "fact fact_orders", "raised")]
    assert shop.rows("SELECT message FROM control.alerts")[0]["message"] == "fact fact_orders failed: OSError: the disk is full"

    monkeypatch.undo()
    shop.step("fact", "fact_orders")
    ended(shop, 2)

    assert told(shop) == [("failure", "fact fact_orders", "raised"), ("failure", "fact fact_orders", "recovered")]
    first, second = shop.rows("SELECT alert_id, recovers FROM control.alerts ORDER BY happened_at")
    assert second["recovers"] == first["alert_id"]


def test_rows_that_do_not_add_up_are_told_as_what_they_are(shop, monkeypatch):
    import loading

    events = loading.events
    monkeypatch.setattr(loading, "events", lambda *arguments: events(*arguments).limit(0))
    shop.arrive("orders", "1 1 5.00 2024-01-01")
    with pytest.raises(RuntimeError, match="do not add up"):
        shop.step("load", "orders")
    ended(shop, 2)
    assert told(shop) == [("accounts_imbalance", "load orders", "raised")]

    monkeypatch.undo()
    shop.step("load", "orders")
    ended(shop)

    assert told(shop)[1:] == [("accounts_imbalance", "load orders", "recovered")]


def test_a_fact_that_is_older_than_allowed_is_told_until_something_arrives(shop):
    shop.bench.duck("UPDATE firn.control.parameter_control SET lets = lets - INTERVAL 1 HOUR WHERE source = 'orders'")
    ended(shop, 2)
    assert told(shop) == [("freshness", "fact_orders", "raised")]
    assert "0:15:00 are allowed" in shop.rows("SELECT message FROM control.alerts")[0]["message"]

    shop.load("orders", "2 1 1.00 2024-01-01")
    ended(shop)

    assert told(shop)[1:] == [("freshness", "fact_orders", "recovered")]


def test_an_unusual_share_in_quarantine_is_told_until_a_load_is_as_usual_again(shop):
    lines = [f"{number} 1 1.00 2024-01-01" for number in range(100, 130)]
    shop.load("orders", *lines)
    ended(shop)
    shop.load("orders", *[line.replace(" 1.00", " -1.00") for line in lines])
    ended(shop, 2)
    assert told(shop) == [("quarantine_spike", "orders", "raised")]
    assert json.loads(shop.rows("SELECT detail FROM control.alerts")[0]["detail"])["share"] == 1

    shop.load("orders", *[line.replace(" 1.00", " 2.00") for line in lines])
    ended(shop)

    assert told(shop)[1:] == [("quarantine_spike", "orders", "recovered")]


def test_an_unusual_number_of_rows_on_a_weekday_is_a_warning(shop):
    def day(number: int, rows: int) -> None:
        at = NOW - dt.timedelta(days=number)
        shop.bench.duck(
            "INSERT INTO firn.control.ledger (pipeline, source, file_name, content_key, loaded_at, first_row, last_row, row_count, is_duplicate, batch_no, taken_at) "
            "VALUES ('shop', 'orders', ?, ?, ?, 1, ?, ?, FALSE, 1, ?)",
            [f"day {number}", f"day {number}", at, rows, rows, at],
        )

    for week in range(1, 7):
        day(1 + 7 * week, 100 + week)
    day(1, 20)
    ended(shop, 2)
    assert told(shop) == [("volume_anomaly", "orders", "raised")]
    row = shop.rows("SELECT severity, message FROM control.alerts")[0]
    assert row["severity"] == "warning"
    assert "orders: 20 rows" in row["message"] and "usual are 104" in row["message"]

    shop.bench.duck("UPDATE firn.control.ledger SET row_count = 90 WHERE file_name = 'day 1'")
    ended(shop)

    assert told(shop)[1:] == [("volume_anomaly", "orders", "recovered")]


# --- what counts as unusual, without an account


@pytest.mark.parametrize(("loads", "is_told"), [
    pytest.param([(100, 4)], False, id="four of a hundred are nothing"),
    pytest.param([(100, 5)], True, id="five are, when none is usual"),
    pytest.param([(100, 14), (100, 5), (100, 5)], False, id="less than three times the usual"),
    pytest.param([(100, 16), (100, 5), (100, 5)], True, id="more than three times the usual"),
    pytest.param([(19, 19)], False, id="too few rows to say"),
])  # fmt: skip
def test_a_share_is_unusual_beside_the_loads_before_it(loads, is_told):
    assert bool(judged_shares({"orders": loads}).troubles) == is_told


@pytest.mark.parametrize(("before", "rows", "is_told"), [
    pytest.param([100, 100, 100], 0, False, id="three weeks say nothing"),
    pytest.param([100, 100, 100, 100], 51, False, id="half of it is within reach"),
    pytest.param([100, 100, 100, 100], 49, True, id="less than half is not"),
    pytest.param([100, 10, 190, 100, 60], 240, False, id="a source that varies may vary"),
    pytest.param([100, 100, 100, 9000], 100, False, id="one wild week spoils nothing"),
    pytest.param([0, 0, 0, 0], 0, False, id="a day of rest"),
])  # fmt: skip
def test_a_day_is_unusual_beside_the_same_weekday_of_the_weeks_before(before, rows, is_told):
    day = dt.date(2024, 3, 4)
    counts = {day - dt.timedelta(weeks=week): count for week, count in enumerate(before, 1)} | {day: rows}

    assert bool(judged_volumes({"orders": counts}, day).troubles) == is_told


def test_a_failure_after_an_imbalance_ends_the_one_and_begins_the_other():
    step = {"STEP": "load orders", "STATUS": "failed", "ERROR": "x", "ERROR_CLASS": "unknown", "RUN_ID": "r"}

    looked = judged_outcomes([step])

    assert [trouble.key for trouble in looked.troubles] == [("failure", "load orders")]
    assert ("accounts_imbalance", "load orders") in looked.well
