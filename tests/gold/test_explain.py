"""explain_row: from a row of gold back to the line of the file, with what was checked, beaten and chosen on the way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import explaining
import filing
import pytest
import writing
from runs import utc_now

from tests.gold.landing import LINE, Landing


def told(landing: Landing, table: str, **key: Any) -> dict[str, Any]:
    return explaining.explain(landing.run, table, key)


def places(items: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{item['file_name']}:{item['row_number']}" for item in items)


def test_a_corrected_line_names_its_last_line_and_the_one_it_beat(landing):
    found = told(landing, "fact_orders", order_id="good", line_no=1)

    assert found["found"] and found["row"]["quantity"] == 3
    source = found["comes_from"]
    assert (source["file_name"], source["row_number"]) == ("shop/orders/b.csv", 1)
    assert source["loaded_at"] and source["content_key"] and source["loaded_by"]["run_id"]
    assert source["as_received"]["quantity"] == "3" and source["as_received"]["order_id"] == "good"
    assert places(found["beat"]) == [f"shop/orders/a.csv:{LINE['good']}"]
    assert found["beat"][0]["why"] == "older: updated_at 2024-01-20 00:00:00 is before 2024-01-22 00:00:00"
    assert found["written_by"]["run_id"]


def test_a_file_sent_again_is_told_as_a_duplicate_of_the_same_place(landing):
    found = told(landing, "fact_orders", order_id="good", line_no=1)

    assert places(found["duplicates"]) == [f"shop/orders/a_again.csv:{LINE['good']}"]
    assert found["duplicates"][0]["why"] == "the same place in the same content, taken before"


def test_a_tie_is_told_by_the_column_that_decided_and_an_equal_row_as_a_duplicate(landing):
    found = told(landing, "fact_orders", order_id="twice", line_no=1)

    assert [item["why"] for item in found["beat"]] == ["same instant: content decides, quantity 1 is below 5"]
    equal = [item for item in found["duplicates"] if item["why"] == "equal to an event in every column"]
    assert places(equal) == ["shop/orders/b.csv:2"]


def test_every_check_is_told_with_its_outcome(landing):
    checks = told(landing, "fact_orders", order_id="nobody", line_no=1)["checks"]

    assert checks["spec_version"] == 1
    assert checks["evaluated"]["customer_is_given"] == "warned"
    assert {name for name, outcome in checks["evaluated"].items() if outcome == "passed"} >= {"order_id_is_given", "quantity_is_positive", "ordered_at_is_timestamp"}


@pytest.mark.parametrize(("order", "lookup", "why"), [
    pytest.param("good", "customer", "valid_from 2024-01-10 00:00:00 <= ordered_at 2024-01-20 00:00:00 < valid_to open", id="a version"),
    pytest.param("early", "customer", "2024-01-09 23:59:59 is before the first version, which begins 2024-01-10 00:00:00", id="early"),
    pytest.param("deleted", "customer", "the key was gone at 2024-02-10 00:00:00: its version before ended 2024-02-10 00:00:00", id="gap"),
    pytest.param("nobody", "customer", "the fact names no key", id="unknown"),
    pytest.param("stranger", "customer", "only facts have named this key: an inferred member, until its first event comes", id="inferred"),
])  # fmt: skip
def test_the_version_chosen_is_told_with_the_reason(landing, order, lookup, why):
    version = told(landing, "fact_orders", order_id=order, line_no=1)["versions"][lookup]

    assert version["why"] == why


@pytest.mark.parametrize(("key", "why"), [
    pytest.param({"order_id": "negative", "line_no": 1}, "all that came for it waits in quarantine", id="quarantined"),
    pytest.param({"order_id": "never", "line_no": 1}, "no file of orders has named it", id="never came"),
    pytest.param({"order_id": "good", "line_no": "first"}, "no file of orders has named it", id="a value of another type"),
])  # fmt: skip
def test_a_row_that_is_not_there_is_explained_too(landing, key, why):
    found = told(landing, "fact_orders", **key)

    assert (found["found"], found["why_not"]) == (False, why)


def test_quarantined_rows_of_the_key_come_with_their_failed_checks(landing):
    found = told(landing, "fact_orders", order_id="euro", line_no=1)["quarantined"]

    assert [(item["file_name"], item["row_number"], item["failed_checks"]) for item in found] == [("shop/orders/a.csv", LINE["euro"], '["currency_is_usd"]')]


def test_a_customer_is_told_by_versions_and_by_what_each_event_did(landing):
    found = told(landing, "dim_customer", customer_id=1)

    assert [(version["city"], version["valid_from"], version["valid_to"]) for version in found["versions"]] == [("Oslo", "2024-01-10 00:00:00", "2024-02-10 00:00:00")]
    assert [(event["row_number"], event["did"]) for event in found["events"]] == [(2, "closed the version that ends then"), (1, "opened the version that begins then")]


def test_an_inferred_customer_says_that_only_facts_have_named_it(landing):
    found = told(landing, "dim_customer", customer_id=99)

    assert found["found"] and found["why_inferred"] == "only facts have named it"


def test_a_number_is_told_by_the_facts_behind_it_and_agrees_with_them(landing):
    found = told(landing, "monthly_metrics", month="2024-02-01")

    assert (found["row"]["revenue"], found["agrees"], found["fact_count"]) == (10, True, 1)
    assert found["facts"] == [{"order_id": "deleted", "line_no": 1}]
    assert found["where"] == "status <> 'cancelled'" and found["means"]["revenue"] == "sum(amount)"


def test_the_lines_that_name_nobody_are_a_group_of_their_own(landing):
    found = told(landing, "customer_report", customer_id=None)

    assert found["agrees"] and found["facts"] == [{"order_id": "nobody", "line_no": 1}]


@contextmanager
def swept(landing: Landing, files: str) -> Iterator[None]:
    """Bronze without the orders of these files, for as long as it is looked at."""
    kept = landing.rows(f"SELECT * FROM firn_landing.bronze.orders WHERE _file_name LIKE '{files}'")
    landing.bench.duck(f"DELETE FROM firn_landing.bronze.orders WHERE _file_name LIKE '{files}'")
    try:
        yield
    finally:
        for row in kept:
            landing.bench.duck(f"INSERT INTO firn_landing.bronze.orders VALUES ({', '.join('?' * len(row))})", list(row.values()))


def test_after_the_sweep_the_ledger_still_knows_of_the_file_that_came_twice(landing):
    with swept(landing, "%again%"):
        found = told(landing, "fact_orders", order_id="stranger", line_no=1)

    assert places(found["duplicates"]) == [f"shop/orders/a_again.csv:{LINE['stranger']}"]


def test_after_the_fold_the_record_of_files_knows_of_the_file_that_came_twice(landing):
    """Entries of files that are gone from bronze are folded into one row per file, and leave the ledger."""
    session, orders = landing.bench.session, landing.spec.source("orders")
    with swept(landing, "%"), writing.transaction(session) as opened:
        opened.keep = False
        folded = filing.fold(session, "firn_landing.bronze.orders", landing.spec.name, orders, dt.datetime(2100, 1, 1), utc_now())
        left = session.sql("SELECT COUNT(*) FROM control.ledger WHERE source = 'orders'").collect()[0][0]
        found = told(landing, "fact_orders", order_id="stranger", line_no=1)

    assert (folded, left) == (3, 0)
    assert places(found["duplicates"]) == [f"shop/orders/a_again.csv:{LINE['stranger']}"]


@pytest.mark.parametrize("key", [{}, {"order_id": "good"}, {"order_id": "good", "line_no": 1, "colour": "red"}], ids=["empty", "half", "too much"])
def test_a_key_that_is_not_the_tables_is_refused_with_the_one_it_has(landing, key):
    with pytest.raises(explaining.KeyRefused, match="gold.fact_orders is known by order_id, line_no"):
        told(landing, "fact_orders", **key)
