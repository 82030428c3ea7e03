from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import doctor_facts, doctor_machine
from tests.doctor.world import World


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One account for all tests: each puts right what it plants."""
    world = World(tmp_path_factory.mktemp("doctor"))
    yield world
    world.close()


@pytest.fixture
def world(made: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(doctor_facts, "ROOT", made.clone)
    monkeypatch.setattr(doctor_machine, "lock", lambda text: {})  # packages are for test_machine.py; a worktree's may be older than its lock
    return made
