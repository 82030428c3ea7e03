"""A key with one new event goes a way of its own: what it finds is what putting all events in order finds.

Where all keys of a batch are such keys, the step takes the shortest way; one key that cannot sends the batch another.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import dimension_step
import history
import history_events
import history_fast
import pytest
import snowflake.snowpark.types as T

from tests.drill.test_row_mutations import mutated
from tests.history import engines, streams
from tests.history.test_mutations import break_it
from tests.history.test_streams import follow

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


def feed(name: str) -> list[streams.Batch]:
    """Batches in which no key is twice: in order, then one whose only key is late, and one whose only key had ended."""

    def said(number: int, op: str = "U", /, **values: Any) -> dict[str, Any]:
        return streams.event(name, number, op, **{**FIRST, **values})

    _, source = streams.declared(name)
    ended = [said(30, "D", id=4)] if source.delete_when else []
    return [
        [said(10, id=key) for key in range(1, 7)],
        [said(30, id=1, city="B"), said(30, id=2), said(30, id=3, name="y", note="n", first_name="q"), *ended, said(30, id=5, city=None), said(30, id=8)],
        [said(20, id=2, city="C")],
        [said(40, id=4, city="B")],
        [said(50, id=1, city="C", name="z", area="S"), said(50, id=3, name="z"), said(50, id=9)],
    ]


@pytest.mark.parametrize("name", streams.ALONE)
def test_batches_without_a_key_twice_give_what_a_rebuild_gives_late_and_ended_keys_too(account, name):
    follow(account, name, feed(name))


def test_a_member_that_only_facts_have_spoken_of_keeps_its_key_when_its_one_event_comes(account):
    account.reset("plain")
    account.put("plain", [streams.event("plain", 10, id=1, city="A")])
    account.step("plain")
    account.bench.duck("""
        INSERT INTO firn.gold.dim_plain BY NAME
        SELECT 70 AS plain_key, 71 AS plain_version_key, 7 AS id, '1900-01-01'::TIMESTAMP AS valid_from, TRUE AS is_current, TRUE AS is_inferred, 1 AS batch_no""")
    account.put("plain", [streams.event("plain", 20, id=1, city="B"), streams.event("plain", 20, id=7, city="A")])

    account.step("plain")

    found = account.bench.duck("SELECT plain_key, valid_from, is_current, is_inferred FROM firn.gold.dim_plain WHERE id = 7")
    account.reset("plain")
    assert found == [(70, streams.day(20), True, False)]


IN_THE_SHORTEST_WAY = [
    pytest.param(history_fast, "return new.read_again == 0 and new.events", "return new.events", "plain", id="late and ended keys are taken for in order"),
    pytest.param(history_fast, "| F.col(\"is_altered\"))", ")", "policies", id="other values of the version met are not written"),
    pytest.param(history_fast, "F.col(\"version_key\").is_null() | F.col(\"valid_to\").is_not_null()", "F.col(\"valid_to\").is_not_null()", "plain", id="new versions are not written"),
    pytest.param(dimension_step, "    if target.of_key:\n        note(", "    if False:\n        note(", "policies", id="type 1 on the version met only"),
    pytest.param(dimension_step, "F.coalesce(F.col(\"durable_key\"), new_key)", "new_key", "plain", id="every version is a new member"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "right", "wrong", "name"), IN_THE_SHORTEST_WAY)
def test_a_fault_in_the_shortest_way_is_seen(account, monkeypatch, module, right, wrong, name):
    break_it(monkeypatch, module, right, wrong)

    with pytest.raises(Exception):  # noqa: B017  the oracle, the invariants, or the table's own NOT NULL
        follow(account, name, feed(name))
    account.reset(name)


@pytest.mark.parametrize("how", ["dropped", "doubled"])
@pytest.mark.parametrize(("name", "schema", "batch", "rows"), [
    pytest.param("plain", "stage", 1, 9, id="history in hand"),
    pytest.param("plain", "gold", 1, 6, id="versions"),
    pytest.param("policies", "gold", 4, 5, id="versions before those in hand that get other values"),
])  # fmt: skip
def test_any_row_dropped_or_doubled_on_the_shortest_way_takes_the_step_back(account, monkeypatch, name, schema, batch, rows, how):
    account.reset(name)
    for before in feed(name)[:batch]:
        account.put(name, before)
        account.step(name)
    account.put(name, feed(name)[batch])
    stood, plainly = account.surrogates(name), account.bench.account._execute
    for number in range(1, 20):

        def execute(session, sql, params, *, describe, number=number):
            return plainly(session, mutated(sql, f"{schema}.dim_{name}", how, number), params, describe=describe)

        with monkeypatch.context() as meddling:
            meddling.setattr(account.bench.account, "_execute", execute)
            try:
                account.step(name)
            except Exception:
                assert account.surrogates(name) == stood
            else:
                break
    account.reset(name)
    assert number == rows + 1, "a number beyond the rows there are is no fault"
