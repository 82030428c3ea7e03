"""A small shop on an account inside this process: bronze, the pipeline, and a hand that can reach into any table."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

from tests.bench.account import Bench

SPEC = """
pipeline: shop
schedule: 1 hour
retention: {bronze: 3650 days, log: 90 days}
sources:
  customers:
    files: {prefix: crm/customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    delete_when: op = 'D'
    columns:
      customer_id: {type: integer}
      city:        {type: text, clean: [trim]}
      updated_at:  {type: timestamp}
      op:          {type: text}
    checks:
      city_is_given: city is not null
  orders:
    files: {prefix: shop/orders/, format: csv}
    key: [order_id]
    effective_at: updated_at
    columns:
      order_id:    {type: text}
      customer_id: {type: integer}
      amount:      {type: "number(12,2)"}
      ordered_at:  {type: timestamp}
      updated_at:  {type: timestamp}
    checks:
      amount_is_positive: amount > 0
dimensions:
  dim_customer:
    from: customers
    tracked: [city]
facts:
  fact_orders:
    from: orders
    grain: [order_id]
    at: ordered_at
    lookups:
      customer: {dimension: dim_customer, by: customer_id}
    keep: [amount]
kpis:
  monthly:
    from: fact_orders
    period: month
    measures:
      orders:  {expression: count(*), type: integer}
      revenue: {expression: sum(amount), type: "number(18,2)"}
"""
LONG_AGO = dt.datetime(2024, 6, 1)
TABLES = ("silver.customers", "silver.orders", "gold.dim_customer", "gold.fact_orders", "gold.monthly")
# What says which run made a row, and not what the row says.
OF_THE_RUN = ("batch_no", "computed_at", "customer_key", "customer_version_key")


class Shop:
    """`put` lays rows down in bronze as a pipe does; `run` is CALL core.run_pipeline('shop')."""

    def __init__(self, folder: Path, spec: str = SPEC) -> None:
        self.bench = Bench(folder, spec)
        import pipeline as handlers

        self.handlers, self.session, self.duck = handlers, self.bench.session, self.bench.duck
        admin = self.bench.account.session()
        for sql in ("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"):
            self.bench.account.answer(admin, sql)
        own = "_file_name VARCHAR, _row_number NUMBER, _content_key VARCHAR, _modified_at TIMESTAMP_NTZ, _loaded_at TIMESTAMP_NTZ"
        for table, columns in {"customers": "customer_id city updated_at op", "orders": "order_id customer_id amount ordered_at updated_at"}.items():
            texts = ", ".join(f"{column} VARCHAR" for column in columns.split())
            self.bench.account.answer(admin, f"CREATE TABLE firn_landing.bronze.{table} ({texts}, {own})")

    def put(self, source: str, file: str, rows: list[tuple[Any, ...]], loaded_at: dt.datetime = LONG_AGO, content: str = "") -> None:
        marks = ", ".join("?" * (len(rows[0]) + 5))
        for number, row in enumerate(rows, 1):
            values = [*(None if v is None else str(v) for v in row), file, number, content or f"content of {file}", loaded_at, loaded_at]
            self.duck(f"INSERT INTO firn_landing.bronze.{source} VALUES ({marks})", values)

    def run(self) -> dict[str, Any]:
        return self.handlers.run_pipeline(self.session, "shop")

    def opened(self) -> Any:
        return self.handlers.open_run(self.session, "shop", str(uuid.uuid4()))

    def apply(self, spec: str) -> None:
        self.handlers.apply_spec(self.session, spec)

    def log(self, condition: str = "TRUE") -> list[tuple[Any, ...]]:
        return self.duck(f"SELECT step, status, error_class, error FROM firn.control.pipeline_log WHERE {condition} ORDER BY started_at")

    def contents(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """What tables say, without what only says which run made a row."""
        return {table: self.content(table) for table in tables or TABLES}

    def content(self, table: str) -> list[tuple[Any, ...]]:
        found = self.duck(f"SELECT column_name FROM (DESCRIBE firn.{table})")
        columns = ", ".join(name for (name,) in found if name.lower() not in OF_THE_RUN)
        return sorted(self.duck(f"SELECT {columns} FROM firn.{table}"), key=repr)

    def remember(self) -> None:
        """Keeps what all tables hold, for `restore`."""
        self.kept = self.duck(
            "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE (database_name = 'FIRN' AND schema_name IN "
            "('CONTROL', 'STAGE', 'SILVER', 'GOLD')) OR (database_name = 'FIRN_LANDING' AND schema_name = 'BRONZE')"
        )
        for database, schema, table in self.kept:
            self.duck(f'CREATE OR REPLACE TABLE memory.main."{schema}_{table}" AS SELECT * FROM "{database}"."{schema}"."{table}"')

    def restore(self) -> None:
        for database, schema, table in self.kept:
            self.duck(f'DELETE FROM "{database}"."{schema}"."{table}"')
            self.duck(f'INSERT INTO "{database}"."{schema}"."{table}" BY NAME SELECT * FROM memory.main."{schema}_{table}"')

    def close(self) -> None:
        self.bench.close()


def customer(number: int, city: str | None, at: str, op: str = "I") -> tuple[Any, ...]:
    return (number, city, at, op)


def order(name: str, customer_id: int, amount: Any, at: str, updated_at: str = "") -> tuple[Any, ...]:
    return (name, customer_id, amount, at, updated_at or at)


def stock(shop: Shop) -> None:
    """Two files of customers, two of orders: a change, a correction, a bad row, an equal row, a re-sent file."""
    shop.put("customers", "c1.csv", [customer(1, "Oslo", "2024-01-01 00:00:00"), customer(2, "Rome", "2024-01-01 00:00:00")])
    shop.put("orders", "o1.csv", [order("A", 1, 10, "2024-01-05 00:00:00"), order("B", 2, 20, "2024-02-05 00:00:00"), order("C", 9, 0, "2024-02-06 00:00:00")])
    later = LONG_AGO + dt.timedelta(hours=1)
    shop.put("customers", "c2.csv", [customer(1, "Bergen", "2024-02-01 00:00:00"), customer(2, "Rome", "2024-01-01 00:00:00")], later)
    shop.put("orders", "o2.csv", [order("A", 1, 15, "2024-01-05 00:00:00", "2024-01-06 00:00:00"), order("D", 1, 30, "2024-02-07 00:00:00")], later)
    shop.put("orders", "o1 again.csv", [order("A", 1, 10, "2024-01-05 00:00:00"), order("B", 2, 20, "2024-02-05 00:00:00"), order("C", 9, 0, "2024-02-06 00:00:00")], later, "content of o1.csv")
