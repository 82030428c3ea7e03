"""One account for all tests of gold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import alone
from tests.gold.rig import Shop


@pytest.fixture(scope="package")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("gold"))
    yield shop
    with alone(shop.bench.session):
        shop.close()


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    """The shop, with nothing received; the client sees this session only."""
    with alone(opened.bench.session):
        opened.reset()
        yield opened
