"""One small shop for all tests of what operators see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.rig import Rig
from tests.conftest import alone
from tests.operating.watching import watched
from tests.quarantine.rig import Shop
from tests.rig import rigged

SHOP = """
pipeline: shop
schedule: 1 hour
freshness: {fact_orders: 15 minutes}
sources:
  orders:
    files: {prefix: shop/orders/, format: csv}
    key: [order_id]
    effective_at: ordered_at
    columns:
      order_id:   {type: integer}
      id:         {type: integer}
      amount:     {type: "number(12,2)"}
      ordered_at: {type: timestamp}
    checks:
      amount_is_positive: amount > 0
facts:
  fact_orders:
    from: orders
    grain: [order_id]
    at: ordered_at
    keep: [amount]
kpis:
  orders_by_month:
    from: fact_orders
    period: month
    measures: {orders: count(*)}
"""


@pytest.fixture(scope="package")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The application, installed as it is shipped; its procedures run in sandboxes."""
    with rigged(tmp_path_factory.mktemp("rig") / "rig", SHOP) as made:
        yield made


@pytest.fixture(scope="package")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("alerts"), SHOP)
    watched(made.bench.account)
    yield made
    with alone(made.session):
        made.close()
