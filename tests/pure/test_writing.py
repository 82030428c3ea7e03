"""A table becomes what is desired, and a row that already is what it should be is not rewritten (rule 26)."""

from __future__ import annotations

from functools import reduce
from operator import and_

import pytest
import snowflake.snowpark.functions as F
import writing
from frames import rows, table

HEAD = "region:text | item:text | amount:integer"
KEPT = f"{HEAD} | batch_no:integer"
NOTHING = pytest.mark.notyet("localtest", reason="its MERGE fails on a source without rows")


def merged(session, name: str, desired, scope, scope_key, batch_no: int = 9) -> writing.Merged:
    """As a step does it: what stands in the scope becomes what is desired."""
    named = [F.col(column).equal_null(F.col(f"touched_{column}")) for column in scope_key]
    standing = session.table(name).join(scope, on=reduce(and_, named), how="leftsemi")
    return writing.merge(session.table(name), standing, desired, key=("region", "item"), values=("amount",), stamp={"batch_no": F.lit(batch_no)})


@pytest.mark.parametrize(
    ("target", "desired", "after", "counts"),
    [
        pytest.param("n | a | 1 | 1", "n | a | 1", "n | a | 1 | 1", (0, 0, 0), id="as desired: its batch number stays", marks=NOTHING),
        pytest.param("n | a |   | 1", "n | a |  ", "n | a |   | 1", (0, 0, 0), id="NULL is NULL: not rewritten", marks=NOTHING),
        pytest.param("n | a | 1 | 1", "n | a | 2", "n | a | 2 | 9", (0, 1, 0), id="another value"),
        pytest.param("n | a | 1 | 1", "n | a |  ", "n | a |   | 9", (0, 1, 0), id="a value lost"),
        pytest.param("n | a |   | 1", "n | a | 1", "n | a | 1 | 9", (0, 1, 0), id="a value found"),
        pytest.param("", "n | a | 1", "n | a | 1 | 9", (1, 0, 0), id="missing"),
        pytest.param("n | a | 1 | 1", "", "", (0, 0, 1), id="no longer desired"),
        pytest.param("s | a | 1 | 1", "", "s | a | 1 | 1", (0, 0, 0), id="outside the scope nothing is removed", marks=NOTHING),
        pytest.param(
            "n | a | 1 | 1\nn | b | 1 | 1\nn | c | 1 | 1\ns | d | 1 | 1",
            "n | a | 1\nn | b | 2\nn | e | 5",
            "n | a | 1 | 1\nn | b | 2 | 9\nn | e | 5 | 9\ns | d | 1 | 1",
            (1, 1, 1),
            id="all at once",
        ),
    ],
)
def test_a_table_becomes_what_is_desired(session, frame, stored, target, desired, after, counts):
    name = stored(f"{KEPT}\n{target}")

    done = merged(session, name, frame(f"{HEAD}\n{desired}"), frame("touched_region:text\nn"), ("region",))

    assert rows(session.table(name)) == table(f"{KEPT}\n{after}")
    assert (done.inserted, done.updated, done.deleted) == counts


@pytest.mark.parametrize(
    ("target", "desired", "after", "counts"),
    [
        pytest.param(" | a | 1 | 1", " | a | 1", " | a | 1 | 1", (0, 0, 0), id="the group NULL is found again", marks=NOTHING),
        pytest.param(" | a | 1 | 1", " | a | 2", " | a | 2 | 9", (0, 1, 0), id="the group NULL changes"),
        pytest.param(" | a | 1 | 1", "", "", (0, 0, 1), id="the group NULL goes"),
        pytest.param("n | a | 1 | 1", " | a | 1", "n | a | 1 | 1\n | a | 1 | 9", (1, 0, 0), id="NULL is no other group"),
    ],
)
def test_null_is_a_key_like_any_other(session, frame, stored, target, desired, after, counts):
    name = stored(f"{KEPT}\n{target}")
    scope = frame("touched_region:text | touched_item:text\n | a")  # the group whose region is NULL

    done = merged(session, name, frame(f"{HEAD}\n{desired}"), scope, ("region", "item"))

    assert rows(session.table(name)) == table(f"{KEPT}\n{after}")
    assert (done.inserted, done.updated, done.deleted) == counts


@NOTHING
def test_merging_twice_writes_once(session, frame, stored):
    name = stored(f"{KEPT}\nn | a | 1 | 1\nn | b | 2 | 1")

    def again(batch_no: int) -> writing.Merged:
        desired, scope = frame(f"{HEAD}\nn | a | 5\nn | c |"), frame("touched_region\nn")
        return merged(session, name, desired, scope, ("region",), batch_no)

    assert again(2) == writing.Merged(inserted=1, updated=1, deleted=1)
    assert again(3) == writing.Merged()


def test_rows_are_added_by_the_names_of_their_columns(session, frame, stored):
    name = stored("a:integer | b:integer\n1 | 2")

    writing.append(frame("b:integer | a:integer\n20 | 10"), name)

    assert rows(session.table(name)) == table("a | b\n1 | 2\n10 | 20")


@pytest.mark.notyet("localtest", reason="no transactions")
def test_an_error_takes_everything_back_and_goes_on_its_way(session, frame, stored):
    name = stored("a:integer\n1")

    with pytest.raises(ZeroDivisionError), writing.transaction(session):
        writing.append(frame("a:integer\n2"), name)
        writing.clear(session, name)
        raise ZeroDivisionError

    assert rows(session.table(name)) == table("a\n1")


@pytest.mark.notyet("localtest", reason="no transactions")
@pytest.mark.parametrize(("keep", "after"), [(True, "a\n1\n2"), (False, "a\n1")], ids=["kept", "not kept"])
def test_a_transaction_commits_unless_it_is_told_not_to(session, frame, stored, keep, after):
    name = stored("a:integer\n1")

    with writing.transaction(session) as opened:
        writing.append(frame("a:integer\n2"), name)
        opened.keep = keep

    assert rows(session.table(name)) == table(after)


@pytest.mark.notyet("localtest", reason="no session.sql")
def test_numbers_of_several_frames_are_one_statement(session, frame):
    some = frame("a:integer\n1\n2\n3")

    assert writing.numbers(session, some.agg(F.count(F.lit(1))), some.filter(F.col("a") > F.lit(1)).agg(F.sum(F.col("a")))) == [3, 5]
