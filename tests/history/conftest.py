"""One account for all tests of history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.history.engines import OnAccount

@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnAccount]:
    opened = OnAccount(tmp_path_factory.mktemp("history"))
    yield opened
    opened.close()
