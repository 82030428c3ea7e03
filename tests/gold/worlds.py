"""Small worlds of customers, products and order lines, and the orders in which their events may arrive."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

from tests.gold.oracle import Event

Events = dict[str, list[Event]]
SOURCES = ("customers", "products", "orders")


def world(number: int, dice: random.Random) -> Events:
    """Few keys, few days, few values: ties, repetitions, deletions, moves and strangers are common.

    A world has keys, months and regions of its own: what is not computed again in one is not mended by another.
    """
    months = 2 * number
    first_day = dt.datetime(2020 + months // 12, months % 12 + 1, 1) - dt.timedelta(days=4)

    def day(after: int) -> dt.datetime:
        """A week around the end of a month."""
        return first_day + dt.timedelta(days=after)

    def event(source: str, **values: object) -> Event:
        at, gone = day(dice.randint(1, 7)), dice.random() < 0.2
        moment = "updated_at" if source == "orders" else "changed_at"
        return {**values, moment: at, "effective_at": at, "op": "D" if gone else None, "is_deleted": gone}

    def customer() -> Event:
        return event("customers", customer_id=10 * number + dice.randint(1, 2), city=dice.choice(["A", "B", None]), name=dice.choice(["x", "y"]))

    def product() -> Event:
        return event("products", sku=f"{number}-{dice.randint(1, 2)}", title=dice.choice(["p", "q"]))

    def line() -> Event:
        return event(
            "orders",
            order_id=f"{number}-{dice.randint(1, 2)}",
            line_no=dice.randint(1, 2),
            customer_id=dice.choice([10 * number + 1, 10 * number + 1, 10 * number + 2, 10 * number + 3, None]),
            sku=dice.choice([f"{number}-1", f"{number}-2", f"{number}-3", None]),
            quantity=dice.choice([1, 2, 3, None]),
            price=dice.choice([Decimal("2.50"), Decimal("0.01")]),
            region=dice.choice([f"north {number}", f"south {number}", None]),
            status=dice.choice(["paid", "paid", "cancelled", "draft", None]),
            ordered_at=dice.choice([day(dice.randint(1, 7)), day(dice.randint(1, 7)), day(dice.randint(1, 7)), None]),
        )

    return {
        "customers": [customer() for _ in range(dice.randint(0, 5))],
        "products": [product() for _ in range(dice.randint(0, 4))],
        "orders": [line() for _ in range(dice.randint(1, 6))],
    }


def worlds(count: int, dice: random.Random) -> Events:
    """Many worlds side by side; each has keys of its own."""
    many = [world(number, dice) for number in range(1, count + 1)]
    return {source: [event for one in many for event in one[source]] for source in SOURCES}


def cut(events: Events, batches: int, dice: random.Random) -> list[Events]:
    """An arrival: every event in one of the batches."""
    made: list[Events] = [{source: [] for source in SOURCES} for _ in range(batches)]
    for source in SOURCES:
        for event in dice.sample(events[source], len(events[source])):
            made[dice.randrange(batches)][source].append(event)
    return made
