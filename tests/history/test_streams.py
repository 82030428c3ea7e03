"""After every batch of every stream the dimension is what a rebuild from all events gives (rule 1)."""

from __future__ import annotations

from typing import Any

import dimension_step
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.history import engines, oracle, streams

# Streams side by side in one run of the engine: each has keys of its own.
SIDE_BY_SIDE = 10
NOTHING = {"added": 0, "removed": 0, "moved": 0, "altered": 0}


def quietly(examples: int, *, shrinks: bool = True) -> Any:
    """Shrinking through an account takes minutes: there, the streams are shown as they are.

    The first example is always the simplest there is, one event many times over; it does not count.
    """
    phases = [phase for phase in Phase if shrinks or phase not in (Phase.shrink, Phase.explain)]
    return settings(max_examples=examples + 1, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, phases=phases)


def side_by_side(data: Any, name: str) -> list[list[streams.Batch]]:
    return [data.draw(streams.streams(name)) for _ in range(SIDE_BY_SIDE)]


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(100)
@given(data=st.data())
def test_two_oracles_agree(name, data):
    dimension, source = streams.declared(name)
    events = [event for batch in data.draw(streams.streams(name)) for event in batch]

    assert oracle.walked(events, dimension, source) == oracle.asked(events, dimension, source)


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(1, shrinks=False)
@given(data=st.data())
def test_the_pure_engine_gives_what_a_rebuild_gives(session, name, data):
    """On Snowpark's local testing, in the shuffled order in which the streams came."""
    dimension, source = streams.declared(name)
    events = [event for batch in streams.together(side_by_side(data, name)) for event in batch]

    assert engines.pure(session, events, dimension, source) == oracle.walked(events, dimension, source)


def assert_keyed(keys: dict[tuple[Any, ...], tuple[int, int]]) -> None:
    """One durable key for each natural key, and one version key for each version; no two have the same."""
    members = {(version[:-1], durable) for version, (durable, _) in keys.items()}
    assert len(members) == len({natural for natural, _ in members}) == len({durable for _, durable in members})
    assert len({number for _, number in keys.values()}) == len(keys)


def follow(account: engines.OnAccount, name: str, batches: list[streams.Batch]) -> None:
    """Every batch through the dimension step, with the real client; then a dry run finds nothing to rebuild.

    A version that stays keeps its surrogate keys.
    """
    dimension, source = streams.declared(name)
    account.reset(name)
    known: list[oracle.Event] = []
    keys: dict[tuple[Any, ...], tuple[int, int]] = {}
    for batch in [*batches, []]:
        known += batch
        account.put(name, batch)
        account.step(name)
        assert account.versions(name) == oracle.walked(known, dimension, source)
        before, keys = keys, account.surrogates(name)
        assert {version: keys[version] for version in before.keys() & keys.keys()} == {version: before[version] for version in before.keys() & keys.keys()}
        assert_keyed(keys)
    assert account.rebuild(name, dry_run=True)["versions"] == NOTHING


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(1, shrinks=False)
@given(data=st.data())
def test_after_every_batch_the_dimension_is_what_a_rebuild_gives(account, name, data):
    follow(account, name, streams.together(side_by_side(data, name)))


@pytest.mark.parametrize("name", streams.ALONE)
@quietly(1, shrinks=False)
@given(data=st.data())
def test_a_feed_in_order_with_one_event_a_key_gives_what_a_rebuild_gives(account, monkeypatch, name, data):
    """The shortest way of all; only the first batch goes another."""
    alone, way = [], dimension_step.fill_alone
    monkeypatch.setattr(dimension_step, "fill_alone", lambda *given: (alone.append(name), way(*given)))
    batches = streams.in_order(streams.together(side_by_side(data, name)), name)

    follow(account, name, batches)

    assert len(alone) == len(batches) - 1


@pytest.mark.nightly
@pytest.mark.parametrize("name", streams.ALONE)
@quietly(20, shrinks=False)
@given(data=st.data())
def test_two_hundred_feeds_in_order_give_what_a_rebuild_gives(account, name, data):
    follow(account, name, streams.in_order(streams.together(side_by_side(data, name)), name))


@pytest.mark.nightly
@pytest.mark.parametrize("name", streams.NAMES)
@quietly(10, shrinks=False)
@given(data=st.data())
def test_after_every_batch_of_a_thousand_streams(account, name, data):
    """1,100 streams: `make test-all`."""
    follow(account, name, streams.together(side_by_side(data, name)))


@pytest.mark.nightly
@pytest.mark.parametrize("name", streams.NAMES)
@quietly(20, shrinks=False)
@given(data=st.data())
def test_the_pure_engine_on_two_thousand_streams(session, name, data):
    dimension, source = streams.declared(name)
    events = [event for batch in streams.together(side_by_side(data, name)) for event in batch]

    assert engines.pure(session, events, dimension, source) == oracle.walked(events, dimension, source)
