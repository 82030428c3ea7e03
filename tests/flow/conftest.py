"""Accounts for the flow tests: real processes, real clients, a folder that goes away afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.pipeline_runs import install, set_up
from local.place import Place, free_port


def started(folder: Path) -> Place:
    place = Place(folder)
    place.up(free_port(), free_port())
    return place


@pytest.fixture
def empty_account(tmp_path: Path) -> Iterator[Place]:
    """A running account with nothing in it."""
    place = started(tmp_path / "account")
    yield place
    place.down()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A running account with landing tables, pipes, a wired bucket and the application, tasks resumed."""
    place = started(tmp_path_factory.mktemp("flow") / "account")
    set_up(place)
    install(place)
    yield place
    place.down()
