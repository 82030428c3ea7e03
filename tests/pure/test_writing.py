"""A table becomes what is desired, and a row that already is what it should be is not rewritten (rule 26)."""

from __future__ import annotations

import pytest
import snowflake.snowpark.functions as F
import writing
from frames import rows, table

HEAD = "region:text | item:text | amount:integer"
KEPT = f"{HEAD} | batch_no:integer"


def reconciled(session, frame, stored, target: str, desired: str, scope: str, null_keys: bool):
    """The target's rows after batch 9, and what was counted."""
    name, touched = stored(f"{KEPT}\n{target}"), frame(f"touched_region:text\n{scope}")
    done = compared_and_done(session, name, frame(f"{HEAD}\n{desired}"), touched, ("region",), batch_no=9, null_keys=null_keys)
    return rows(session.table(name)), done


def compared_and_done(session, name, desired, scope, scope_key, batch_no: int, null_keys: bool) -> writing.Reconciled:
    """As a step does it: first what would have to be done, then that; and what was foreseen is what was done."""
    table_, shape = session.table(name), {"key": ("region", "item"), "values": ("amount",), "scope": scope, "scope_key": scope_key, "null_keys": null_keys}
    found = writing.compared(table_, desired, **shape)
    done = writing.reconcile(session, name, table_, desired, found, **shape, stamp={"batch_no": F.lit(batch_no)})
    assert (found.missing, found.other, found.undesired) == (done.inserted, done.updated, done.deleted)
    assert found.alike + found.other + found.missing == desired.count()
    return done


@pytest.mark.parametrize(
    ("target", "desired", "after", "counts"),
    [
        pytest.param("n | a | 1 | 1", "n | a | 1", "n | a | 1 | 1", (0, 0, 0), id="as desired: its batch number stays"),
        pytest.param("n | a |   | 1", "n | a |  ", "n | a |   | 1", (0, 0, 0), id="NULL is NULL: not rewritten"),
        pytest.param("n | a | 1 | 1", "n | a | 2", "n | a | 2 | 9", (0, 1, 0), id="another value"),
        pytest.param("n | a | 1 | 1", "n | a |  ", "n | a |   | 9", (0, 1, 0), id="a value lost"),
        pytest.param("n | a |   | 1", "n | a | 1", "n | a | 1 | 9", (0, 1, 0), id="a value found"),
        pytest.param("", "n | a | 1", "n | a | 1 | 9", (1, 0, 0), id="missing"),
        pytest.param("n | a | 1 | 1", "", "", (0, 0, 1), id="no longer desired"),
        pytest.param("s | a | 1 | 1", "", "s | a | 1 | 1", (0, 0, 0), id="outside the scope nothing is removed"),
        pytest.param(
            "n | a | 1 | 1\nn | b | 1 | 1\nn | c | 1 | 1\ns | d | 1 | 1",
            "n | a | 1\nn | b | 2\nn | e | 5",
            "n | a | 1 | 1\nn | b | 2 | 9\nn | e | 5 | 9\ns | d | 1 | 1",
            (1, 1, 1),
            id="all at once",
        ),
    ],
)
@pytest.mark.parametrize("null_keys", [False, True], ids=["keys given", "keys may be NULL"])
def test_a_table_becomes_what_is_desired(session, frame, stored, target, desired, after, counts, null_keys):
    found, done = reconciled(session, frame, stored, target, desired, "n", null_keys)

    assert found == table(f"{KEPT}\n{after}")
    assert (done.inserted, done.updated, done.deleted) == counts


@pytest.mark.parametrize(
    ("target", "desired", "after", "counts"),
    [
        pytest.param(" | a | 1 | 1", " | a | 1", " | a | 1 | 1", (0, 0, 0), id="the group NULL is found again"),
        pytest.param(" | a | 1 | 1", " | a | 2", " | a | 2 | 9", (0, 1, 0), id="the group NULL changes"),
        pytest.param(" | a | 1 | 1", "", "", (0, 0, 1), id="the group NULL goes"),
        pytest.param("n | a | 1 | 1", " | a | 1", "n | a | 1 | 1\n | a | 1 | 9", (1, 0, 0), id="NULL is no other group"),
    ],
)
def test_null_is_a_key_like_any_other_where_keys_may_be_null(session, frame, stored, target, desired, after, counts):
    name = stored(f"{KEPT}\n{target}")
    scope = frame("touched_region:text | touched_item:text\n | a")  # the group whose region is NULL
    done = compared_and_done(session, name, frame(f"{HEAD}\n{desired}"), scope, ("region", "item"), batch_no=9, null_keys=True)

    assert rows(session.table(name)) == table(f"{KEPT}\n{after}")
    assert (done.inserted, done.updated, done.deleted) == counts


def test_reconciling_twice_writes_once(session, frame, stored):
    name = stored(f"{KEPT}\nn | a | 1 | 1\nn | b | 2 | 1")

    def again(batch_no: int) -> writing.Reconciled:
        desired, scope = frame(f"{HEAD}\nn | a | 5\nn | c |"), frame("touched_region\nn")
        return compared_and_done(session, name, desired, scope, ("region",), batch_no, null_keys=False)

    assert again(2) == writing.Reconciled(inserted=1, updated=1, deleted=1)
    assert again(3) == writing.Reconciled()


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
