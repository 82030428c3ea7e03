"""KPIs are computed again only where a fact was touched, and equal a recomputation from scratch (rule 37)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import measures
import pytest
import specs
from frames import rows, table
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

ORDERS = specs.Fact("fact_orders", "orders", grain=("order_no",), at="ordered_at", keep=("region", "amount", "status"))
SUMS = (specs.Measure("orders", "count(*)", "integer"), specs.Measure("revenue", "sum(amount)", "number(38,2)"))
KPIS = {
    "by month": specs.Kpi("monthly", "fact_orders", SUMS, period="month"),
    "by month and region": specs.Kpi("monthly_by_region", "fact_orders", SUMS, period="month", by=("region",)),
    "by region": specs.Kpi("by_region", "fact_orders", SUMS, by=("region",)),
    "paid, by day": specs.Kpi("paid_by_day", "fact_orders", SUMS, period="day", where="status <> 'cancelled'"),
}
FACTS = "order_no:integer | region:text | amount:number | status:text | ordered_at:timestamp\n"


def test_a_month_runs_from_its_first_instant_to_its_last(frame):
    facts = frame("""
        order_no | region | amount | status | ordered_at
        1        | north  | 1      | paid   | 2024-01-01 00:00:00
        2        | south  | 2      | paid   | 2024-01-31 23:59:59
        3        | north  | 4      | paid   | 2024-02-01 00:00:00
    """)

    assert rows(measures.measured(facts, KPIS["by month"], ORDERS, None)) == table("""
        month      | orders | revenue
        2024-01-01 | 2      | 3
        2024-02-01 | 1      | 4
    """)


def test_null_is_a_group_and_a_measure_without_values_is_null(frame):
    facts = frame(FACTS + """
        1 | north | 1 | paid | 2024-01-01 00:00:00
        2 |       | 2 | paid | 2024-01-01 00:00:00
        3 |       | 4 | paid | 2024-01-01 00:00:00
        4 | south |   | paid | 2024-01-01 00:00:00
    """)

    assert rows(measures.measured(facts, KPIS["by region"], ORDERS, None)) == table("""
        region | orders | revenue
        north  | 1      | 1
               | 2      | 6
        south  | 1      |
    """)


def test_a_period_of_which_nothing_passes_the_filter_gives_no_row(frame):
    facts = frame(FACTS + """
        1 | north | 1 | paid      | 2024-01-01 00:00:00
        2 | north | 2 | cancelled | 2024-01-02 00:00:00
        3 | north | 2 |           | 2024-01-03 00:00:00
    """)

    assert rows(measures.measured(facts, KPIS["paid, by day"], ORDERS, None).select("day", "orders")) == table("""
        day        | orders
        2024-01-01 | 1
    """)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("by month", ["2024-01-01", "2024-02-01"], id="months, each once"),
        pytest.param("by month and region", ["2024-01-01", "2024-02-01"], id="with periods the group does not narrow"),
        pytest.param("by region", ["None", "north"], id="without periods the groups, NULL among them"),
    ],
)
def test_facts_touch_the_periods_or_groups_in_which_they_lie(frame, name, expected):
    facts = frame("""
        order_no | region | ordered_at
        1        | north  | 2024-01-01 00:00:00
        2        | north  | 2024-01-31 23:59:59
        3        |        | 2024-02-01 00:00:00
    """)

    found = measures.touched(facts, KPIS[name], ORDERS)

    assert sorted(str(value) for row in rows(found) for value in row.values()) == expected


JANUARY, FEBRUARY = "2024-01-31 23:59:59", "2024-02-01 00:00:00"
ORDER = st.tuples(
    st.sampled_from(["north", "south", None]),
    st.sampled_from([1, 2, 4, None]),
    st.sampled_from(["paid", "cancelled", None]),
    st.sampled_from(["2024-01-01 00:00:00", JANUARY, FEBRUARY]),
)
ORDERS_BY_NUMBER = st.dictionaries(st.integers(1, 4), ORDER, max_size=4)


@pytest.mark.parametrize("name", KPIS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(before={}, after={})
@example(before={1: ("north", 1, "paid", JANUARY)}, after={1: ("south", 1, "paid", FEBRUARY)})  # it moved: both are touched
@example(
    before={1: ("north", 1, "paid", JANUARY), 2: (None, 2, "paid", FEBRUARY)},
    after={1: ("north", 1, "paid", JANUARY), 2: (None, 4, "paid", FEBRUARY)},
)  # January and north stay as they are; the group NULL changes
@given(before=ORDERS_BY_NUMBER, after=ORDERS_BY_NUMBER)
def test_computing_what_was_touched_is_computing_everything(frame, name, before, after):
    """Whatever was added, changed and removed between two states of the facts."""
    kpi = KPIS[name]

    def facts(orders: dict[int, tuple[Any, ...]]):
        lines = [" | ".join(str(v) if v is not None else "" for v in (number, *order)) for number, order in orders.items()]
        return frame(FACTS + "\n".join(lines))

    def group(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in kpi.scope)

    changed = [number for number in before.keys() | after.keys() if before.get(number) != after.get(number)]
    left, came = ({number: state[number] for number in changed if number in state} for state in (before, after))
    scope = measures.touched(facts(left), kpi, ORDERS).union(measures.touched(facts(came), kpi, ORDERS))
    again = rows(measures.measured(facts(after), kpi, ORDERS, scope))
    touched = {group(row) for row in rows(scope)}

    untouched = [row for row in rows(measures.measured(facts(before), kpi, ORDERS, None)) if group(row) not in touched]

    assert sorted([*untouched, *again], key=repr) == rows(measures.measured(facts(after), kpi, ORDERS, None))
    assert {group(row) for row in again} <= touched, "computed what nobody touched"


MONTHS = """
    1 | north | 1 | paid | 2024-01-05 00:00:00
    2 |       | 2 | paid | 2024-01-31 23:59:59
    3 |       | 2 | paid | 2024-02-01 00:00:00
    4 | south | 4 | paid | 2024-03-01 00:00:00
    5 | north | 8 | paid |
"""
JAN, MAR = dt.date(2024, 1, 1), dt.date(2024, 3, 1)
REACHES = [
    pytest.param("2024-01-01 | 1", (1, 1, JAN, JAN), ["2024-01-01"], id="one month"),
    pytest.param("2024-01-01 | 1\n2024-03-01 | 2", (3, 3, JAN, MAR), ["2024-01-01", "2024-03-01"], id="two months, and none between them"),
    pytest.param("2024-01-01 | 1\n | 2", (2, 1, JAN, JAN), ["2024-01-01", "None"], id="a month, and facts without one"),
    pytest.param("", None, ["2024-01-01", "2024-02-01", "2024-03-01", "None"], id="all of it"),
]


@pytest.mark.notyet("localtest", reason="no DATE_TRUNC of NULL")
@pytest.mark.parametrize("name", ["by month", "by month and region"])
@pytest.mark.parametrize(("noted", "reach", "expected"), REACHES)
def test_what_is_computed_again_and_what_stands_are_of_the_months_touched(frame, name, noted, reach, expected):
    kpi, facts = KPIS[name], frame(FACTS + MONTHS)
    touched, reach = frame(f"month:date | batch_no:integer\n{noted or '2024-01-01 | 1'}"), reach and measures.Reach(*reach)
    table_ = measures.measured(facts, kpi, ORDERS)

    counted = measures.counted_again(facts, kpi, ORDERS, touched, reach)

    found, stands = rows(measures.numbers(counted, kpi)), rows(measures.standing(table_, kpi, touched, reach))
    assert sorted({str(row["month"]) for row in found}) == expected
    assert sorted(found, key=repr) == sorted(stands, key=repr)
    groups = [tuple(row.values()) for row in rows(measures.groups(counted, kpi, reach))]
    assert sorted(groups, key=repr) == sorted([tuple(row[column] for column in kpi.groups) for row in found], key=repr)
