"""What the fact and measure steps cost in statements: each is a round trip and, on an account, a compilation.

BEGIN and COMMIT, the turn and the log are among them; the client asks nothing that the spec says.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from tests.gold.oracle import Event
from tests.gold.rig import Shop

JANUARY = dt.datetime(2024, 1, 15)


def line(number: int, at: dt.datetime = JANUARY, quantity: int = 1, day: int = 0) -> Event:
    own = {"order_id": str(number), "line_no": 1, "customer_id": 1, "sku": "A", "quantity": quantity, "price": Decimal("1.00"), "region": "north"}
    said = at + dt.timedelta(days=day)
    return {**own, "status": "paid", "ordered_at": at, "updated_at": said, "effective_at": said, "op": None, "is_deleted": False}


def customer(city: str, at: dt.datetime) -> Event:
    return {"customer_id": 1, "city": city, "name": "Ann", "changed_at": at, "op": None, "effective_at": at, "is_deleted": False}


def product(at: dt.datetime) -> Event:
    return {"sku": "A", "title": "a thing", "changed_at": at, "op": None, "effective_at": at, "is_deleted": False}


def opened(shop: Shop) -> None:
    """A customer, a product, and orders in January and March."""
    shop.put("customers", [customer("Oslo", dt.datetime(2024, 1, 1))])
    shop.put("products", [product(dt.datetime(2024, 1, 1))])
    shop.put("orders", [line(1), line(2), line(3, dt.datetime(2024, 3, 1))])
    shop.all_steps()


def cost(shop: Shop, step: str, target: str) -> tuple[dict[str, Any], int]:
    """What a step did, and its statements; it asked the server to describe nothing."""
    before = dict(shop.bench.account.counted)
    done = shop.step(step, target)
    after = shop.bench.account.counted
    assert after["described"] == before["described"], "the client asked the server what the spec says"
    return done, after["run"] - before["run"]


def test_first_words_on_facts_are_twelve_statements(shop):
    opened(shop)
    shop.put("orders", [line(4), line(5)])

    done, statements = cost(shop, "fact", "fact_orders")

    assert (done["inserted"], done["updated"]) == (2, 0)
    assert statements <= 12  # one for each of its two KPIs among them


def test_corrections_are_twenty_statements(shop):
    opened(shop)
    shop.put("orders", [line(1, quantity=5, day=1), line(6)])

    done, statements = cost(shop, "fact", "fact_orders")

    assert (done["inserted"], done["updated"]) == (1, 1)
    assert statements <= 20  # the look for inferred members, in two dimensions, among them


def test_pointing_again_is_fifteen_statements_and_touches_only_facts_inside_the_window(shop):
    opened(shop)
    shop.put("customers", [customer("Rome", dt.datetime(2024, 2, 1))])
    shop.step("dimension", "dim_customer")
    before = {row["order_id"]: row["batch_no"] for row in shop.rows("SELECT order_id, batch_no FROM firn.gold.fact_orders")}

    done, statements = cost(shop, "fact", "fact_orders")

    after = {row["order_id"]: row["batch_no"] for row in shop.rows("SELECT order_id, batch_no FROM firn.gold.fact_orders")}
    assert (done["inserted"], done["updated"]) == (0, 1)
    assert [number for number in sorted(after) if after[number] != before[number]] == ["3"]
    assert statements <= 15


def test_a_touched_month_is_nine_statements(shop):
    opened(shop)
    shop.put("orders", [line(1, quantity=5, day=1)])
    shop.step("fact", "fact_orders")

    done, statements = cost(shop, "measure", "monthly")

    assert (done["read"], done["updated"]) == (1, 1)
    assert statements <= 9


def test_a_month_that_comes_out_as_it_stands_is_not_written(shop):
    opened(shop)
    shop.put("orders", [{**line(1, day=1), "region": "south"}])
    shop.step("fact", "fact_orders")

    done, statements = cost(shop, "measure", "monthly")

    assert (done["read"], done["duplicate"], done["updated"]) == (1, 1, 0)
    assert statements <= 9


def test_steps_with_nothing_new_are_six_statements_and_five(shop):
    opened(shop)

    for step, target, expected in (("fact", "fact_orders", 6), ("measure", "monthly", 5)):
        done, statements = cost(shop, step, target)
        assert (done["status"], statements) == ("nothing new", expected)


def test_all_of_it_again_leaves_what_is_right_and_removes_what_nobody_desires(shop):
    opened(shop)
    before = shop.rows("SELECT month, computed_at, batch_no FROM firn.gold.monthly ORDER BY month")
    shop.bench.duck("INSERT INTO firn.gold.monthly (month, computed_at, batch_no) VALUES (DATE '1999-01-01', TIMESTAMP '2024-01-01', 1)")
    shop.bench.duck("UPDATE firn.control.parameter_control SET last_batch = 0 WHERE step = 'measure monthly'")  # as after its definition changed

    done, _ = cost(shop, "measure", "monthly")

    assert (done["read"], done["duplicate"], done["inserted"], done["updated"], done["deleted"]) == (2, 2, 0, 0, 1)
    assert shop.rows("SELECT month, computed_at, batch_no FROM firn.gold.monthly ORDER BY month") == before
