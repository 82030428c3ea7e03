"""What a step costs in statements: each is a round trip and, on an account, a compilation."""

from __future__ import annotations

import pytest

from tests.history import streams

MOST = 15  # BEGIN and COMMIT, the turn and the log, and the questions of the client among them


def fed(account, name: str, days: range, keys: range) -> dict[str, int]:
    account.put(name, [streams.event(name, day, id=key, city="ABC"[(key + day) % 3], name=f"n{day}") for day in days for key in keys])
    before = dict(account.bench.account.counted)
    account.step(name)
    return {kind: account.bench.account.counted[kind] - count for kind, count in before.items()}


@pytest.mark.parametrize("name", ["plain", "policies", "latest"])
def test_a_step_is_at_most_fifteen_statements_whatever_comes(account, name):
    account.reset(name)
    first = fed(account, name, range(5, 6), range(1, 4))
    in_order = fed(account, name, range(6, 8), range(1, 9))
    late = fed(account, name, range(1, 20, 3), range(1, 5))

    for counted in (first, in_order, late):
        # one more, and a describe, where new events speak of an instant that an older event has: did that one have the word?
        assert counted["run"] <= MOST + (counted is late)
        assert counted["described"] <= (counted is late), "the client asked the server what the spec says"


@pytest.mark.parametrize(("name", "statements"), [("plain", 14), ("policies", 15)])
def test_a_batch_in_order_with_no_key_twice_is_fourteen_statements_and_one_for_columns_equal_on_all_versions(account, name, statements):
    account.reset(name)
    fed(account, name, range(5, 6), range(1, 4))

    assert fed(account, name, range(6, 7), range(1, 9)) == {"run": statements, "described": 0}


@pytest.mark.parametrize("name", streams.NAMES)
def test_every_kind_of_dimension_keeps_to_its_statements(account, name):
    account.reset(name)
    fed(account, name, range(5, 6), range(1, 3))
    counted = fed(account, name, range(6, 8), range(1, 4))

    assert counted["run"] <= MOST
    assert counted["described"] == 0


def test_a_step_without_new_events_is_six_statements(account):
    account.reset("plain")
    fed(account, "plain", range(5, 6), range(1, 3))
    before = dict(account.bench.account.counted)
    account.step("plain")

    assert account.bench.account.counted["run"] - before["run"] <= 6
