"""Loaders, runners, sweeps and deaths at once: no row lost, none doubled, every row accounted for; and which guard that is owed to."""

from __future__ import annotations

import pytest

from tests.drill.storm import SPEC, storm
from tests.rig import damaged, rigged

MARK_OF_STEP = '''    session.sql(
        f"UPDATE {CONTROL} SET last_batch = ?, run_id = ?, updated_at = ?, late_from = NULL, status = 'succeeded', "'''
NO_LOCK = (
    ('f"UPDATE {CONTROL} SET last_batch = last_batch + 1, run_id = ?, updated_at = ? "', 'f"SELECT 1 AS one, ? AS run_id, ? AS now FROM {CONTROL} "'),
    (MARK_OF_STEP, "    return\n" + MARK_OF_STEP),
)
BY_LETS = "run.bronze(source).delete(F.col('_loaded_at') <= F.lit(run.mark(source.step).lets))"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (2, 3, 4, 5))])
def test_no_row_is_lost_or_doubled_in_a_storm(tmp_path, seed):
    with rigged(tmp_path / "rig", SPEC) as rig:
        passed = storm(rig, rows=50_000, seed=seed)

    assert passed.deaths > 0 and passed.delivered > 55_000, "it was no storm"
    assert passed.is_exact, passed


# --- each guard taken away: what it is owed


def storm_without(folder, guard, afterwards=lambda rig: None):
    with rigged(folder / "rig", SPEC, guard) as rig:
        passed = storm(rig, rows=10_000, seed=1, rounds=5, afterwards=lambda: afterwards(rig))
    print(passed)
    return passed


def test_without_the_overlap_and_the_search_for_stragglers_rows_are_lost(tmp_path):
    """A load that commits after a newer one was taken lies below LETS.  Either guard alone still finds it: now, or after the next sweep."""
    no_overlap = damaged("watermark", "floor = session_mark.lets - source.overlap", "floor = session_mark.lets")
    no_search = damaged("sweeping", "        look_for_stragglers(run, source)\n", "")

    passed = storm_without(tmp_path, no_overlap | no_search)

    assert passed.lost > 0 and passed.waiting_lost > 0


def test_with_a_sweep_by_lets_rows_are_lost(tmp_path):
    """What came late under an old stamp is deleted before it was taken."""
    passed = storm_without(tmp_path, damaged("sweeping", "run.bronze(source).delete(is_taken, taken)", BY_LETS))

    assert passed.lost > 0 and passed.waiting_lost > 0


def forget_what_was_taken(rig):
    rig.duck("DELETE FROM FIRN.control.ledger")
    rig.duck("DELETE FROM FIRN.control.file_ledger")


def test_without_the_ledger_rows_are_taken_again_and_again(tmp_path):
    """Silver does not double, for it knows equal events; the accounts and the quarantine do, and the sweep may delete nothing."""
    passed = storm_without(tmp_path, None, forget_what_was_taken)

    assert passed.lost == 0
    assert passed.waiting_doubled > 0 or passed.read > passed.delivered
    assert not passed.is_exact


def test_without_the_lock_rows_are_doubled(tmp_path):
    """Two runs take the same rows.  The mark's own UPDATE goes too: DuckDB would refuse the second one, where Snowflake would let it wait."""
    guard = damaged("watermark", *NO_LOCK[0])
    text = guard["watermark.py"]
    assert NO_LOCK[1][0] in text
    text = text.replace(*NO_LOCK[1]).replace("Lock(marks[\"pipeline\"].last_batch, marks)", "Lock(1, marks)")

    passed = storm_without(tmp_path, {"watermark.py": text})

    assert passed.doubled > 0
