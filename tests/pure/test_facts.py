"""A fact is the last word on its grain and points to the version valid at its time (design/semantics.md, rules 2, 3, 35 and 36)."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import facts
import history
import pytest
import snowflake.snowpark.functions as F
import spec_file
from frames import day, rows, table
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SHOP = spec_file.parse("""
pipeline: shop
sources:
  customers:
    files: {prefix: customers/, format: csv}
    key: [customer_id]
    effective_at: changed_at
    columns:
      customer_id: {type: integer}
      city:        {type: text}
      changed_at:  {type: timestamp}
  orders:
    files: {prefix: orders/, format: csv}
    key: [order_no]
    effective_at: updated_at
    columns:
      order_no:    {type: integer}
      customer_id: {type: integer}
      quantity:    {type: integer}
      price:       {type: "number(10,2)"}
      status:      {type: text}
      ordered_at:  {type: timestamp}
      updated_at:  {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [city]}
facts:
  fact_orders:
    from: orders
    at: ordered_at
    where: status <> 'draft'
    lookups:
      customer: {dimension: dim_customer, by: customer_id}
    keep: [quantity]
    measures:
      amount: {expression: quantity * price, type: "number(18,2)"}
""")
ORDERS, CUSTOMER = SHOP.fact("fact_orders"), SHOP.dimension("dim_customer")
CONTENT = ("order_no", "quantity", "effective_at", "is_deleted")


def events(frame, *lines: str):
    """Events of order 1, one a line: `quantity | effective_at | is_deleted | batch_no`; all else is alike."""
    head = "order_no | customer_id | price | status:text | ordered_at | quantity:integer | effective_at | is_deleted | batch_no\n"
    return frame(head + "\n".join(f"1 | 5 | 2.5 | paid | 2024-01-01 00:00:00 | {line}" for line in lines))


@pytest.mark.parametrize(
    ("lines", "quantity", "is_gone", "is_new"),
    [
        pytest.param(["1 | 2024-01-02 00:00:00 | false | 2"], 1, False, True, id="one event"),
        pytest.param(
            ["1 | 2024-01-02 00:00:00 | false | 1", "2 | 2024-01-03 00:00:00 | false | 2"], 2, False, True, id="a correction"
        ),
        pytest.param(
            ["2 | 2024-01-03 00:00:00 | false | 1", "1 | 2024-01-02 00:00:00 | false | 2"],
            2, False, False, id="an older event that came later is outweighed",
        ),
        pytest.param(
            ["1 | 2024-01-02 00:00:00 | false | 1", "9 | 2024-01-02 00:00:00 | true | 2"],
            9, True, True, id="at one instant a tombstone wins",
        ),
        pytest.param(
            ["3 | 2024-01-02 00:00:00 | false | 2", "7 | 2024-01-02 00:00:00 | false | 2"],
            7, False, True, id="at one instant the greater content wins",
        ),
        pytest.param(
            ["3 | 2024-01-02 00:00:00 | false | 2", " | 2024-01-02 00:00:00 | false | 2"],
            3, False, True, id="NULL is the least content",
        ),
        pytest.param(
            ["1 | 2024-01-02 00:00:00 | true | 1", "2 | 2024-01-03 00:00:00 | false | 2"],
            2, False, True, id="back after its deletion",
        ),
    ],
)  # fmt: skip
def test_the_latest_event_of_a_grain_is_its_outcome(frame, lines, quantity, is_gone, is_new):
    found = facts.outcomes(events(frame, *lines), frame("touched_order_no\n1"), ORDERS, CONTENT, since=1)

    assert [(row["quantity"], row["is_gone"], row["is_new"]) for row in rows(found)] == [(quantity, is_gone, is_new)]


def test_only_touched_grains_are_looked_at_and_measures_are_typed(frame):
    silver = frame("""
        order_no | customer_id | price | status | ordered_at          | quantity | effective_at        | is_deleted | batch_no
        1        | 5           | 2.5   | paid   | 2024-01-01 00:00:00 | 3        | 2024-01-01 00:00:00 | false      | 1
        2        | 5           | 2.5   | paid   | 2024-01-01 00:00:00 | 3        | 2024-01-01 00:00:00 | false      | 1
        3        | 5           |       | paid   | 2024-01-01 00:00:00 | 3        | 2024-01-01 00:00:00 | false      | 1
    """)
    found = facts.outcomes(silver, frame("touched_order_no\n1\n3"), ORDERS, CONTENT, since=0)

    assert rows(found.select("order_no", "amount")) == table("order_no | amount:number\n1 | 7.5\n3 |")


@pytest.mark.parametrize(("status", "is_gone"), [("paid", False), ("draft", True), ("", True)], ids=["kept", "left out", "NULL is not TRUE"])
def test_a_row_its_filter_leaves_out_is_gone(frame, status, is_gone):
    silver = events(frame, "1 | 2024-01-02 00:00:00 | false | 1").with_column("status", F.lit(status or None).cast("string"))

    assert [row["is_gone"] for row in rows(facts.outcomes(silver, frame("touched_order_no\n1"), ORDERS, CONTENT, 0))] == [is_gone]


def pointed(outcomes, versions):
    """As the step does it: the version where one is valid; for the others, when all are known, why there is none."""
    lookup, named = ORDERS.lookups[0], {"customer": (CUSTOMER, versions)}
    first = facts.found(outcomes, ORDERS, named)
    waiting = first.filter(facts.is_unplaced(lookup))
    if waiting.count() == 0:
        return first.select("order_no", "ordered_at", *ORDERS.keys())
    placed = facts.placed(waiting, ORDERS.grain, lookup, CUSTOMER, versions)
    again = first.join(placed, on=F.col("order_no") == F.col("placed_order_no"), how="left")
    keys = [F.coalesce(F.col(f"placed_{key}"), F.col(key)).alias(key) for key in ORDERS.keys()]  # noqa: SIM118
    return again.select("order_no", "ordered_at", *keys)


VERSIONS = """
    customer_id | customer_key | customer_version_key | valid_from          | valid_to
                | -1           | -1                   | 1900-01-01 00:00:00 |
    1           | 7            | 70                   | 2024-01-10 00:00:00 | 2024-01-20 00:00:00
    1           | 7            | 71                   | 2024-01-20 00:00:00 |
    2           | 8            | 80                   | 2024-01-10 00:00:00 | 2024-01-15 00:00:00
    2           | 8            | 81                   | 2024-01-20 00:00:00 | 2024-01-25 00:00:00
    3           | 9            | 90                   | 1900-01-01 00:00:00 |
"""
OUTCOMES = "order_no | customer_id:integer | ordered_at:timestamp | quantity | amount | is_gone | is_new\n"


@pytest.mark.parametrize(
    ("customer", "ordered_at", "durable", "version"),
    [
        pytest.param("1", "2024-01-15 00:00:00", 7, 70, id="within the first version"),
        pytest.param("1", "2024-01-10 00:00:00", 7, 70, id="valid_from belongs to the version"),
        pytest.param("1", "2024-01-19 23:59:59", 7, 70, id="a second before the change"),
        pytest.param("1", "2024-01-20 00:00:00", 7, 71, id="valid_to belongs to the next"),
        pytest.param("1", "2030-01-01 00:00:00", 7, 71, id="the open version has no end"),
        pytest.param("1", "2024-01-09 23:59:59", 7, facts.EARLY, id="early: before the first version"),
        pytest.param("2", "2024-01-15 00:00:00", 8, facts.GAP, id="gap: deleted, and back later"),
        pytest.param("2", "2024-01-25 00:00:00", 8, facts.GAP, id="gap: deleted for good"),
        pytest.param("3", "2024-01-01 00:00:00", 9, 90, id="an inferred member fits every time"),
        pytest.param("", "2024-01-15 00:00:00", facts.UNKNOWN, facts.UNKNOWN, id="unknown: no key given"),
        pytest.param("1", "", 7, facts.UNKNOWN, id="unknown: no time to look the key up at"),
    ],
)
def test_a_fact_points_to_the_version_valid_at_its_time(frame, customer, ordered_at, durable, version):
    outcome = frame(f"{OUTCOMES}1 | {customer} | {ordered_at} | 3 | 7.5 | false | true")

    found = pointed(outcome, frame(VERSIONS))

    assert [(row["customer_key"], row["customer_version_key"]) for row in rows(found)] == [(durable, version)]


def test_keys_of_which_only_facts_have_spoken_are_inferred_once(frame):
    outcomes = frame(f"{OUTCOMES}1 | 1 | 2024-01-15 00:00:00 | 3 | 7.5 | false | true\n"
                     "2 | 4 | 2024-01-15 00:00:00 | 3 | 7.5 | false | true\n"
                     "3 | 4 | 2024-01-16 00:00:00 | 3 | 7.5 | false | true\n"
                     "4 |   | 2024-01-16 00:00:00 | 3 | 7.5 | false | true")  # fmt: skip

    unseen = facts.unseen_keys(outcomes, frame(VERSIONS), ORDERS.lookups[0], CUSTOMER)
    inferred = facts.inferred_members(unseen, CUSTOMER, SHOP.source("customers").types())

    assert rows(inferred) == table("""
        customer_id | city:text | valid_from          | valid_to:timestamp | is_current | is_inferred
        4           |           | 1900-01-01 00:00:00 |                    | true       | true
    """)


REACHES = {"dim_customer": facts.Reach(dt.datetime(2024, 1, 1), None)}
CHANGED = "dimension | durable_key | changed_from | changed_to:timestamp | batch_no\n"


@pytest.mark.parametrize(
    ("windows", "touched"),
    [
        pytest.param("dim_customer | 7 | 2024-01-10 00:00:00 | 2024-01-20 00:00:00 | 2", [1], id="valid_to stands outside"),
        pytest.param("dim_customer | 7 | 2024-01-20 00:00:00 | | 2", [2], id="valid_from stands inside, no end"),
        pytest.param("dim_customer | 7 | 2024-01-01 00:00:00 | | 2", [1, 2], id="each grain once"),
        pytest.param("dim_customer | 8 | 2024-01-01 00:00:00 | | 2", [3], id="another key's facts"),
        pytest.param("dim_customer | 9 | 2024-01-20 00:00:00 | | 2", [4, 5], id="facts in a gap or early wherever the window is"),
        pytest.param("dim_product  | 7 | 2024-01-01 00:00:00 | | 2", [], id="another dimension's window"),
        pytest.param("dim_customer | 7 | 2024-01-01 00:00:00 | | 1", [], id="a window seen before"),
        pytest.param(
            "dim_customer | 7 | 2024-01-01 00:00:00 | | 2\ndim_customer | 7 | 2024-01-10 00:00:00 | | 3", [1, 2], id="two windows over one fact"
        ),
    ],
)
def test_facts_inside_a_changed_window_are_pointed_again(frame, windows, touched):
    standing = frame("""
        order_no | customer_key | customer_version_key | ordered_at
        1        | 7            | 70                   | 2024-01-15 00:00:00
        2        | 7            | 71                   | 2024-01-20 00:00:00
        3        | 8            | 80                   | 2024-01-15 00:00:00
        4        | 9            | -2                   | 2024-01-15 00:00:00
        5        | 9            | -3                   | 2024-01-05 00:00:00
    """)

    found = facts.in_windows(standing, frame(CHANGED + windows), ORDERS, since=1, reaches=REACHES)

    assert sorted(row["touched_order_no"] for row in rows(found)) == touched


def test_new_events_touch_their_grain_and_events_without_one_touch_nothing(frame):
    silver = frame("""
        order_no | batch_no
        1        | 1
        2        | 2
        2        | 3
                 | 3
    """)
    found = facts.grains_of(silver.filter((F.col("batch_no") > F.lit(1)) & facts.names_grain(ORDERS)), ORDERS)

    assert rows(found) == [{"touched_order_no": 2}]


def spans(days: list[int]) -> list[dict[str, Any]]:
    """A history in days: versions from each day to the next; a negative day ends a version and begins none.

    A version is known by its key and where it begins, so one that begins on the same day keeps its version key.
    """
    ordered = sorted(days, key=abs)
    pairs = zip(ordered, [*ordered[1:], None], strict=True)
    return [
        {"customer_version_key": 100 + begin, "valid_from": day(begin), "valid_to": day(abs(end)) if end else None}
        for begin, end in pairs
        if begin > 0
    ]


def reach_of(windows: list[dict[str, Any]]) -> facts.Reach:
    """How far windows reach, as the step asks for it."""
    first, ends = min(row["changed_from"] for row in windows), [row["changed_to"] for row in windows]
    return facts.Reach(moment(first), None if None in ends else moment(max(ends)))


def moment(at: Any) -> dt.datetime:
    return at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(str(at))


HISTORY = st.lists(st.integers(-8, 8).filter(bool), min_size=1, max_size=4, unique_by=abs).filter(lambda days: max(days) > 0)
VERSION_TYPES = "customer_id:integer | customer_key:integer | customer_version_key:integer | valid_from:timestamp | valid_to:timestamp"


@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(before=[5], after=[1, -3, 5])  # a late first version that ended: who came early came in a gap
@given(before=HISTORY, after=HISTORY)
def test_pointing_again_inside_the_windows_is_pointing_everything_again(frame, before, after):
    def versions(days: list[int]):
        cells = [f"1 | 7 | {v['customer_version_key']} | {v['valid_from']} | {v['valid_to'] or ''}" for v in spans(days)]
        return frame("\n".join([VERSION_TYPES, *cells]))

    outcomes = frame(OUTCOMES + "\n".join(f"{n} | 1 | {day(n)} | 3 | 7.5 | false | true" for n in range(1, 10)))

    def standing_as(days: list[int]):
        return versions(days).with_column("is_current", F.col("valid_to").is_null()).with_column("is_inferred", F.lit(False))

    bare = dataclasses.replace(CUSTOMER, tracked=(), overwritten=())
    windows = rows(history.windows(history.pairs(standing_as(before), standing_as(after).drop("customer_key", "customer_version_key"), bare)))
    old, new = (rows(pointed(outcomes, versions(days))) for days in (before, after))
    # Frames of what came out: local testing would compute each of them again wherever it is used.
    noted = frame(CHANGED + "\n".join(f"dim_customer | {row['durable_key']} | {row['changed_from']} | {row['changed_to'] or ''} | 2" for row in windows))
    columns = ("order_no", "customer_key", "customer_version_key", "ordered_at")
    standing = frame(" | ".join(columns) + "\n" + "\n".join(" | ".join(str(row[column]) for column in columns) for row in old))

    found = facts.in_windows(standing, noted, ORDERS, 1, {"dim_customer": reach_of(windows)}) if windows else None
    touched = {row["touched_order_no"] for row in rows(found)} if found is not None else set()

    was = {row["order_no"]: row["customer_version_key"] for row in old}
    assert not [row["order_no"] for row in new if row["customer_version_key"] != was[row["order_no"]] and row["order_no"] not in touched]
