"""One application for all tests of the page: a shop with two batches, a row that waits, and texts that want to be more than texts."""

from __future__ import annotations

import sys

import pytest
from snowflake.snowpark import Session

from local.place import ROOT
from local.rig import Rig
from tests.rig import rigged

SHOP = """
pipeline: shop
schedule: 1 hour
freshness: {fact_orders: 15 minutes}
sources:
  customers:
    files: {prefix: customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      city: {type: text}
      age: {type: integer}
      updated_at: {type: timestamp}
    checks:
      age_in_range: age between 0 and 120
  orders:
    files: {prefix: orders/, format: csv}
    key: [order_id]
    effective_at: ordered_at
    columns:
      order_id: {type: integer}
      customer_id: {type: integer}
      amount: {type: integer}
      ordered_at: {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [city], overwritten: [age]}
facts:
  fact_orders:
    from: orders
    grain: [order_id]
    keep: [customer_id]
    lookups:
      customer: {dimension: dim_customer, by: customer_id, as_of: ordered_at}
    measures: {amount: amount}
kpis:
  monthly: {from: fact_orders, period: month, measures: {revenue: sum(amount)}}
"""
TABS = ["Runs", "Freshness", "Quarantine", "Accounts", "History", "KPIs", "Cost", "Setup"]
HOSTILE = '=HYPERLINK("https://beyond.example/f") ![x](https://beyond.example/i.png) <img src=https://beyond.example/h.png onerror=alert(1)> :material/home: $x^2$ **bold**'


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "app/console"))
    with rigged(tmp_path_factory.mktemp("console") / "rig", SHOP) as made:
        made.page_session = Session.builder.configs({**login(made), "database": "FIRN", "schema": "CORE"}).create()
        yield made
        made.page_session.close()
    sys.path.remove(str(ROOT / "app/console"))


def login(rig: Rig) -> dict:
    host, port = rig.account.address
    client = {"account": "local", "host": host, "port": port, "protocol": "http", "user": "local", "password": "local"}
    return {**client, "role": "ACCOUNTADMIN", "client_telemetry_enabled": False}


def fail(rig: Rig, step: str, error: str, error_class: str) -> None:
    """The newest run in which a step moved rows fails in it, as the log would say it."""
    rig.duck(
        "INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at, error, error_class) "
        "SELECT run_id, pipeline, step, 'failed', now()::TIMESTAMP, now()::TIMESTAMP, ?, ? "
        "FROM firn.control.pipeline_log WHERE step = ? AND status = 'succeeded' ORDER BY started_at DESC LIMIT 1",
        [error, error_class, step],
    )


@pytest.fixture(scope="module")
def filled(rig):
    """Two batches: customer 1 moves from Oslo to Bergen; somebody is 999 years old, and somebody -4, who lives in a hostile city."""
    rig.load("customers", [
        {"customer_id": "1", "city": "Oslo", "age": "30", "updated_at": "2024-01-01 00:00:00"},
        {"customer_id": "2", "city": "Rome", "age": "999", "updated_at": "2024-01-01 00:00:00"},
    ])  # fmt: skip
    rig.load("orders", "order_id,customer_id,amount,ordered_at\n1,1,10,2024-01-05 00:00:00\n2,1,5,2024-02-05 00:00:00")
    rig.run()
    rig.load("customers", [
        {"customer_id": "1", "city": "Bergen", "age": "31", "updated_at": "2024-02-01 00:00:00"},
        {"customer_id": "3", "city": HOSTILE, "age": "-4", "updated_at": "2024-02-01 00:00:00"},
        {"customer_id": "4", "city": HOSTILE, "age": "44", "updated_at": "2024-02-01 00:00:00"},
    ])  # fmt: skip
    rig.run()
    return rig
