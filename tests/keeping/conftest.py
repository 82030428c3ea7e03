from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.keeping.shop import Shop, stock


@pytest.fixture(scope="package")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with its stock run through; one for all tests, as it takes seconds to make."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    stock(made)
    made.run()
    made.remember()
    yield made
    made.close()


@pytest.fixture
def shop(stocked: Shop) -> Iterator[Shop]:
    """The shop as it was with its stock run through."""
    yield stocked
    stocked.session.sql("ROLLBACK").collect()
    stocked.session.sql("ALTER SESSION SET LOCK_TIMEOUT = 60").collect()
    stocked.restore()
