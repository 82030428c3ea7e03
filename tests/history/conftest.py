"""One account for all tests of history, and local testing for the pure part."""

from __future__ import annotations

from collections.abc import Iterator

import local_testing
import pytest
from snowflake.snowpark import Session

from tests.conftest import alone
from tests.history.engines import OnAccount


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnAccount]:
    opened = OnAccount(tmp_path_factory.mktemp("history"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def purely_session(localtest: Session) -> Iterator[Session]:
    with local_testing.repaired():
        yield localtest


@pytest.fixture
def session(purely_session: Session) -> Iterator[Session]:
    """Local testing only: the dimension step runs on the account by itself, in `account`."""
    with alone(purely_session):
        yield purely_session
