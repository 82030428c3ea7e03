"""After replay, gold is what it would have been had every row been right from the start.

Events in any order, some spoilt on their way and some refused by a check that was wrong, are loaded in batches; between
the batches rows are corrected, the check is mended and what waits is replayed, in random order and never all at once.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest
import spec_file
from hypothesis import given
from hypothesis import strategies as st

from tests.history import oracle
from tests.history.engines import plain
from tests.history.test_streams import quietly
from tests.quarantine.rig import SPEC, Shop

MENDED = SPEC.replace("age between 0 and 120", "age between 0 and 250")
DAYS = st.integers(1, 9).map(lambda number: dt.datetime(2024, 1, number))
CITIES = st.sampled_from(["Paris", "Rome", None])
PIPELINE = spec_file.parse(SPEC, "shop.yml")
DIMENSIONS = {"customers": "dim_customer", "parts": "dim_part"}


@dataclass
class Row:
    """A row on its way: what it should say, and the columns that were spoilt with what stands in them instead."""

    source: str
    event: dict[str, Any]
    spoilt: dict[str, str] = field(default_factory=dict)
    place: str = ""
    is_in: bool = False

    def right(self) -> dict[str, Any]:
        """Column → value as the file should have held it; a column that is absent is not among them."""
        hidden = {"effective_at", "is_deleted", "absent_columns"} | {c for c in self.event if oracle.is_absent(self.event, c)}
        shown = {name: value for name, value in self.event.items() if name not in hidden}
        return {name: value.isoformat(" ") if isinstance(value, dt.datetime) else value for name, value in shown.items()}

    def line(self) -> Any:
        values = {**self.right(), **self.spoilt}
        if self.source == "parts":
            return {**values, **({"supplier": {"name": values["supplier"]}} if "supplier" in values else {})}
        return [None if value is None else str(value) for value in values.values()]

    def passes(self, is_mended: bool) -> bool:
        return not self.spoilt and (is_mended or self.event["is_deleted"] or (self.event.get("age") or 0) <= 120)


@st.composite
def customers(draw: st.DrawFn) -> Row:
    op, at = draw(st.sampled_from("UUUUD")), draw(DAYS)
    event = {"id": draw(st.integers(1, 6)), "city": draw(CITIES), "age": draw(st.sampled_from([30, 30, 31, 200])), "op": op, "changed_at": at}
    spoilt = draw(st.sampled_from([None, None, None, "id", "changed_at", "age"]))
    bad = {"id": "x", "changed_at": "soon", "age": "unknown"}
    spoils = spoilt and not (op == "D" and spoilt == "age")
    return Row("customers", {**event, "effective_at": at, "is_deleted": op == "D"}, {spoilt: bad[spoilt]} if spoils else {})


@st.composite
def parts(draw: st.DrawFn) -> Row:
    at, absent = draw(DAYS), {"extra", *draw(st.sets(st.sampled_from(["price", "supplier"])))}
    event = {"sku": draw(st.sampled_from("ab")), "price": draw(st.sampled_from([1, 2, None])), "supplier": draw(CITIES), "extra": None, "changed_at": at}
    event |= dict.fromkeys(absent) | {"effective_at": at, "is_deleted": False, "absent_columns": "".join(f",{c}," for c in sorted(absent))}
    spoils = "price" not in absent and draw(st.integers(0, 3)) == 0
    return Row("parts", event, {"price": "-1"} if spoils else {})


@st.composite
def orders(draw: st.DrawFn) -> Row:
    at = draw(DAYS)
    event = {"order_id": draw(st.integers(1, 5)), "id": draw(st.integers(1, 7)), "amount": draw(st.integers(1, 3)), "ordered_at": at}
    spoilt = draw(st.sampled_from([{}, {}, {}, {"amount": "0"}]))
    return Row("orders", {**event, "effective_at": at, "is_deleted": False}, dict(spoilt))


def versions(shop: Shop, source: str) -> list[dict[str, Any]]:
    dimension = PIPELINE.dimension(DIMENSIONS[source])
    columns = (*dimension.key, *dimension.attributes, "valid_from", "valid_to")
    found = shop.rows(f"SELECT {', '.join(columns)} FROM {dimension.table} WHERE {dimension.durable_key} > 0 AND NOT is_inferred")
    return oracle.in_order([{name: plain(value) for name, value in row.items()} for row in found], dimension)


def history_is_that_of(shop: Shop, known: list[Row]) -> None:
    for source, name in DIMENSIONS.items():
        shop.step("dimension", name)
        events = [row.event for row in known if row.source == source]
        assert versions(shop, source) == oracle.walked(events, PIPELINE.dimension(name), PIPELINE.source(source))


def load(shop: Shop, batch: list[Row], is_mended: bool) -> None:
    for source in ("customers", "parts", "orders"):
        rows = [row for row in batch if row.source == source]
        file = shop.load(source, *[row.line() for row in rows]) if rows else ""
        for number, row in enumerate(rows, 1):
            row.place, row.is_in = f"{source}/content of {file}/{number}", row.passes(is_mended)


def correct(shop: Shop, row: Row) -> None:
    shop.correct(row.place, {name: row.right()[name] for name in row.spoilt})
    row.spoilt = {}


def replay(shop: Shop, source: str, rows: list[Row], is_mended: bool) -> None:
    waiting = [row for row in rows if row.source == source and not row.is_in]
    passing = [row for row in waiting if row.passes(is_mended)]

    done = shop.replay(source)

    assert (done["read"], done["written"] + done["duplicate"]) == (len(waiting), len(passing))
    for row in passing:
        row.is_in = True


def gold(shop: Shop) -> dict[str, Any]:
    """What readers see, without keys and batches."""
    found = shop.everything()
    return {table: found[table] for table in ("gold.dim_customer", "gold.dim_part", "gold.fact_orders", "gold.revenue_by_month")} | {"at": shop.fact_cities()}


def accounts_hold(shop: Shop, source: str) -> None:
    """The table of docs/quarantine.md."""

    def logged(column: str, step: str) -> int:
        return shop.rows(f"SELECT COALESCE(SUM(rows_{column}), 0) AS n FROM control.pipeline_log WHERE step = '{step} {source}'")[0]["n"]

    def waiting(condition: str = "TRUE") -> int:
        return shop.rows(f"SELECT COUNT(*) AS n FROM control.quarantine WHERE source = '{source}' AND {condition}")[0]["n"]

    events = shop.rows(f"SELECT COUNT(*) AS n FROM silver.{source}")[0]["n"]
    assert logged("quarantined", "load") == waiting()
    assert logged("written", "load") + logged("written", "replay") == events
    assert logged("read", "replay") == sum(logged(column, "replay") for column in ("written", "duplicate", "quarantined"))
    assert logged("written", "replay") == waiting("released_as = 'event'")
    assert logged("duplicate", "replay") == waiting("released_as = 'duplicate'")
    assert waiting("status = 'waiting'") == 0


def travel(shop: Shop, data: Any, batch_count: int) -> None:
    rows: list[Row] = [*data.draw(st.lists(customers(), min_size=14, max_size=18)), *data.draw(st.lists(parts(), min_size=5, max_size=6))]
    rows += data.draw(st.lists(orders(), min_size=5, max_size=6))
    if not any(row.spoilt for row in rows):
        return  # the simplest stream of all, with which Hypothesis begins: nothing would wait
    mended_after = data.draw(st.integers(0, batch_count - 1))
    batches: list[list[Row]] = [[] for _ in range(batch_count)]
    for row in rows:
        batches[data.draw(st.integers(0, batch_count - 1))].append(row)

    arrived: list[Row] = []
    is_mended = False
    for number, batch in enumerate(batches):
        load(shop, batch, is_mended)
        arrived += batch
        if number == mended_after:
            shop.apply(MENDED)
            is_mended = True
        for row in arrived:
            if row.spoilt and not row.is_in and data.draw(st.booleans()):
                correct(shop, row)
        for source in data.draw(st.permutations(["customers", "parts", "orders"]))[: data.draw(st.integers(0, 3))]:
            replay(shop, source, arrived, is_mended)
        history_is_that_of(shop, [row for row in arrived if row.is_in])
        if number == 0:
            shop.to_gold()
    for row in rows:
        if row.spoilt:
            correct(shop, row)
    for source in ("orders", "customers", "parts"):
        replay(shop, source, rows, is_mended)
    history_is_that_of(shop, rows)
    shop.to_gold()
    healed = gold(shop)
    for source in ("customers", "parts", "orders"):
        accounts_hold(shop, source)

    shop.reset()
    load(shop, rows, is_mended=True)
    shop.to_gold()
    assert healed == gold(shop)


@pytest.fixture
def shop_with_a_wrong_check(shop: Shop):
    yield shop
    shop.apply(SPEC)


@quietly(1, shrinks=False)
@given(data=st.data())
def test_after_corrections_and_replays_gold_is_as_if_every_row_had_been_right_from_the_start(shop_with_a_wrong_check, data):
    shop_with_a_wrong_check.apply(SPEC)
    shop_with_a_wrong_check.reset()
    travel(shop_with_a_wrong_check, data, batch_count=2)


@pytest.mark.nightly
@quietly(20, shrinks=False)
@given(data=st.data())
def test_after_corrections_and_replays_of_twenty_shops(shop_with_a_wrong_check, data):
    shop_with_a_wrong_check.apply(SPEC)
    shop_with_a_wrong_check.reset()
    travel(shop_with_a_wrong_check, data, batch_count=4)
