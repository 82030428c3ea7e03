"""Crash drills: whatever statement a run fails at, the run after it ends as if nothing had happened."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys

import pytest
from snowflake.connector.errors import ProgrammingError

from local import drill as drilling
from local import drill_rows, drill_state
from local import rig as rigs
from local.cli import main
from local.drill import settle
from local.failpoints import FailPoint, watched
from local.place import ROOT
from tests.rig import damaged, rigged

HOTEL = (ROOT / "tests/drill/hotel.yml").read_text()
SMALL = """
pipeline: small
schedule: 10 seconds
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [person_id]
    effective_at: updated_at
    columns:
      person_id:  {type: integer}
      city:       {type: text, clean: [trim]}
      updated_at: {type: timestamp}
"""


# --- every point


HOTEL_STEPS = {"load bookings", "dimension dim_guest", "fact fact_stays", "measure monthly_stays", "sweep", "begin", "finish"}


def drilled(capsys, *arguments):
    """What `firn drill` of a pipeline that is not ours said, when it found nothing wrong."""
    code = main(["drill", str(ROOT / "tests/drill/hotel.yml"), *arguments])
    said = capsys.readouterr().out
    assert code == 0 and "no differences" in said, said
    return said


def test_a_run_that_fails_at_any_statement_ends_right_when_it_is_run_again(capsys):
    """All points, by the command a user has: what each leaves behind, and restarts to the end from one point a step and every odd state."""
    said = drilled(capsys, "--rows", "8", "--batch", "2", "--kills", "60")

    points, statements, dead, refused, killed = map(int, re.search(r"(\d+) points at (\d+) statements \((\d+) die, (\d+) error, (\d+) kill\)", said).groups())
    assert points == dead + refused + killed and killed > 0
    assert statements > 100 and refused > statements and dead > statements / 2
    assert {title for title in HOTEL_STEPS if f"batch 2   {title}" in said} == HOTEL_STEPS
    after, before, between, restarts = map(int, re.search(r"left (\d+) as after, (\d+) as before, (\d+) between the step; (\d+) restarts", said).groups())
    assert after > 10 and before > 100 and between > 0 and restarts > len(HOTEL_STEPS)
    events, waiting = map(int, re.search(r"bookings \d+ rows, (\d+) events, (\d+) quarantined", said).groups())  # the sweep took the rows
    assert waiting >= 2 and events > 10, "the batches had nothing to quarantine, or too little to load"


@pytest.mark.nightly
def test_a_sweep_that_has_swept_and_dies_is_no_difference(capsys):
    """The first batch has rows past retention: a sweep that dies after its DELETE has done what the next finds done."""
    said = drilled(capsys, "--rows", "8", "--batch", "1")

    assert int(re.search(r"(\d+) between the step", said)[1]) > 10


@pytest.mark.nightly
@pytest.mark.parametrize("pipeline", ["app/pipelines/retail.yml", "app/pipelines/online_retail.yml", "tests/drill/hotel.yml"])
def test_every_point_with_a_restart_of_its_own(pipeline, capsys):
    assert main(["drill", str(ROOT / pipeline), "--every"]) == 0, capsys.readouterr().out


# --- the drill's own tests: a step that is not done or not done is found out


def test_a_run_that_does_not_commit_as_one_is_found_out(tmp_path, capsys, monkeypatch):
    """With the transaction taken out of the steps the command names the points and the rows, and says so by its exit code."""
    laid_out = rigs.lay_out

    def without_transaction(stage):
        laid_out(stage)
        for name, text in damaged("writing", "session.begin_transaction()", "pass").items():
            (stage / "procedures" / name).write_text(text)

    def one_point(watch, plan, tried):
        """The events are in silver, and the ledger knows nothing of them."""
        return [FailPoint(number, "die") for number, words in enumerate(watch.seen, 1) if words.upper() == "INSERT INTO CONTROL.LEDGER"]

    monkeypatch.setattr(rigs, "lay_out", without_transaction)
    monkeypatch.setattr(drilling, "points", one_point)
    (tmp_path / "small.yml").write_text(SMALL)

    assert main(["drill", str(tmp_path / "small.yml"), "--rows", "4", "--batch", "1", "--kills", "0"]) == 1

    said = capsys.readouterr().out
    assert "batch 1, load people: die before statement" in said
    assert "neither as before the step nor as after it" in said
    assert "silver.people: too much" in said


@pytest.mark.parametrize(("broken", "words", "how", "said"), [
    pytest.param(
        ("loading", "    writing.insert(run.session, watermark.ranges", "    run.session.commit(); run.session.begin_transaction()\n    writing.insert(run.session, watermark.ranges"),
        "INSERT INTO CONTROL.LEDGER", "die", "silver.people: too much", id="a commit in two parts",
    ),
    pytest.param(
        ("runs", "        watermark.advance(", "        self.session.commit(); self.session.begin_transaction()\n        watermark.advance("),
        "UPDATE CONTROL.PARAMETER_CONTROL", "die", "control.ledger: too much", id="LETS outside the transaction of its rows",
    ),
    pytest.param(
        ("writing", "        session.rollback()\n        raise", "        session.commit()\n        raise"),
        "INSERT INTO CONTROL.LEDGER", "error", "silver.people: too much", id="what was done is kept when a statement is refused",
    ),
    pytest.param(
        ("writing", "        session.rollback()\n        raise", "        raise"),
        "INSERT INTO CONTROL.LEDGER", "error", "the log does not say that it failed", id="no rollback: the log's row goes with the rest",
    ),
    pytest.param(("writing", "session.commit()", "session.commit()"), "COMMIT", "error", None, id="nothing is broken: a refused COMMIT is rolled back and said"),
])  # fmt: skip
def test_a_step_that_breaks_its_transaction_is_found_out(tmp_path, monkeypatch, broken, words, how, said):
    monkeypatch.setattr(drilling, "restarted", lambda rig, ground: [])  # what is left behind is enough
    with rigged(tmp_path / "rig", SMALL, damaged(*broken)) as rig:
        drill_rows.made_up(rig.pipeline, rows=4)[0](rig)
        drill_state.keep(rig, "before")
        with watched(rig.account) as watch:
            rig.step("load", "people", graph_run="graph run")
        drill_state.keep(rig, "after")
        drill_state.put_back(rig, "before")
        at = max(number for number, seen in enumerate(watch.seen, 1) if seen.upper() == words)
        step = drilling.Passed("load", "people", "before", "after", watch)
        ground = drilling.Ground(1, step, "after", drill_state.exact(rig, "before"), drill_state.state(rig, "after"), drill_state.state(rig, "after"), {})

        told = "\n".join(drilling.one_point(rig, ground, FailPoint(at, how), drilling.Plan(), drilling.Drilled()))

    assert (said in told) if said else told == ""


def test_new_keys_may_be_numbered_otherwise_and_may_not_be_shared(half_way, tmp_path):
    """Two runs are compared by what their surrogate keys mean."""
    shutil.copytree(half_way[0], tmp_path / "account")
    with rigs.Rig(tmp_path / "account") as rig:
        settle(rig)
        drill_state.keep(rig, "end")
        first, second = (key for (key,) in rig.duck("SELECT guest_key FROM FIRN.gold.dim_guest WHERE guest_key > 0 GROUP BY ALL ORDER BY 1 LIMIT 2"))
        swapped = f"CASE guest_key WHEN {first} THEN {second} WHEN {second} THEN {first} ELSE guest_key END"
        for table in ("gold.dim_guest", "gold.fact_stays"):
            rig.duck(f"UPDATE FIRN.{table} SET guest_key = {swapped}")

        renumbered = drill_state.differences(rig, "end")
        rig.duck(f"UPDATE FIRN.gold.dim_guest SET guest_key = {first} WHERE guest_key = {second}")
        shared = drill_state.differences(rig, "end")

    assert renumbered == []
    assert any(line.startswith("keys of dim_guest") for line in shared)


def test_files_are_taken_instead_of_made_up_rows(tmp_path, capsys):
    """Under the prefix of their source, as in the bucket; one of them comes a second time under another name."""
    (tmp_path / "files/people").mkdir(parents=True)
    (tmp_path / "files/people/a.csv").write_text("person_id,city,updated_at\n1,Oslo,2024-01-01 00:00:00\n2,Rome,2024-01-01 00:00:00\n")
    (tmp_path / "files/people/b.csv").write_text("person_id,city,updated_at\n1,Bern,2024-01-02 00:00:00\n,Nowhere,2024-01-02 00:00:00\n")

    with rigged(tmp_path / "rig", SMALL) as rig:
        for batch in drill_rows.from_files(rig.pipeline, tmp_path / "files"):
            batch(rig)
            settle(rig)
        told = drill_rows.counted(rig, [1, 2])

    assert told == "2 batches: people 6 rows, 3 events, 1 quarantined"


def test_a_folder_without_files_of_the_pipeline_is_said(tmp_path, capsys):
    (tmp_path / "small.yml").write_text(SMALL)

    assert main(["drill", str(tmp_path / "small.yml"), "--files", str(tmp_path)]) == 2

    assert "no file under any of the prefixes of small: people/" in capsys.readouterr().err


# --- the whole account


DYING = """
import logging, sys
from pathlib import Path
from local.failpoints import FailPoint, watched
from local.rig import Rig
logging.getLogger("firn").setLevel(logging.CRITICAL)
rig = Rig(Path(sys.argv[1]))
with watched(rig.account, FailPoint(int(sys.argv[2]), "kill account", is_after=sys.argv[3] == "after")):
    rig.run()
print("it went on to the end")
"""


@pytest.fixture(scope="module")
def half_way(tmp_path_factory):
    """A closed account with a second batch in bronze, the words of its run, and in `end.db` all tables as they are after it."""
    folder = tmp_path_factory.mktemp("half way") / "account"
    with rigged(folder, HOTEL) as rig:
        first, second = drill_rows.made_up(rig.pipeline, rows=8)
        first(rig)
        settle(rig)
        second(rig)
        drill_state.keep(rig, "before")
        with watched(rig.account) as watch:
            rig.run()
        settle(rig)
        drill_state.keep(rig, "end")
        rig.duck(f"ATTACH '{folder / 'end.db'}' AS ends")
        rig.duck("COPY FROM DATABASE drill TO ends")
        rig.duck("DETACH ends")
        drill_state.put_back(rig, "before")
    return folder, watch.seen


@pytest.mark.parametrize(("words", "offset", "when"), [
    pytest.param("COMMIT", 0, "after", id="as the load has committed"),
    pytest.param("DELETE FROM firn_landing.bronze.bookings", 0, "after", id="as the sweep has deleted"),
    pytest.param("COMMIT", 0, "before", id="before the load commits", marks=pytest.mark.nightly),
    pytest.param("INSERT INTO SILVER.BOOKINGS", 0, "after", id="as the events are in silver", marks=pytest.mark.nightly),
    pytest.param("COMMIT", -4, "before", id="in the dimension", marks=pytest.mark.nightly),
])
def test_kill_9_of_the_account(half_way, tmp_path, words, offset, when):
    """DuckDB's log is what the account stands up from."""
    prepared, said = half_way
    at = next(number for number, seen in enumerate(said, 1) if seen.upper() == words.upper()) - offset
    folder = tmp_path / "account"
    shutil.copytree(prepared, folder)
    command = [sys.executable, "-W", "ignore", "-c", DYING, str(folder), str(at), when]

    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert died.returncode == -signal.SIGKILL, f"{died.stdout}{died.stderr[-2000:]}"
    with rigs.Rig(folder) as rig:
        settle(rig)
        rig.duck(f"ATTACH '{folder / 'end.db'}' AS drill (READ_ONLY)")
        assert drill_state.differences(rig, "end") == []


# --- the knob itself


@pytest.mark.parametrize(("point", "rows"), [
    pytest.param(FailPoint(2, "die"), 0, id="dies before the insert"),
    pytest.param(FailPoint(2, "error"), 0, id="the insert is refused"),
    pytest.param(FailPoint(2, "error", is_after=True), 1, id="the insert is done and its answer lost"),
])
def test_a_fail_point_strikes_at_its_statement_of_the_applications_sessions(tmp_path, point, rows):
    with rigged(tmp_path / "rig", SMALL) as rig:
        own = rig.account.session("FIRN", "CONTROL", app="FIRN")
        before = rig.query("SELECT COUNT(*) AS n FROM control.changed_window")[0]["n"]
        with watched(rig.account, point) as watch:
            rig.account.execute(rig.admin, "SELECT 1")  # the administrator's do not count
            rig.account.execute(own, "SELECT 1")
            with pytest.raises(ProgrammingError, match="on purpose at statement 2"):
                rig.account.execute(own, "INSERT INTO control.changed_window SELECT 'p', 'd', 1, '2024-01-01'::TIMESTAMP_NTZ, NULL, 1")
        assert watch.has_struck
        assert rig.query("SELECT COUNT(*) AS n FROM control.changed_window")[0]["n"] - before == rows
        assert (own.token in rig.account.sessions) == (point.how != "die")
