"""A source set back: what was taken after a moment is taken again, and the end is as if it had been taken so at first."""

from __future__ import annotations

import datetime as dt

import pytest
import rewinding

from tests.keeping.shop import LONG_AGO, SPEC, Shop, customer, order, stock

BEGINNING = dt.datetime(1900, 1, 1)
# Cities in capitals, small orders wait: customer 2 keeps no event but a bad one, order A has none left.
STRICTER = SPEC.replace("city:        {type: text, clean: [trim]}", "city:        {type: text, clean: [trim, upper]}").replace(
    "amount_is_positive: amount > 0", "amount_is_large: amount > 15"
).replace("city_is_given: city is not null", "city_is_not_rome: city <> 'ROME'")  # fmt: skip


def rewind(shop, source, to_at, dry_run=False):
    return shop.handlers.rewind(shop.session, source, to_at, dry_run)


def keys(shop):
    return shop.duck("SELECT customer_id, customer_key, customer_version_key FROM firn.gold.dim_customer ORDER BY ALL")


@pytest.mark.parametrize("to_at", [
    pytest.param(BEGINNING, id="all"),
    pytest.param(LONG_AGO, id="the later files", marks=pytest.mark.nightly),
    pytest.param(dt.datetime(2030, 1, 1), id="nothing", marks=pytest.mark.nightly),
])  # fmt: skip
def test_when_nothing_else_changed_the_history_after_is_the_history_before(shop, to_at):
    before, numbers = shop.contents(), keys(shop)

    rewind(shop, "orders", to_at)
    rewind(shop, "customers", to_at)
    shop.run()

    assert shop.contents() == before
    assert keys(shop) == numbers, "members keep their keys"
    assert shop.handlers.reconcile(shop.session, "shop")["balanced"]


def test_it_says_what_it_took_back_and_took_again(shop):
    answer = rewind(shop, "orders", LONG_AGO)

    assert answer["undone"] == {"events": 2, "waiting": 0, "entries": 2, "decided_and_left": 0}
    assert answer["taken"] == {"read": 5, "written": 2, "duplicate": 3, "quarantined": 0}
    assert shop.duck("SELECT lets FROM firn.control.parameter_control WHERE step = 'load orders'") == [(LONG_AGO + dt.timedelta(hours=1),)]
    assert [row[:2] for row in shop.log("step LIKE 'rewind%'")] == [("rewind orders", "succeeded")]


@pytest.mark.parametrize("source", ["orders", "customers"])
def test_a_dry_run_gives_the_numbers_and_changes_nothing(shop, source):
    shop.apply(STRICTER)
    state = {table: shop.content(table) for table in ("control.ledger", "control.parameter_control", "control.quarantine", "silver.orders", "gold.fact_orders")}

    answer = rewind(shop, source, BEGINNING, dry_run=True)

    assert answer["removed"] == ({"fact_orders": 1} if source == "orders" else {"dim_customer": 1})
    assert {table: shop.content(table) for table in state} == state


def test_with_another_spec_it_comes_out_as_if_built_afresh(shop, tmp_path):
    fresh = Shop(tmp_path, STRICTER)
    stock(fresh)
    fresh.run()
    shop.apply(STRICTER)

    rewind(shop, "customers", BEGINNING)
    rewind(shop, "orders", BEGINNING)
    shop.run()

    expected, found = fresh.contents(), shop.contents()
    fresh.close()
    assert found == expected
    assert shop.duck("SELECT customer_id FROM firn.gold.dim_customer WHERE is_inferred") == [(2,)], "a fact still names customer 2"
    assert shop.handlers.reconcile(shop.session, "shop")["balanced"]


def test_it_refuses_with_numbers_when_the_sweep_has_taken_rows(shop):
    shop.duck("DELETE FROM firn_landing.bronze.orders WHERE _file_name = 'o1.csv'")
    before = shop.contents("silver.orders", "control.ledger", "control.parameter_control")

    with pytest.raises(rewinding.RewindRefused, match=r"orders: of 5 rows taken after 1900-01-01 00:00:00, 3 are no longer in bronze.*2024-06-01 00:00:00"):
        rewind(shop, "orders", BEGINNING)

    assert {table: shop.content(table) for table in before if table != "control.parameter_control"} == {
        table: rows for table, rows in before.items() if table != "control.parameter_control"
    }
    assert rewind(shop, "orders", LONG_AGO)["taken"]["written"] == 2, "to the moment it names it goes"


def test_when_the_ledger_is_folded_lets_is_still_where_it_was_and_old_rows_are_refused(shop):
    """What was taken of swept files stands in the files' record; the ledger knows nothing of it any more."""
    shop.apply(SPEC.replace("bronze: 3650 days", "bronze: 1 day"))
    shop.run()
    assert shop.duck("SELECT count(*) FROM firn.control.ledger") == [(0,)] and shop.duck("SELECT count(*) FROM firn.control.file_ledger") == [(5,)]
    newest = LONG_AGO + dt.timedelta(hours=1)
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")], newest + dt.timedelta(days=30))
    shop.handlers.run_one(shop.opened(), "load", "orders")

    answer = rewind(shop, "orders", newest)

    assert answer["taken"] == {"read": 1, "written": 1, "duplicate": 0, "quarantined": 0}
    assert answer["lets_from"] == str(newest)
    with pytest.raises(rewinding.RewindRefused, match=r"of 6 rows taken after 1900-01-01 00:00:00, 5 are no longer in bronze.*control.file_ledger"):
        rewind(shop, "orders", BEGINNING)


def test_what_was_decided_by_hand_stays_decided(shop):
    quarantine_id = shop.duck("SELECT quarantine_id FROM firn.control.quarantine")[0][0]
    shop.handlers.correct_quarantine(shop.session, quarantine_id, {"amount": "7"})
    shop.handlers.replay_quarantine(shop.session, "orders")
    shop.run()
    before = shop.contents()

    assert rewind(shop, "orders", BEGINNING)["undone"]["decided_and_left"] == 1
    shop.run()

    assert shop.contents() == before
    assert shop.duck("SELECT amount FROM firn.gold.fact_orders WHERE order_id = 'C'") == [(7,)]
    assert shop.handlers.reconcile(shop.session, "shop")["balanced"]


@pytest.mark.nightly
def test_rewound_twice_is_rewound_once(shop):
    before = shop.contents()
    for _ in range(2):
        rewind(shop, "orders", BEGINNING)
    shop.run()

    assert shop.contents() == before


def test_a_rewind_that_fails_leaves_everything_as_it_was(shop, monkeypatch):
    import applying

    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(applying, "set_back", fail)
    before = shop.contents("silver.orders", "control.ledger", "control.quarantine", "gold.fact_orders")

    with pytest.raises(ValueError, match="no"):
        rewind(shop, "orders", BEGINNING)

    assert shop.contents(*before) == before


@pytest.mark.nightly
def test_rows_that_arrived_meanwhile_are_taken_with_it(shop):
    shop.put("customers", "c3.csv", [customer(3, "Lima", "2024-03-01 00:00:00")], LONG_AGO + dt.timedelta(hours=2))
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")], LONG_AGO + dt.timedelta(hours=2))

    assert rewind(shop, "orders", LONG_AGO)["taken"]["written"] == 3
    shop.run()

    assert shop.duck("SELECT count(*) FROM firn.gold.fact_orders") == [(4,)]


def test_rows_further_back_than_the_overlap_are_taken_too(shop):
    shop.put("orders", "o3.csv", [order("E", 2, 5, "2024-03-01 00:00:00")], LONG_AGO + dt.timedelta(days=9))
    shop.handlers.run_one(shop.opened(), "load", "orders")

    answer = rewind(shop, "orders", BEGINNING)

    assert (answer["undone"]["events"], answer["taken"]["read"], answer["taken"]["written"]) == (5, 9, 5)
