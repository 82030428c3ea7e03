"""A key with one new event goes a way of its own: what it finds is what putting all events in order finds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import history
import history_events
import history_fast
import pytest
import snowflake.snowpark.types as T

from tests.history import engines, streams

SINCE = 1
VALUES = ("city", "kind", "name", "first_name", "note", "area")
FIRST = {"city": "A", "kind": 1, "name": "x", "first_name": "p", "note": "m", "area": "N"}
OTHER = {"city": "B", "kind": 2, "name": "y", "first_name": "q", "note": "n", "area": "S"}
# What the one new event of each key says after FIRST; a key in NEW has no event before it.
SAYS = {
    1: FIRST, 2: OTHER, 3: {**FIRST, "city": None}, 4: {**FIRST, "name": None}, 5: {**FIRST, "note": "n"}, 6: {**FIRST, "first_name": "q"},
    7: dict.fromkeys(VALUES), 8: {**FIRST, "area": "S"}, 11: FIRST, 12: dict.fromkeys(VALUES),
}  # fmt: skip
DELETED = {9: FIRST, 10: dict.fromkeys(VALUES), 13: FIRST}
NEW = (11, 12, 13)


def frame(session, rows: list[dict[str, Any]], types: dict[str, T.DataType]):
    schema = T.StructType([T.StructField(name, kind) for name, kind in types.items()])
    return session.create_dataframe([tuple(row.get(name) for name in types) for row in rows], schema=schema)


@pytest.mark.parametrize("name", ["plain", "policies", "counted", "latest"])
def test_one_event_beside_the_current_version_says_what_all_events_in_order_say(session, name):
    dimension, source = streams.declared(name)
    types = {**{c: engines.KINDS[k] for c, k in engines.silver_types(source).items()}, "batch_no": T.LongType()}
    events = [{**streams.event(name, 1, id=key, **FIRST), "batch_no": 1} for key in (*SAYS, *DELETED) if key not in NEW]
    events += [{**streams.event(name, 5, id=key, **says), "batch_no": 2} for key, says in SAYS.items()]
    events += [{**streams.event(name, 5, "D", id=key, **says), "batch_no": 2} for key, says in DELETED.items()] if source.delete_when else []
    known = history_events.types_of(dimension, source)
    before = [event for event in events if event["batch_no"] == 1]
    standing = [
        {**event, **{f"current_{c}": event[c] for c in dimension.current}, "valid_from": event["effective_at"], "is_current": True, "is_inferred": False,
         dimension.durable_key: event["id"], dimension.version_key: 100 + event["id"]}
        for event in before
    ]  # fmt: skip
    columns = (dimension.durable_key, dimension.version_key, *dimension.key, *dimension.attributes, "valid_from", "valid_to", "is_current", "is_inferred")
    current = frame(session, standing, {column: known[column] for column in columns})
    silver = frame(session, events, types)

    alone = history_fast.marked_alone(history_fast.newer(silver, dimension, SINCE), current, dimension, source).collect()
    journal = history_events.outcomes(history_events.journal(silver, dimension.key, 0, source), silver, dimension, source)
    ordered = history.marked(journal, dimension, source, SINCE).collect()

    marks = ("known_from", *history.MET)
    compared = [c for c in history.stage_columns(dimension) if c not in marks]
    expected = {(row["ID"], row["IS_NEW"]): [plain(row[c.upper()]) for c in compared] for row in ordered}
    found = {(row["ID"], row["IS_NEW"]): [plain(row[c.upper()]) for c in compared] for row in alone}
    unchanged = {key for key in expected if key not in found}
    assert found == {key: values for key, values in expected.items() if key in found}
    assert {key for key in expected if key[1]} <= found.keys(), "every new event is in hand"
    assert all(not is_new and says_nothing(ordered, key, dimension) for key, is_new in unchanged), "versions that stay as they are need not be"
    assert all(plain(row["DURABLE_KEY"]) == (None if row["ID"] in NEW else row["ID"]) for row in alone)
    assert all(plain(row["VERSION_KEY"]) == (None if row["IS_NEW"] else 100 + row["ID"]) for row in alone)


def says_nothing(ordered: list[Any], key: int, dimension: Any) -> bool:
    """Whether the first version of a key is what it was: open, with the values of the first event."""
    (row,) = [row for row in ordered if row["ID"] == key and not row["IS_NEW"]]
    first = FIRST | {f"current_{column}": FIRST[column] for column in dimension.current}
    return plain(row["VALID_TO"]) is None and all(plain(row[c.upper()]) == first[c] for c in dimension.attributes if c in first)


def plain(value: Any) -> Any:
    if value is None or value != value:
        return None
    return value if isinstance(value, (str, bool, dt.datetime)) else engines.plain(value)
