"""Rules of history that a table of versions does not show."""

from __future__ import annotations

from pathlib import Path

import history
import history_events
import pytest

from tests.history import streams


def test_rule_24_the_engine_trims_and_folds_nothing(account):
    account.reset("plain")
    account.put("plain", [streams.event("plain", day, id=1, city=city) for day, city in ((10, "Paris"), (20, "paris"), (30, "paris "), (40, ""))])
    account.step("plain")

    assert [version["city"] for version in account.versions("plain")] == ["Paris", "paris", "paris ", ""]


def test_rule_26_rows_that_would_not_change_are_not_rewritten(account):
    account.reset("policies")
    account.put("policies", [streams.event("policies", day, id=1, city=city, name="x") for day, city in ((10, "A"), (20, "B"), (40, "C"))])
    account.step("policies")
    first = dict(account.bench.duck("SELECT valid_from, batch_no FROM firn.gold.dim_policies WHERE id = 1"))

    account.put("policies", [streams.event("policies", 30, id=1, city="D", name="x")])
    counts = account.step("policies")

    second = dict(account.bench.duck("SELECT valid_from, batch_no FROM firn.gold.dim_policies WHERE id = 1"))
    same = {at for at in first if first[at] == second[at]}
    assert same == {streams.day(10), streams.day(40)}, "only the split version and the new one carry the batch"
    assert (counts["inserted"], counts["updated"], counts["deleted"]) == (1, 1, 0)


def test_rule_26_a_batch_that_says_nothing_new_writes_nothing(account):
    account.reset("policies")
    batch = [streams.event("policies", day, id=1, city=city, name="x") for day, city in ((10, "A"), (20, "B"))]
    account.put("policies", batch)
    account.step("policies")
    account.put("policies", [streams.event("policies", 30, id=1, city="B", name="x")])

    counts = account.step("policies")

    assert (counts["inserted"], counts["updated"], counts["deleted"]) == (0, 0, 0)


def test_rule_27_a_batch_seen_before_changes_nothing_even_when_it_is_in_silver_twice(account):
    """Dedup over everything seen is the load's; history does not depend on it."""
    account.reset("plain")
    batch = [streams.event("plain", day, id=1, city=city) for day, city in ((10, "A"), (20, "B"), (30, "B"))]
    for _ in range(2):
        account.put("plain", batch)
        counts = account.step("plain")

    assert (counts["inserted"], counts["updated"], counts["deleted"]) == (0, 0, 0)


def test_rule_35_a_step_reports_the_windows_it_changed(account):
    account.reset("plain")
    account.put("plain", [streams.event("plain", day, id=1, city=city) for day, city in ((10, "A"), (30, "A"))])
    account.step("plain")
    assert account.bench.duck("SELECT count(*) FROM firn.control.changed_window") == [(0,)], "no fact points to a new key"

    account.put("plain", [streams.event("plain", 20, id=1, city="B")])
    account.step("plain")

    windows = account.bench.duck("SELECT changed_from, changed_to FROM firn.control.changed_window WHERE dimension = 'dim_plain' ORDER BY 1")
    covered = {moment for moment in (10, 20, 29, 30, 99) if any(a <= streams.day(moment) and (b is None or streams.day(moment) < b) for a, b in windows)}
    assert covered == {20, 29, 30, 99}, "A[10,) became A[10,20) B[20,30) A[30,): all from 20 on point elsewhere"


def test_rule_35_durable_and_version_keys_are_unique(account):
    account.reset("plain")
    for number in (1, 2, 3):
        account.put("plain", [streams.event("plain", number * 10, id=key, city="AB"[number % 2]) for key in range(number, 6)])
        account.step("plain")

    rows = account.bench.duck("SELECT id, plain_key, plain_version_key FROM firn.gold.dim_plain WHERE plain_key > 0")
    assert len({(row[0], row[1]) for row in rows}) == len({row[0] for row in rows}) == len({row[1] for row in rows}) == 5
    assert len({row[2] for row in rows}) == len(rows)


def test_rule_6_the_finest_moments_the_local_account_has_are_told_apart(account):
    """Snowflake's TIMESTAMP_NTZ has nanoseconds, the local account's microseconds; the engine itself rounds nothing."""
    import datetime as dt

    account.reset("plain")
    events = [streams.event("plain", 10, id=1, city=city) for city in "AB"]
    for event, microseconds in zip(events, (1, 2), strict=True):
        event["effective_at"] = event["changed_at"] = streams.day(10) + dt.timedelta(microseconds=microseconds)
    account.put("plain", events)
    account.step("plain")

    assert [(v["city"], v["valid_from"].microsecond) for v in account.versions("plain")] == [("A", 1), ("B", 2)]


@pytest.mark.parametrize("batch", [[], [("D", 20)]], ids=["nothing", "a tombstone of a key that never was"])
def test_rule_1_batches_that_show_nothing(account, batch):
    account.reset("plain")
    account.put("plain", [streams.event("plain", day, op, id=1) for op, day in batch])

    counts = account.step("plain")

    assert account.versions("plain") == []
    assert counts["read"] == counts["superseded"] == len(batch)


def test_rule_7_no_hash_stands_for_a_key():
    """Keys are compared in every column: nothing in the engine puts columns together."""
    for module in (history, history_events):
        text = Path(module.__file__).read_text(encoding="utf-8")
        assert not [word for word in ("hash(", "md5(", "sha2(", "concat(") if word in text.lower()]
