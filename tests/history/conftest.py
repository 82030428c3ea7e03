"""One account for all tests of history, and local testing for the pure part."""

from __future__ import annotations

from collections.abc import Iterator

import local_testing
import pytest
from snowflake.snowpark import Session

from tests.conftest import alone
from tests.history.engines import OnAccount


@pytest.fixture(scope="session")
def dimensions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnAccount]:
    opened = OnAccount(tmp_path_factory.mktemp("history"))
    yield opened
    with alone(opened.bench.session):
        opened.close()


@pytest.fixture
def account(dimensions: OnAccount) -> Iterator[OnAccount]:
    """The account with every kind of dimension; the client sees this session only."""
    with alone(dimensions.bench.session):
        yield dimensions


@pytest.fixture
def session(localtest: Session) -> Iterator[Session]:
    """Local testing alone: the account has its own tests here."""
    with alone(localtest), local_testing.repaired():
        yield localtest
