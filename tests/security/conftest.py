"""One installed application for all tests here, with a few rows run through it, and a log of every statement it issued."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from local.rig import Rig
from tests.doctor.world import SHOP
from tests.rig import rigged

KPI = """
kpis:
  monthly:
    from: fact_orders
    period: month
    measures:
      orders: {expression: count(*), type: integer}
"""


class Watched:
    """A rig whose application cannot say a word to the account that is not written down; `issued` are (statement, may it)."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.issued: list[str] = []
        rig.account.watch = self.watch

    def watch(self, session, sql, carry_out):
        self.issued.append(sql)
        return carry_out()

    def fill(self) -> None:
        """Rows of today and rows past retention, so that loads, history, facts, KPIs and the sweep have all had work."""
        rig = self.rig
        rig.load("customers", "customer_id,city,updated_at\n1,Oslo,2024-01-01 00:00:00\n2,Rome,2024-01-01 00:00:00\n3,,2024-01-01 00:00:00\n")
        rig.load("orders", "order_id,customer_id,ordered_at\n1,1,2024-02-01 00:00:00\n2,2,2024-02-02 00:00:00\n")
        rig.run()
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        rig.load("customers", "customer_id,city,updated_at\n1,Bergen,2024-02-01 12:00:00\n4,,2024-01-01 00:00:00\n", loaded_at=now)
        rig.run()


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with rigged(tmp_path_factory.mktemp("security"), SHOP + KPI) as rig:
        made = Watched(rig)
        made.fill()
        rig.answer(
            "CREATE ROLE analyst", "GRANT APPLICATION ROLE firn.app_reader TO ROLE analyst",
            "CREATE ROLE operator", "GRANT APPLICATION ROLE firn.app_admin TO ROLE operator",
            "CREATE ROLE stranger",
        )  # fmt: skip
        yield made


@pytest.fixture
def rig(watched: Watched) -> Rig:
    return watched.rig


