"""What reconcile finds: a fault is planted by hand in one place, and reconcile names it."""

from __future__ import annotations

import datetime as dt

import pytest
import reconciling

from tests.keeping.shop import order


def reconcile(shop):
    return shop.handlers.reconcile(shop.session, "shop")


def named(shop):
    with pytest.raises(reconciling.Imbalance) as raised:
        reconcile(shop)
    return str(raised.value)


def comparison(answer, part, name):
    return next(c for c in answer["comparisons"] if (c["part"], c["comparison"]) == (part, name))


def test_a_pipeline_that_is_right_balances_and_says_with_which_numbers(shop):
    answer = reconcile(shop)

    assert answer["balanced"]
    assert {c["differences"] for c in answer["comparisons"]} == {0, None}
    silver = comparison(answer, "source orders", "ledger and silver")
    assert (silver["expected"], silver["found"], silver["duplicate"]) == (4, 4, 3)
    facts = comparison(answer, "fact fact_orders", "events of silver and facts")
    assert (facts["events"], facts["superseded"], facts["expected"], facts["found"]) == (4, 1, 3, 3)
    assert comparison(answer, "source orders", "ledger and quarantine")["found"] == 1
    stored = shop.duck("SELECT count(*), sum(difference_count) FROM firn.control.reconciliation")
    assert stored == [(len(answer["comparisons"]), 0)]


def test_without_a_listing_it_says_so_and_compares_from_bronze_on(shop):
    bucket = comparison(reconcile(shop), "source orders", "bucket and bronze")

    assert bucket["differences"] is None and "landing_files is not there or not granted" in bucket["not_made"]


@pytest.mark.parametrize(("plant", "comparison", "found"), [
    pytest.param("DELETE FROM firn_landing.bronze.orders WHERE _file_name = 'o2.csv' AND _row_number = 1", "bronze_and_ledger orders",
                 "source orders, ledger and bronze: expected 8, found 7, 1 differ: file_name o2.csv", id="a row of bronze deleted"),
    pytest.param("DELETE FROM firn_landing.bronze.customers WHERE _file_name = 'c2.csv'", "bronze_and_ledger customers",
                 "ledger and bronze: expected 4, found 2, 1 differ: file_name c2.csv", id="a file of bronze deleted"),
    pytest.param("INSERT INTO firn.silver.orders SELECT * FROM firn.silver.orders WHERE order_id = 'D'", "ledger_and_silver orders",
                 "ledger and silver: expected 4, found 5, 1 differ: file_name o2.csv", id="a row of silver doubled"),
    pytest.param("INSERT INTO firn.silver.orders SELECT * FROM firn.silver.orders WHERE order_id = 'D'", "places_once orders",
                 "each place once in silver: expected 4, found 5, 1 differ: file_name o2.csv, content_key content of o2.csv, row_number 2, order_id D", id="a row of silver doubled, by its key"),
    pytest.param("DELETE FROM firn.silver.customers WHERE city = 'Bergen'", "ledger_and_silver customers",
                 "ledger and silver: expected 3, found 2, 1 differ: file_name c2.csv", id="a row of silver deleted"),
    pytest.param("DELETE FROM firn.control.ledger WHERE file_name = 'o1.csv' AND NOT is_duplicate", "ledger_and_silver orders",
                 "ledger and silver: expected 2, found 4, 1 differ: file_name o1.csv", id="a range of the ledger missing"),
    pytest.param("DELETE FROM firn.control.quarantine WHERE source = 'orders'", "ledger_and_quarantine orders",
                 "ledger and quarantine: expected 1, found 0, 1 differ: file_name o1.csv", id="a row of the quarantine deleted"),
    pytest.param("INSERT INTO firn.gold.fact_orders SELECT * FROM firn.gold.fact_orders WHERE order_id = 'A'", "silver_and_fact fact_orders",
                 "events of silver and facts: expected 3, found 4, 1 differ: order_id A", id="a fact doubled"),
    pytest.param("DELETE FROM firn.gold.fact_orders WHERE order_id = 'B'", "silver_and_fact fact_orders",
                 "events of silver and facts: expected 3, found 2, 1 differ: order_id B", id="a fact deleted"),
    pytest.param("UPDATE firn.gold.fact_orders SET amount = 11 WHERE order_id = 'A'", "silver_and_fact fact_orders",
                 "events of silver and facts: expected 3, found 3, 2 differ: order_id A", id="a fact changed"),
    pytest.param("DELETE FROM firn.gold.dim_customer WHERE customer_id = 2", "silver_and_dimension dim_customer",
                 "keys of silver and of the dimension: expected 2, found 1, 1 differ: customer_id 2", id="a member deleted"),
    pytest.param("INSERT INTO firn.gold.dim_customer SELECT * FROM firn.gold.dim_customer WHERE customer_id = 2", "versions_once dim_customer",
                 "each version once: expected 3, found 4, 1 differ: customer_id 2", id="a version doubled"),
    pytest.param("UPDATE firn.gold.monthly SET revenue = revenue + 1 WHERE month = DATE '2024-01-01'", "fact_and_kpi monthly",
                 "numbers of the fact and of the KPI: expected 2, found 2, 2 differ: month 2024-01-01", id="a number changed"),
    pytest.param("INSERT INTO firn.stage.orders (order_id, file_name, row_number, loaded_at) VALUES ('left over', 'f', 1, now()::TIMESTAMP)", "stage_empty orders",
                 "stage is empty: expected 0, found 1, 1 differ: table stage.orders", id="the stage not emptied"),
])  # fmt: skip
def test_a_fault_planted_by_hand_is_named(shop, plant, comparison, found):
    run = shop.opened()
    function, name = comparison.split()
    parts = (*run.pipeline.sources, *run.pipeline.dimensions, *run.pipeline.facts, *run.pipeline.kpis)
    part = next(part for part in parts if part.name == name)
    now = (dt.datetime(2024, 7, 1),) if function == "bronze_and_ledger" else ()
    shop.duck(plant)

    assert found in str(getattr(reconciling, function)(run, part, *now))


def test_an_imbalance_is_in_the_log_and_in_its_table_and_nothing_else_was_changed(shop):
    shop.duck("DELETE FROM firn.silver.customers WHERE city = 'Bergen'")
    before = shop.contents()

    named(shop)

    assert shop.contents() == before
    assert [row[:3] for row in shop.log("step = 'reconcile'")] == [("reconcile", "failed", "guard")]
    assert shop.duck("SELECT part, comparison, expected_count, found_count FROM firn.control.reconciliation WHERE difference_count > 0 ORDER BY part") == [
        ("source customers", "ledger and silver", 3, 2)
    ]


def test_rows_that_wait_for_their_run_are_no_imbalance(shop):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")])

    assert comparison(reconcile(shop), "source orders", "ledger and bronze")["waiting"] == 1

    run = shop.opened()
    shop.handlers.run_one(run, "load", "orders")
    assert reconcile(shop)["balanced"], "events that the fact has not seen are its next batch"


def test_a_row_released_from_quarantine_is_accounted_for(shop):
    quarantine_id = shop.duck("SELECT quarantine_id FROM firn.control.quarantine")[0][0]
    shop.handlers.correct_quarantine(shop.session, quarantine_id, {"amount": "7"})
    assert shop.handlers.replay_quarantine(shop.session, "orders")["written"] == 1

    answer = reconcile(shop)

    assert comparison(answer, "source orders", "ledger and silver")["found"] == 5


# --- the bucket


@pytest.fixture
def listing(shop):
    shop.duck("CREATE TABLE firn_landing.bronze.landing_files (file_name VARCHAR, byte_count BIGINT, modified_at TIMESTAMP)")
    yield lambda name, size=100, at=dt.datetime(2024, 6, 1): shop.duck("INSERT INTO firn_landing.bronze.landing_files VALUES (?, ?, ?)", [name, size, at])
    shop.duck("DROP TABLE firn_landing.bronze.landing_files")


def test_a_file_of_the_bucket_that_never_reached_bronze_is_named(shop, listing):
    shop.duck("UPDATE firn_landing.bronze.orders SET _file_name = 'shop/orders/' || _file_name")
    shop.duck("UPDATE firn.control.ledger SET file_name = 'shop/orders/' || file_name WHERE source = 'orders'")
    shop.duck("UPDATE firn.silver.orders SET file_name = 'shop/orders/' || file_name")
    shop.duck("UPDATE firn.control.quarantine SET file_name = 'shop/orders/' || file_name WHERE source = 'orders'")
    listing("shop/orders/o1.csv")
    listing("crm/of somebody else.csv")
    listing("shop/orders/empty.csv", size=0)
    listing("shop/orders/just now.csv", at=dt.datetime.now(dt.UTC).replace(tzinfo=None))
    bucket = comparison(reconcile(shop), "source orders", "bucket and bronze")
    assert (bucket["expected"], bucket["found"], bucket["under_way"]) == (1, 1, 1)
    assert "the bucket was not listed anew" in bucket["stale"], "there is a list and no stage"

    listing("shop/orders/never.csv")

    assert "bucket and bronze: expected 2, found 1, 1 differ: file_name shop/orders/never.csv" in named(shop)
