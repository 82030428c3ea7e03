"""The named cases of `cases/`: both oracles, the pure functions and the step on the account say what is written there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import local_testing
import pytest

from tests.conftest import alone
from tests.history import cases, engines, oracle, streams

CASES = cases.read_all()
NAMED = re.compile(r"(?:def test_rule_|id=.rule )(\d+)[_:]")
OF_HISTORY = {*range(1, 28), 35}


def reaches_others(name: str) -> bool:
    """Whether an event of one case would tell something about the keys of another."""
    _, source = streams.declared(name)
    return bool(source.truncate_when) or source.is_snapshot


def groups() -> Iterator[tuple[str, list[int]]]:
    """Cases that can stand side by side in one dimension."""
    for name in streams.NAMES:
        numbers = [number for number, case in enumerate(CASES) if case.name == name]
        yield from [(name, [number]) for number in numbers] if reaches_others(name) else [(name, numbers)]


def of_case(versions: list[oracle.Version], number: int) -> list[oracle.Version]:
    return [version for version in versions if version["id"] // streams.KEYS_OF_A_STREAM == number]


@pytest.fixture(scope="session")
def on_account(dimensions: engines.OnAccount) -> dict[int, dict[str, str]]:
    """What the dimension step made of every case: before and after."""
    with alone(dimensions.bench.session):
        return steps_of(dimensions)


def steps_of(account: engines.OnAccount) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {number: {} for number in range(len(CASES))}
    for name, numbers in groups():
        account.reset(name)
        for word, field in (("before", "known"), ("after", "incoming")):
            account.put(name, [event for n in numbers for event in CASES[n].events(getattr(CASES[n], field), n)])
            account.step(name)
            versions = account.versions(name)
            for number in numbers:
                found[number][word] = CASES[number].written(of_case(versions, number), number)
    return found


@pytest.fixture(scope="session")
def purely(localtest: Any) -> dict[int, str]:
    """What the pure functions make of every case, on local testing."""
    with alone(localtest), local_testing.repaired():
        return frames_of(localtest)


def frames_of(session: Any) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, numbers in groups():
        dimension, source = streams.declared(name)
        events = [event for n in numbers for event in CASES[n].events(CASES[n].known, n) + CASES[n].events(CASES[n].incoming, n)]
        versions = engines.pure(session, events, dimension, source) if events else []
        found |= {number: CASES[number].written(of_case(versions, number), number) for number in numbers}
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.title for case in CASES])
def test_case(on_account, purely, number):
    case = CASES[number]
    dimension, source = streams.declared(case.name)
    known, incoming = case.events(case.known), case.events(case.incoming)

    for rebuilt in (oracle.walked, oracle.asked):
        assert case.written(rebuilt(known, dimension, source)) == case.before
        assert case.written(rebuilt(known + incoming, dimension, source)) == case.after
    assert purely[number] == case.after
    assert on_account[number] == {"before": case.before, "after": case.after}


def test_titles_tell_cases_apart():
    titles = [case.title for case in CASES]
    assert len(titles) == len(set(titles)) >= 80


def test_rule_15_comes_first():
    assert 15 in CASES[0].rules


@cache
def named_by_tests() -> frozenset[int]:
    """The rules in the names of tests (`test_rule_8_…`) and of their parameters (`id="rule 20: …"`)."""
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py")]
    return frozenset(int(number) for text in texts for number in NAMED.findall(text))


@pytest.mark.parametrize("rule", sorted(OF_HISTORY))
def test_every_rule_of_history_is_named_by_a_case_or_a_test(rule):
    """Rules 8 to 11, of rows that are no events, by the tests of quarantine and of bad input."""
    assert rule in named_by_tests() or any(rule in case.rules for case in CASES)
