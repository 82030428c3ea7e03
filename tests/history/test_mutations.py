"""Faults put into the engine on purpose: for each of them a case fails, or the cases would prove nothing."""

from __future__ import annotations

import inspect
from types import ModuleType

import cleaning
import dimension_step
import history
import history_events
import history_fast
import pytest

from tests.history import engines, streams
from tests.history.test_cases import CASES, groups, of_case

# (module, what stands there, what a hurried hand might write, dimensions whose cases look at it)
IN_THE_PURE_PART = [
    pytest.param(history, "~F.col(column).equal_null(F.lag(column).over(in_time))", "(F.col(column) != F.lag(column).over(in_time))", "plain", id="compare with <>"),
    pytest.param(history_events, "as_journal(events.filter(has_key(key)), source)", "as_journal(events.filter(has_key(key) & ~F.col('is_deleted')), source)", "plain", id="forget tombstones"),
    pytest.param(history, "(was_absent | changes(dimension))", "changes(dimension)", "plain", id="a key that is back is no new version"),
    pytest.param(history, "(F.col(\"is_deleted\") & ~was_absent).alias(\"ends\")", "F.lit(False).alias(\"ends\")", "plain", id="tombstones close nothing"),
    pytest.param(cleaning, "keys.append(F.col(\"is_deleted\").desc())", "keys.append(F.col(\"is_deleted\").asc())", "plain", id="an upsert wins over a tombstone of its instant"),
    pytest.param(cleaning, "keys.append(F.col(column).desc_nulls_last())", "keys.append(F.col(column).asc_nulls_last())", "plain", id="the lesser content wins"),
    pytest.param(cleaning, "sorted(set(content_columns)", "sorted(set(content_columns) - {'city'}", "plain", id="a column forgotten in the order of content"),
    pytest.param(cleaning, "keys = [F.col(column).desc_nulls_last() for column in finer]", "keys = []", "policies", id="the finer sequence forgotten"),
    pytest.param(history_events, "else newest_first(source)[1:]", "else [F.col(\"batch_no\")]", "plain policies", id="tie by batch"),
    pytest.param(history_events, "ranked.filter(F.col(\"instant_rank\") == F.lit(1))", "ranked", "plain", id="several events of an instant"),
    pytest.param(history, "F.lead(\"boundary_at\", 1, None, True)", "F.lead(\"boundary_at\", 1, None, False)", "plain", id="ends at the next event, whatever it says"),
    pytest.param(history, "F.iff(dead, F.lit(None), F.col(\"effective_at\")).alias(\"living_at\")", "F.col(\"effective_at\").alias(\"living_at\")", "policies", id="type 1 from a tombstone"),
    pytest.param(history, "F.min(F.col(f\"said_{column}_at\"))", "F.max(F.col(f\"said_{column}_at\"))", "policies", id="type 0 takes the last value"),
    pytest.param(history, "dead | F.col(f\"unsaid_{column}\")", "dead", "partial absent", id="type 0 takes what was not said"),
    pytest.param(history_events, "said &= F.col(column).is_not_null()", "pass", "partial", id="a NULL overwrites in partial updates"),
    pytest.param(history_events, "Window.partition_by(*key, \"life\", f\"block_{column}\")", "Window.partition_by(*key, f\"block_{column}\")", "partial absent", id="values carry over a tombstone"),
    pytest.param(history_events, "F.col(\"first_at\") <= F.col(\"truncate_effective_at\")", "F.col(\"first_at\") > F.col(\"truncate_effective_at\")", "truncated", id="truncations reach the wrong keys"),
    pytest.param(history_events, "missed = F.col(\"next_seen_at\").is_null() | (F.col(\"next_seen_at\") > F.col(\"next_extract_at\"))", "missed = F.col(\"next_seen_at\").is_null()", "whole", id="a key missing once and back was never gone"),
    pytest.param(history_events, "here = reduce(and_, [F.col(column).equal_null(F.col(f\"extract_{column}\")) for column in place])", "here = F.col(\"effective_at\") == F.col(\"extract_effective_at\")", "extracts", id="an extract of any scope decides"),
]  # fmt: skip
IN_THE_STEP = [
    pytest.param(history_fast, "(F.col(\"effective_at\") >= F.col(\"new_at\"))", "(F.col(\"effective_at\") > F.col(\"new_at\"))", "plain", id="<= for <: a tie is not late"),
    pytest.param(history_fast, "counted.filter(F.col(\"open_count\") == F.lit(0))", "counted.filter(F.lit(False))", "plain", id="keys that are gone are taken for new"),
    pytest.param(history_fast, "late = late_keys(events, arrived, dimension, since, F.lit(new.floor))", "late = late_keys(events, arrived, dimension, since, F.lit(new.floor)).filter(F.lit(False))", "plain", id="every key takes the short way"),
    pytest.param(history_fast, "or new.instants < new.events or is_partial(dimension, source)", "or is_partial(dimension, source)", "plain", id="ties among new events are not looked for"),
    pytest.param(history_fast, "~F.col(column).equal_null(F.col(f\"stands_{column}\")) for column in dimension.tracked", "F.col(column) != F.col(f\"stands_{column}\") for column in dimension.tracked", "plain", id="compare with <>, one event"),
    pytest.param(history_fast, "~lives & is_met", "F.lit(False)", "plain", id="tombstones close nothing, one event"),
    pytest.param(history_fast, "F.iff(lives & ~begins, F.col(column)", "F.iff(F.lit(False), F.col(column)", "policies", id="a version keeps the value it began with, one event"),
    pytest.param(history_fast, "F.iff(lives, F.col(column), F.col(f\"stands_{column}\")) for name", "F.col(column) for name", "policies", id="type 1 from a tombstone, one event"),
    pytest.param(history_fast, "F.iff(is_met, F.col(f\"stands_{column}\"), F.iff(lives", "F.iff(F.lit(False), F.col(f\"stands_{column}\"), F.iff(lives", "policies", id="type 0 takes the last value, one event"),
    pytest.param(history_fast, "joined(current, touched, before & differs, \"inner\")", "joined(current, touched, before & differs & F.lit(False), \"inner\")", "policies", id="type 1 on the version met only"),
    pytest.param(history_fast, "F.col(\"valid_to\").is_null() & ~F.col(\"is_inferred\")", "F.lit(True)", "plain", id="an ended version is met"),
    pytest.param(dimension_step, "here.changes.filter(~F.col(\"is_removed\"))", "here.changes", "plain", id="versions that are gone stay"),
    pytest.param(dimension_step, "touched = ~stands(target) | gets_others(target)", "touched = ~stands(target)", "policies", id="type 1 on new versions only"),
    pytest.param(dimension_step, "F.col(\"opens\") | F.col(\"is_new\") | F.col(\"is_last\")", "F.col(\"opens\") | F.col(\"is_new\")", "plain", id="keys of which nothing opens are out of scope"),
]  # fmt: skip


def break_it(monkeypatch: pytest.MonkeyPatch, module: ModuleType, right: str, wrong: str) -> None:
    """Puts the faulty text in place of the right one, in every module that uses it."""
    text = inspect.getsource(module)
    assert right in text, "the text to be broken stands there no more: write the fault anew"
    faulty: dict[str, object] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(text.replace(right, wrong), module.__file__, "exec"), faulty)
    users = (cleaning, history, history_events, history_fast, dimension_step)
    for name, made in faulty.items():
        for user in users:
            known = getattr(user, name, None)
            if inspect.isfunction(made) and inspect.isfunction(known) and known.__module__ == module.__name__:
                monkeypatch.setattr(user, name, made)


def looked_at(names: str):
    return [(name, numbers) for name, numbers in groups() if name in names.split()]


@pytest.mark.parametrize(("module", "right", "wrong", "names"), IN_THE_PURE_PART)
def test_a_fault_in_the_pure_part_fails_a_case(session, monkeypatch, module, right, wrong, names):
    break_it(monkeypatch, module, right, wrong)

    assert failing_purely(session, names), "no case sees this fault"


def failing_purely(session, names: str) -> list[str]:
    failing = []
    for name, numbers in looked_at(names):
        dimension, source = streams.declared(name)
        events = [event for n in numbers for event in CASES[n].events(CASES[n].known, n) + CASES[n].events(CASES[n].incoming, n)]
        versions = engines.pure(session, events, dimension, source)
        failing += [CASES[n].title for n in numbers if CASES[n].written(of_case(versions, n), n) != CASES[n].after]
    return failing


@pytest.mark.parametrize(("module", "right", "wrong", "names"), IN_THE_STEP)
def test_a_fault_in_the_step_fails_a_case_or_is_refused_by_it(account, monkeypatch, module, right, wrong, names):
    break_it(monkeypatch, module, right, wrong)
    failing = []
    for name, numbers in looked_at(names):
        account.reset(name)
        for field in ("known", "incoming"):
            account.put(name, [event for n in numbers for event in CASES[n].events(getattr(CASES[n], field), n)])
            try:
                account.step(name)
            except Exception as refused:  # the invariants, or the table's own NOT NULL
                failing.append(str(refused))
        versions = account.versions(name)
        failing += [CASES[n].title for n in numbers if CASES[n].written(of_case(versions, n), n) != CASES[n].after]
        account.reset(name)

    assert failing, "no case sees this fault"


def test_without_a_fault_no_case_fails(session):
    assert failing_purely(session, "plain policies partial") == []
