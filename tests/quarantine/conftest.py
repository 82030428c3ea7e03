"""One shop for all tests here, as empty as on its first day before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import alone
from tests.quarantine.rig import Shop


@pytest.fixture(scope="package")
def opened_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = Shop(tmp_path_factory.mktemp("shop"))
    yield opened
    with alone(opened.session):
        opened.close()


@pytest.fixture
def shop(opened_shop: Shop) -> Iterator[Shop]:
    opened_shop.reset()
    with alone(opened_shop.session):
        yield opened_shop
