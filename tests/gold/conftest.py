"""One account for all tests of gold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import alone
from tests.gold.landing import CUSTOMERS, LATER, ORDERS, Landing
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


@pytest.fixture(scope="package")
def received(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landing]:
    """The packaged pipeline after three files of orders and one of customers, in two runs; only read by the tests."""
    landing = Landing(tmp_path_factory.mktemp("landing"))
    with alone(landing.bench.session):
        landing.send("customers", "crm/customers/a.csv", CUSTOMERS)
        landing.send("orders", "shop/orders/a.csv", ORDERS)
        landing.run_sales()
        landing.send("orders", "shop/orders/b.csv", LATER)
        landing.send("orders", "shop/orders/a_again.csv", ORDERS)
        landing.run_sales()
    yield landing
    with alone(landing.bench.session):
        landing.close()


@pytest.fixture
def landing(received: Landing) -> Iterator[Landing]:
    with alone(received.bench.session):
        yield received
