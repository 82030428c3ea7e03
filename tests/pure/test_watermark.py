"""A place in a file's content is taken once, however often and under whatever name it comes (rules 28 to 31)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import names
import pytest
import snowflake.snowpark.functions as F
import specs
import watermark
import writing
from frames import rows, table

ITEMS = specs.Source("items", "i/", "csv", ("id",), "effective_at", (specs.Column("id", "integer"),), overlap=timedelta(hours=1))
BRONZE = "_file_name:text | _content_key:text | _loaded_at:timestamp | _row_number:integer | id:text\n"
LEDGER = (
    "file_name:text | content_key:text | loaded_at:timestamp | first_row:integer | last_row:integer | row_count:integer"
    " | is_duplicate:boolean | pipeline:text | source:text\n"
)
TIMES = {"t1": "2024-01-01 10:00:00", "t2": "2024-01-01 11:00:00", "t3": "2024-01-01 12:00:00"}


def in_full(text: str) -> str:
    for short, full in TIMES.items():
        text = text.replace(short, full)
    return text


def bronze(frame, loads: str):
    """`a.csv A t1 1-3`: rows 1 to 3 of content A, named a.csv, loaded at t1."""
    lines = []
    for load in filter(None, loads.split(", ")):
        name, content, at, span = load.split()
        first, last = map(int, span.split("-"))
        lines += [f"{name} | {content} | {at} | {n} | {n}" for n in range(first, last + 1)]
    return frame(BRONZE + in_full("\n".join(lines)))


def ledger(frame, entries: str, owner: str = "shop | items"):
    """As `bronze`; with `again` behind it, entered as a duplicate."""
    lines = []
    for entry in filter(None, entries.split(", ")):
        name, content, at, span, *again = entry.split()
        first, last = map(int, span.split("-"))
        lines.append(f"{name} | {content} | {at} | {first} | {last} | {last - first + 1} | {str(bool(again)).lower()} | {owner}")
    return frame(LEDGER + in_full("\n".join(lines)))


def batch(bronze, ledger, floor=watermark.BEGINNING):
    """The rows a load takes of the loads that wait."""
    waiting = watermark.waiting(bronze, ledger, "shop", ITEMS, floor).select("waiting_file", "waiting_content", "waiting_at")
    return watermark.batch(bronze, waiting, ledger, "shop", ITEMS)


def taken(found) -> list[str]:
    """What a batch holds: `a.csv A 1`, with `again` for a repeat."""
    return sorted(
        f"{row['_file_name']} {row['_content_key']} {row['_row_number']}{' again' if row['is_repeat'] else ''}" for row in found
    )


CASES = [
    pytest.param("a.csv A t1 1-2", "", ["a.csv A 1", "a.csv A 2"], id="a new file"),
    pytest.param("a.csv A t1 1-2", "a.csv A t1 1-2", [], id="a file taken whole"),
    pytest.param("a.csv A t1 1-4", "a.csv A t1 1-2", ["a.csv A 3", "a.csv A 4"], id="the rest of a file that committed in parts"),
    pytest.param("a.csv A t1 1-4", "a.csv A t1 1-1, a.csv A t1 3-3", ["a.csv A 2", "a.csv A 4"], id="what is between the parts"),
    pytest.param("a.csv A t2 1-2", "a.csv A t1 1-2", ["a.csv A 1 again", "a.csv A 2 again"], id="a file re-sent, its first load swept"),
    pytest.param("b.csv A t2 1-1", "a.csv A t1 1-1", ["b.csv A 1 again"], id="re-sent under another name"),
    pytest.param("a.csv B t2 1-1", "a.csv A t1 1-1", ["a.csv B 1"], id="the same name with new content"),
    pytest.param("a.csv A t2 1-3", "a.csv A t1 1-2", ["a.csv A 1 again", "a.csv A 2 again", "a.csv A 3"], id="re-sent before it was taken whole"),
    pytest.param("a.csv A t1 1-1, a.csv A t2 1-1", "", ["a.csv A 1", "a.csv A 1 again"], id="loaded twice before the first batch"),
    pytest.param("a.csv A t1 1-1, b.csv A t1 1-1", "", ["a.csv A 1", "b.csv A 1 again"], id="two names of one content in one batch"),
    pytest.param("b.csv A t2 1-1", "a.csv A t1 1-1, b.csv A t2 1-1 again", [], id="a repeat that was entered is not looked at again"),
    pytest.param("c.csv A t3 1-1", "b.csv A t2 1-1 again", ["c.csv A 1"], id="a duplicate entry takes nothing"),
]

ON_THE_ACCOUNT = pytest.mark.notyet("localtest", reason="no session.sql")
NO_EMPTY_WINDOWS = pytest.mark.notyet("localtest", reason="a window over no rows loses the columns")


def marked(case: Any) -> Any:
    """The case, marked where its batch is empty."""
    return case if case.values[2] else pytest.param(*case.values, id=case.id, marks=NO_EMPTY_WINDOWS)


@pytest.mark.parametrize(("loads", "entries", "expected"), map(marked, CASES))
def test_a_batch_is_what_the_ledger_has_not(frame, loads, entries, expected):
    found = batch(bronze(frame, loads), ledger(frame, entries))

    assert taken(rows(found)) == expected


@pytest.mark.parametrize(("loads", "entries", "expected"), CASES)
def test_a_load_waits_exactly_while_a_batch_would_hold_rows_of_it(frame, loads, entries, expected):
    waiting = watermark.waiting(bronze(frame, loads), ledger(frame, entries), "shop", ITEMS, watermark.BEGINNING)

    assert {row["waiting_file"] for row in rows(waiting)} == {line.split()[0] for line in expected}


@pytest.fixture
def control(session, stored):
    """Puts bronze and the ledger where the account looks for them; gives bronze's name."""
    columns = "_file_name VARCHAR, _content_key VARCHAR, _loaded_at TIMESTAMP_NTZ, _row_number NUMBER, id VARCHAR"
    session.sql(f"CREATE TABLE IF NOT EXISTS stage.bronze_items ({columns})").collect()
    opened = writing.transaction(session)
    opened.__enter__().keep = False

    def put(bronze, ledger) -> str:
        entries = ledger.with_column("batch_no", F.lit(1)).with_column("taken_at", F.lit(datetime(2024, 1, 2)))
        entries = entries.with_column("event_count", F.col("row_count")).with_column("quarantined_count", F.lit(0))
        writing.insert(session, entries, watermark.LEDGER, watermark.ENTRY)
        columns = ("_file_name", "_content_key", "_loaded_at", "_row_number", "id")
        writing.insert(session, bronze, "stage.bronze_items", columns)
        return "stage.bronze_items"

    yield put
    opened.__exit__(None, None, None)


def in_hand(session, name: str, floor: datetime = watermark.BEGINNING):
    """The loads a step takes in hand: `a.csv A`, how many of its rows wait, and whether it is plain."""
    watermark.take_loads(session, name, "shop", ITEMS, floor)
    return watermark.in_hand(session, "shop", ITEMS)


@ON_THE_ACCOUNT
@pytest.mark.parametrize(("loads", "entries", "expected"), CASES)
def test_the_loads_in_hand_are_those_that_wait(session, frame, control, loads, entries, expected):
    held, known = bronze(frame, loads), ledger(frame, entries)

    found = in_hand(session, control(held, known))

    waiting = watermark.waiting(held, known, "shop", ITEMS, watermark.BEGINNING)
    assert {(row["waiting_file"], row["waiting_at"]) for row in rows(found)} == {(row["waiting_file"], row["waiting_at"]) for row in rows(waiting)}
    assert watermark.counted(session, "shop", ITEMS, None).rows == len(expected)
    # A load is plain where the ledger need not be asked: every row of it is taken, and none is a repeat.
    for load in rows(found):
        one = [line for line in expected if line.split()[:2] == [load["waiting_file"], load["waiting_content"]]]
        if load["is_plain"]:
            assert not any(line.endswith("again") for line in one)
            assert load["row_count"] == len(one)
    if all(load["is_plain"] for load in rows(found)):
        assert taken(rows(watermark.plain_batch(bronze(frame, loads), found, ITEMS))) == expected


@ON_THE_ACCOUNT
def test_a_load_that_lies_below_lets_less_the_overlap_is_late(session, frame, control):
    in_hand(session, control(bronze(frame, "a.csv A t1 1-3, b.csv B t3 1-2"), ledger(frame, "")))

    assert watermark.counted(session, "shop", ITEMS, datetime.fromisoformat(TIMES["t3"])).late == 3
    assert watermark.counted(session, "shop", ITEMS, None).late == 0, "nothing is late for a first load"


@ON_THE_ACCOUNT
@pytest.mark.parametrize(
    ("entries", "left"),
    [
        pytest.param("a.csv A t1 1-3, b.csv B t3 1-2", set(), id="all rows entered"),
        pytest.param("a.csv A t1 1-1, a.csv A t1 3-3, b.csv B t3 1-2 again", {"a.csv"}, id="one row short"),
        pytest.param("a.csv A t1 1-4, b.csv B t3 1-2", {"a.csv"}, id="one row too many"),
        pytest.param("b.csv B t3 1-2", {"a.csv"}, id="a load forgotten"),
    ],
)
def test_a_load_leaves_the_hand_when_all_its_rows_are_entered(session, frame, control, entries, left):
    name = control(bronze(frame, "a.csv A t1 1-3, b.csv B t3 1-2"), ledger(frame, ""))
    found = in_hand(session, name)
    control(bronze(frame, ""), ledger(frame, entries))

    assert watermark.let_go(session, "shop", ITEMS, 1) == 2 - len(left)
    assert {row["waiting_file"] for row in rows(found)} == left


@pytest.mark.parametrize("owner", ["shop | others", "mall | items"], ids=["another source", "another pipeline"])
def test_each_source_of_each_pipeline_has_its_own_ledger(frame, owner):
    found = batch(bronze(frame, "a.csv A t1 1-1"), ledger(frame, "a.csv A t1 1-1", owner))

    assert taken(rows(found)) == ["a.csv A 1"]


def test_nothing_is_looked_for_at_or_below_the_floor(frame):
    loads = bronze(frame, "a.csv A t1 1-1, b.csv B t2 1-1, c.csv C t3 1-1")

    found = batch(loads, ledger(frame, ""), datetime.fromisoformat(TIMES["t2"]))

    assert taken(rows(found)) == ["c.csv C 1"]


@pytest.mark.parametrize(
    ("lets", "late_from", "floor"),
    [
        pytest.param(None, None, watermark.BEGINNING, id="a first run looks at everything"),
        pytest.param("12:00", None, "11:00", id="LETS less the overlap"),
        pytest.param("12:00", "09:30", "09:30", id="stragglers were seen further back"),
        pytest.param("12:00", "11:30", "11:00", id="stragglers inside the overlap move nothing"),
    ],
)
def test_where_looking_starts(lets, late_from, floor):
    def moment(text: Any) -> Any:
        return datetime.fromisoformat(f"2024-01-01 {text}:00") if isinstance(text, str) else text

    assert watermark.floor_of(watermark.Mark(moment(lets), moment(late_from), 0), ITEMS) == moment(floor)


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        pytest.param("1 2 3", "1-3", id="one run"),
        pytest.param("2", "2-2", id="one row"),
        pytest.param("1 2 5 6 9", "1-2, 5-6, 9-9", id="gaps end runs"),
        pytest.param("3 1 2", "1-3", id="whatever order they come in"),
    ],
)
def test_the_ledger_gets_a_row_for_each_unbroken_run(frame, numbers, runs):
    staged = frame("file_name | content_key | loaded_at | is_repeat | outcome | row_number\n"
                   + in_full("\n".join(f"a.csv | A | t1 | false | event | {number}" for number in numbers.split())))  # fmt: skip

    found = watermark.ranges(staged, "shop", ITEMS, 3, datetime(2024, 1, 2))

    expected = [tuple(map(int, run.split("-"))) for run in runs.split(", ")]
    assert sorted((row["first_row"], row["last_row"]) for row in rows(found)) == expected
    assert all(row["row_count"] == row["last_row"] - row["first_row"] + 1 for row in rows(found))


def test_runs_end_where_another_load_or_a_repeat_begins(frame):
    staged = frame(in_full("""
        file_name | content_key | loaded_at | is_repeat | outcome     | row_number
        a.csv     | A           | t1        | false     | event       | 1
        a.csv     | A           | t1        | true      | duplicate   | 2
        a.csv     | A           | t2        | true      | duplicate   | 1
        b.csv     | A           | t1        | true      | duplicate   | 1
        b.csv     | B           | t1        | false     | event       | 1
        b.csv     | B           | t1        | false     | quarantined | 2
        b.csv     | B           | t1        | false     | duplicate   | 3
    """))

    found = watermark.ranges(staged, "shop", ITEMS, 3, datetime(2024, 1, 2))

    assert rows(found) == table(in_full("""
        pipeline | source | file_name | content_key | loaded_at | first_row | last_row | row_count | is_duplicate | batch_no | taken_at            | event_count | quarantined_count
        shop     | items  | a.csv     | A           | t1        | 1         | 1        | 1         | false        | 3        | 2024-01-02 00:00:00 | 1           | 0
        shop     | items  | a.csv     | A           | t1        | 2         | 2        | 1         | true         | 3        | 2024-01-02 00:00:00 | 0           | 0
        shop     | items  | a.csv     | A           | t2        | 1         | 1        | 1         | true         | 3        | 2024-01-02 00:00:00 | 0           | 0
        shop     | items  | b.csv     | A           | t1        | 1         | 1        | 1         | true         | 3        | 2024-01-02 00:00:00 | 0           | 0
        shop     | items  | b.csv     | B           | t1        | 1         | 3        | 3         | false        | 3        | 2024-01-02 00:00:00 | 1           | 1
    """))


@NO_EMPTY_WINDOWS
def test_what_was_entered_is_not_taken_again(frame):
    held = bronze(frame, "a.csv A t1 1-4, b.csv A t2 1-4, b.csv B t3 1-2, b.csv B t3 5-6")
    known = ledger(frame, "a.csv A t1 1-2")
    first = batch(held, known)
    assert len(taken(rows(first))) == 10
    staged = first.select(*[F.col(f"_{name}").alias(name) for name in names.PROVENANCE], "is_repeat", F.lit("event").alias("outcome"))
    entered = watermark.ranges(staged, "shop", ITEMS, 1, datetime(2024, 1, 2)).select(*known.columns)

    second = batch(held, known.union_all(entered))

    assert rows(second) == []
