"""Facts loaded before, after and between dimension changes give the same gold (design/semantics.md, rules 1, 35, 36, 37)."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import catalogue
import pytest

from tests.gold import oracle, worlds
from tests.gold.rig import STEPS, Shop, told


def check(shop: Shop, events: worlds.Events, when: str) -> None:
    found, expected = shop.gold(), oracle.gold(events)
    for table, rows in expected.items():
        assert told(found[table]) == told(rows), f"{table} {when}"


def check_keys(shop: Shop, when: str) -> None:
    """What is declared RELY is true: primary keys are unique and complete, foreign keys find their row; the calendar has no holes."""
    for table in catalogue.gold(shop.spec):
        key = ", ".join(table.key)
        if table.key:
            wrong = shop.rows(f"SELECT {key}, count(*) AS n FROM firn.{table.table} GROUP BY ALL HAVING n > 1 OR {' OR '.join(f'{column} IS NULL' for column in table.key)}")
            assert not wrong, f"{table.table} {when}: {wrong}"
        for link in table.references:
            lost = shop.rows(f"SELECT {link.column} FROM firn.{table.table} WHERE {link.column} IS NULL OR {link.column} NOT IN (SELECT {link.key} FROM firn.{link.table})")
            assert not lost, f"{table.table}.{link.column} {when}: {lost}"
    (days,) = shop.rows("SELECT count(*) AS n, date_diff('day', min(calendar_date), max(calendar_date)) + 1 AS reach FROM firn.gold.dim_date WHERE date_key > 0")
    assert days["n"] == (days["reach"] or 0), when


def receive(shop: Shop, batch: worlds.Events, known: worlds.Events, dice: random.Random) -> None:
    """A batch, source after source in any order, with some steps out of their turn in between."""
    for source in dice.sample(worlds.SOURCES, len(worlds.SOURCES)):
        shop.put(source, batch[source])
        known[source] += batch[source]
        if dice.random() < 0.4:
            shop.step(*dice.choice(STEPS))


def follow(shop: Shop, seed: int, count: int = 60, batches: int = 3) -> None:
    """After every batch, whatever came in whatever order, gold is what all events together say."""
    dice = random.Random(seed)
    known: worlds.Events = {source: [] for source in worlds.SOURCES}
    for number, batch in enumerate(worlds.cut(worlds.worlds(count, dice), batches, dice), start=1):
        receive(shop, batch, known, dice)
        shop.all_steps()
        check(shop, known, f"after batch {number} of seed {seed}")
        check_keys(shop, f"after batch {number} of seed {seed}")


@pytest.mark.parametrize("seed", [1])
def test_after_every_batch_gold_is_what_all_events_say(shop, seed):
    follow(shop, seed)


@pytest.mark.parametrize("first", worlds.SOURCES)
def test_whichever_source_comes_first_as_a_whole_gold_is_the_same(shop, first):
    dice = random.Random(first)
    events = worlds.worlds(40, dice)
    for source in (first, *dice.sample([name for name in worlds.SOURCES if name != first], 2)):
        shop.put(source, events[source])
        shop.all_steps()

    check(shop, events, f"with {first} first")


def test_a_touched_month_is_computed_to_its_last_second_from_the_facts_of_that_month(shop):
    """Where every touched month is known, only facts between the first and the last of them are read."""

    def line(number: int, at: dt.datetime) -> oracle.Event:
        own = {"order_id": str(number), "line_no": 1, "customer_id": None, "sku": None, "quantity": number, "price": Decimal("1.00"), "region": "north"}
        return {**own, "status": "paid", "ordered_at": at, "updated_at": at, "effective_at": at, "op": None, "is_deleted": False}

    january, february, march = dt.datetime(2024, 1, 31, 23, 59, 59), dt.datetime(2024, 2, 29, 23, 59, 59), dt.datetime(2024, 3, 1)
    known: worlds.Events = {"customers": [], "products": [], "orders": []}
    for batch in ([line(1, january), line(2, february), line(3, march)], [line(4, dt.datetime(2024, 2, 1))]):
        shop.put("orders", batch)
        known["orders"] += batch
        shop.all_steps()
        check(shop, known, f"after {len(known['orders'])} lines")


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 120))
def test_after_every_batch_of_many_more_worlds(shop, seed):
    follow(shop, seed, count=60, batches=5)
