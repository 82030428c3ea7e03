"""A row dropped or doubled on its way, at any movement, turns the run red.

Most faults turn the step red, and nothing of it stays; one that only a look at both sides can see turns `core.reconcile` red, with the rows.
"""

from __future__ import annotations

import datetime as dt
import re

import pytest
from snowflake.connector.errors import ProgrammingError

from local import drill_rows, drill_state
from local.place import ROOT
from tests.rig import rigged

HOTEL = (ROOT / "tests/drill/hotel.yml").read_text()
INSERT = re.compile(r"\s*INSERT\s+INTO\s+([\w.\"]+)\s*(\([^)]*\))?\s*(.*)", re.IGNORECASE | re.DOTALL)
MERGE = re.compile(r"\s*MERGE\s+INTO\s+([\w.\"]+)\s+USING\s*\((.*)\)\s+ON\s+(.*?WHEN\s+MATCHED.*)", re.IGNORECASE | re.DOTALL)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """The second batch of the drill in bronze, with late rows, tombstones and rows to quarantine; kept before every step.

    All of it is younger than the retention: what a sweep does is not the question here.
    """
    with rigged(tmp_path_factory.mktemp("mutations") / "rig", HOTEL) as made:
        made.clock = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(hours=2)
        first, second = drill_rows.made_up(made.pipeline, rows=12)
        first(made)
        made.run()
        second(made)
        made.duck("DELETE FROM firn_landing.bronze.bookings WHERE _loaded_at < TIMESTAMP '2024-01-01'")
        for task in made.plan():
            drill_state.keep(made, task.step)
            made.step(task.step, task.target)
        yield made


def mutated(sql: str, table: str, how: str, number: int = 1) -> str:
    """An INSERT or MERGE into this table, of one row less or one row twice: the row of this number."""
    found = MERGE.fullmatch(sql)
    if found and found[1].replace('"', "").lower() == table:
        return f"MERGE INTO {found[1]} USING ({damaged(found[2], how, number)}) ON {found[3]}"
    found = INSERT.fullmatch(sql)
    if not found or found[1].replace('"', "").lower() != table or "SELECT" not in found[3].upper():
        return sql
    return f"INSERT INTO {found[1]} {found[2] or ''} {damaged(found[3], how, number)}"


def damaged(query: str, how: str, number: int) -> str:
    """The rows of a query, one less or one twice."""
    rows = f"SELECT moved.*, ROW_NUMBER() OVER (ORDER BY 1) AS moved_no FROM ({query}) AS moved"
    if how == "dropped":
        return f"SELECT * EXCLUDE (moved_no) FROM ({rows}) WHERE moved_no <> {number}"
    return f"SELECT * EXCLUDE (moved_no) FROM (SELECT * FROM ({rows}) UNION ALL SELECT * FROM ({rows}) WHERE moved_no = {number})"


STEP, RECONCILE = "the step", "core.reconcile"


@pytest.mark.parametrize("how", ["dropped", "doubled"])
@pytest.mark.parametrize(("step", "table", "found_by"), [
    pytest.param("load", "stage.bookings", {STEP}, id="bronze to stage"),
    pytest.param("load", "silver.bookings", {STEP}, id="stage to silver"),
    pytest.param("load", "control.quarantine", {STEP}, id="stage to quarantine"),
    pytest.param("load", "control.ledger", {STEP}, id="stage to ledger"),
    pytest.param("dimension", "stage.dim_guest", {STEP, RECONCILE}, id="silver to the history in hand"),
    pytest.param("dimension", "stage.dim_guest again", {STEP}, id="history in hand to changes"),
    pytest.param("dimension", "gold.dim_guest", {STEP}, id="changes to dimension"),
    pytest.param("fact", "stage.fact_stays", {STEP, RECONCILE}, id="silver to the facts in hand"),
    pytest.param("fact", "gold.fact_stays", {STEP, RECONCILE}, id="facts in hand to fact"),
    pytest.param("measure", "gold.monthly_stays", {STEP, RECONCILE}, id="fact to measure"),
])
def test_a_row_dropped_or_doubled_turns_the_run_red(rig, monkeypatch, step, table, found_by, how):
    drill_state.put_back(rig, step)
    task = next(task for task in rig.plan() if task.step == step)
    plainly, changed = rig.account._execute, []
    table, _, again = table.partition(" ")
    passed = 0 if again else 1  # INSERTs into the table so far; the one after the first is meant where the table says `again`

    def execute(session, sql, params, *, describe):
        nonlocal passed
        other = mutated(sql, table, how) if session.app and not describe else sql
        if other != sql:
            passed += 1
            changed.extend([other] if passed == 2 else [])
        return plainly(session, other if other in changed else sql, params, describe=describe)

    with monkeypatch.context() as meddling:
        meddling.setattr(rig.account, "_execute", execute)
        said = refused(lambda: rig.step(step, task.target))

    assert changed, f"no INSERT INTO {table} came by"
    if said:
        assert any(word in said for word in ("AccountsUnbalanced", "Broken", "Duplicate row")), said
        assert drill_state.differences(rig, step) == []
        return
    assert RECONCILE in found_by, "the step went through"
    rig.run()  # the steps after it
    said = refused(lambda: rig.call("core.reconcile", "hotel"))
    assert "Imbalance" in (said or "balanced")


def test_without_a_mutation_nothing_is_red(rig):
    drill_state.put_back(rig, "load")

    rig.run()

    assert rig.call("core.reconcile", "hotel")["balanced"]


def refused(call):
    """What a call says when it fails."""
    try:
        call()
    except ProgrammingError as error:
        return error.msg
    return None
