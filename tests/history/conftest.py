"""One account for all tests of history; how many streams they try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.history.engines import OnAccount

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("firn", max_examples=100, **QUIET)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnAccount]:
    opened = OnAccount(tmp_path_factory.mktemp("history"))
    yield opened
    opened.close()
