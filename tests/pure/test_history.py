"""History equals a rebuild from all events, whatever order they came in (design/semantics.md, rules 12 to 17)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import history
import pytest
import specs
from frames import rows, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snowflake.snowpark import types as T

CUSTOMER = specs.Dimension("dim_customer", "customers", ("id",), tracked=("city",), overwritten=("name",))
CONTENT = ("id", "city", "name")
SCHEMA = T.StructType(
    [
        T.StructField("id", T.LongType()),
        T.StructField("city", T.StringType()),
        T.StructField("name", T.StringType()),
        T.StructField("effective_at", T.TimestampType(T.TimestampTimeZone.NTZ)),
        T.StructField("is_deleted", T.BooleanType()),
        T.StructField("batch_no", T.LongType()),
    ]
)


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, 1) + dt.timedelta(days=number - 1)


def versions_of(session, events: list[tuple[Any, ...]], dimension=CUSTOMER, since: int = 0) -> list[dict[str, Any]]:
    silver = session.create_dataframe(events, schema=SCHEMA)
    journal = history.journal(silver, dimension.key, since)
    marked = history.marked(history.instants(journal, dimension.key, CONTENT), dimension, since)
    found = history.versions(marked, dimension).select("id", "city", "name", "valid_from", "valid_to")
    return rows(found)


def event(text: str) -> tuple[Any, ...]:
    """`Paris 10` is an upsert on day 10, `gone 20` a tombstone, `- 30` an upsert without a city."""
    city, number = text.split()
    return (1, None if city in ("gone", "-") else city, "Ann", day(int(number)), city == "gone", 1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param("A 10, A 30, B 20", "A 10-20, B 20-30, A 30-", id="rule 15: a late event inside a run of equal values"),
        pytest.param("A 10", "A 10-", id="rule 12: the open end is NULL"),
        pytest.param("A 10, A 20", "A 10-", id="rule 13: no change opens nothing"),
        pytest.param("A 10, - 20", "A 10-20, - 20-", id="rule 13: a value lost is a change"),
        pytest.param("- 10, A 20", "- 10-20, A 20-", id="rule 13: a value found is a change"),
        pytest.param("A 20, A 10", "A 10-", id="rule 14: a late event moves valid_from back"),
        pytest.param("B 20, A 10", "A 10-20, B 20-", id="rule 14: a late event adds an earliest version"),
        pytest.param("A 10, gone 20", "A 10-20", id="rule 16: a tombstone closes"),
        pytest.param("gone 20, A 10", "A 10-20", id="rule 16: an older upsert ends at a remembered tombstone"),
        pytest.param("gone 20", "", id="rule 16: a tombstone alone shows nothing"),
        pytest.param("A 10, gone 20, A 30", "A 10-20, A 30-", id="rule 17: back with the same value is a new version"),
        pytest.param("A 10, gone 20, gone 30, A 40", "A 10-20, A 40-", id="rule 16: deleted twice is deleted once"),
        pytest.param("A 10, gone 10", "", id="rule 3: at one instant a tombstone wins"),
        pytest.param("A 10, B 10", "B 10-", id="rules 2 and 4: at one instant the greater content, no version of no length"),
        pytest.param("B 10, - 10", "B 10-", id="rule 2: NULL is less than any text"),
    ],
)
def test_versions(session, events, expected):
    found = versions_of(session, [event(text) for text in events.split(", ")])

    def shown(version):
        days = [(at - day(1)).days + 1 if at else "" for at in (version["valid_from"], version["valid_to"])]
        return f"{version['city'] or '-'} {days[0]}-{days[1]}"

    assert ", ".join(shown(v) for v in sorted(found, key=lambda v: v["valid_from"])) == expected


def test_overwritten_columns_have_the_latest_value_on_every_version(session):
    events = [(1, "A", "Ann", day(1), False, 1), (1, "B", "Anna", day(2), False, 1), (1, "C", None, day(3), True, 1)]

    assert {version["name"] for version in versions_of(session, events)} == {"Anna"}


def test_only_touched_keys_are_rebuilt(session):
    events = [(1, "A", "Ann", day(1), False, 1), (2, "B", "Bob", day(1), False, 2), (None, "C", "Cy", day(1), False, 2)]

    assert {version["id"] for version in versions_of(session, events, since=1)} == {2}


def test_deletions_are_ignored_where_the_spec_says_so(session):
    kept = specs.Dimension("dim_customer", "customers", ("id",), ("city",), ("name",), on_delete="ignore")

    assert len(versions_of(session, [event("A 10"), event("gone 20"), event("A 30")], kept)) == 1


def oracle(events: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Versions by walking through each key's events, slowly and in plain sight."""
    found: list[dict[str, Any]] = []
    for key in {event[0] for event in events if event[0] is not None}:
        outcome: dict[dt.datetime, tuple[Any, ...]] = {}
        for event in events:
            if event[0] == key:
                rank = lambda e: (e[4], e[1] is not None, e[1] or "", e[2] is not None, e[2] or "")  # noqa: E731
                outcome[event[3]] = max(outcome.get(event[3], event), event, key=rank)
        state: Any = "absent"
        versions: list[dict[str, Any]] = []
        for at in sorted(outcome):
            _, city, _, _, is_deleted, _ = outcome[at]
            if versions and state != "absent" and (is_deleted or (city,) != state):
                versions[-1]["valid_to"] = at
            if is_deleted:
                state = "absent"
            elif state == "absent" or (city,) != state:
                versions.append({"id": key, "city": city, "valid_from": at, "valid_to": None})
                state = (city,)
        living = [outcome[at] for at in sorted(outcome) if not outcome[at][4]]
        found += [{**version, "name": living[-1][2]} for version in versions]
    return sorted(
        ({name: version[name] for name in ("id", "city", "name", "valid_from", "valid_to")} for version in found), key=repr
    )


EVENT = st.tuples(
    st.integers(1, 2),
    st.sampled_from(["A", "B", None]),
    st.sampled_from(["x", "y", None]),
    st.integers(1, 6).map(day),
    st.sampled_from([False, False, False, True]),
    st.just(1),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, min_size=1, max_size=12))
def test_any_events_in_any_order_give_the_rebuilt_history(session, events):
    assert versions_of(session, events) == oracle(events)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param("10-", "10-", "", id="nothing changed"),
        pytest.param("10-", "10-20, 20-", "20-", id="a new version splits the open one"),
        pytest.param("10-", "5-", "10-, 5-", id="a version that begins elsewhere is another version"),
        pytest.param("10-20", "10-", "20-", id="a version opened again"),
        pytest.param("10-30", "10-20", "20-30", id="an end moved back"),
        pytest.param("10-20, 20-", "10-", "20-", id="a version that went"),
        pytest.param("", "10-", "", id="a new key: no fact points to it"),
    ],
)
def test_windows_tell_when_another_version_holds(session, before, after, changed):
    def spans(text: str) -> list[tuple[Any, ...]]:
        pairs = [part.split("-") for part in text.split(", ") if part]
        return [(1, 7, day(int(a)), day(int(b)) if b else None) for a, b in pairs]

    ntz = T.TimestampType(T.TimestampTimeZone.NTZ)
    columns = {"id": T.LongType(), "customer_key": T.LongType(), "valid_from": ntz, "valid_to": ntz}
    schema = T.StructType([T.StructField(name, kind) for name, kind in columns.items()])
    old, new = (session.create_dataframe(spans(text), schema=schema) for text in (before, after))

    found = rows(history.windows(old, new.drop("customer_key"), CUSTOMER))

    expected = sorted(
        ({"durable_key": key, "changed_from": a, "changed_to": b} for _, key, a, b in spans(changed)), key=repr
    )
    assert found == expected


def test_marked_events_say_which_show(session):
    silver = session.create_dataframe([event("A 10"), event("A 20"), event("B 15")], schema=SCHEMA)
    marked = history.marked(history.instants(silver, ("id",), CONTENT), CUSTOMER, since=0)

    assert rows(marked.select("valid_from", "opens", "shows")) == table("""
        valid_from          | opens | shows
        2024-01-10 00:00:00 | true  | true
        2024-01-15 00:00:00 | true  | true
        2024-01-20 00:00:00 | true  | true
    """)
