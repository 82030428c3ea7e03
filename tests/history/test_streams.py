"""After every batch of every stream the dimension is what a rebuild from all events gives (rule 1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.history import engines, oracle, streams

# Streams side by side in one run of the engine: each has keys of its own.
SIDE_BY_SIDE = 6


def quietly(examples: int) -> Any:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(100)
@given(data=st.data())
def test_two_oracles_agree(name, data):
    dimension, source = streams.declared(name)
    events = [event for batch in data.draw(streams.streams(name)) for event in batch]

    assert oracle.walked(events, dimension, source) == oracle.asked(events, dimension, source)


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(2)
@given(data=st.data())
def test_the_pure_engine_gives_what_a_rebuild_gives(session, name, data):
    """On Snowpark's local testing, in the shuffled order in which the stream came."""
    dimension, source = streams.declared(name)
    many = [data.draw(streams.streams(name)) for _ in range(1 if source.truncate_when or source.is_snapshot else SIDE_BY_SIDE)]
    events = [event for batch in streams.together(many) for event in batch]

    assert engines.pure(session, events, dimension, source) == oracle.walked(events, dimension, source)


@pytest.mark.parametrize("name", streams.NAMES)
@quietly(2)
@given(data=st.data())
def test_after_every_batch_the_dimension_is_what_a_rebuild_gives(account, name, data):
    """Through the dimension step, with the real client."""
    dimension, source = streams.declared(name)
    many = [data.draw(streams.streams(name)) for _ in range(SIDE_BY_SIDE)]
    account.reset(name)
    known: list[oracle.Event] = []
    for batch in streams.together(many):
        known += batch
        account.put(name, batch)
        account.step(name)
        assert account.versions(name) == oracle.walked(known, dimension, source)
