"""One account for all tests of what a run counts: a source, a dimension, a fact and a KPI, bronze filled by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench.account import Bench
from tests.conftest import alone

SHOP = """
pipeline: shop
schedule: 1 hour
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: changed_at
    overlap: 1 hour
    columns:
      id:         {type: integer}
      city:       {type: text}
      changed_at: {type: timestamp}
    checks:
      city_is_given: city is not null
dimensions:
  dim_person: {from: people, tracked: [city]}
facts:
  fact_moves:
    from: people
    grain: [id]
    at: changed_at
    lookups:
      person: {dimension: dim_person, by: id}
    keep: [city]
kpis:
  moves_by_month:
    from: fact_moves
    period: month
    measures:
      moves: {expression: count(*), type: integer}
"""
BRONZE = "firn_landing.bronze.people"
START = dt.datetime(2024, 1, 1, 10)
STEPS = (("load", "people"), ("dimension", "dim_person"), ("fact", "fact_moves"), ("measure", "moves_by_month"))


class Shop:
    """The account, its bronze table and its steps."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        admin = bench.account.session()
        columns = "id VARCHAR, city VARCHAR, changed_at VARCHAR, _file_name VARCHAR, _row_number NUMBER, _content_key VARCHAR, "
        for sql in (
            *("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"),
            f"CREATE TABLE {BRONZE} ({columns}_modified_at TIMESTAMP_NTZ, _loaded_at TIMESTAMP_NTZ)",
        ):
            bench.account.answer(admin, sql)

    def empty(self) -> None:
        """Nothing has arrived and nothing was ever done."""
        kept = ("parameter_control", "pipeline_spec", "binding")
        found = self.bench.duck(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'FIRN' AND schema_name IN "
            f"('CONTROL', 'STAGE', 'SILVER', 'GOLD') AND lower(table_name) NOT IN {kept}"
        )
        for (table,) in found:
            where = " WHERE person_version_key > 0" if table.lower() == "gold.dim_person" else ""
            self.bench.duck(f"DELETE FROM firn.{table}{where}")
        self.bench.duck(f"DELETE FROM {BRONZE}")
        self.bench.duck("UPDATE firn.control.parameter_control SET lets = NULL, late_from = NULL, last_batch = 0")

    def put(self, rows: str, *, file: str = "a.csv", content: str = "A", at: dt.datetime = START, first: int = 1) -> None:
        """Rows as a pipe leaves them: `1 Paris 2024-01-01`, one per comma."""
        for number, row in enumerate(filter(None, rows.split(", ")), first):
            key, city, day = row.split()
            values = [key, None if city == "-" else city, f"{day} 00:00:00", file, number, content, at, at]
            self.bench.duck(f"INSERT INTO {BRONZE} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def step(self, step: str, target: str) -> dict[str, Any]:
        return self.bench.step("shop", step, target)["counts"]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.bench.duck(sql)

    def log(self, step: str) -> dict[str, Any]:
        """The newest row of the log for a step."""
        import json

        columns = ("status", "rows_read", "rows_written", "rows_duplicate", "rows_quarantined", "detail", "error")
        found = self.rows(f"SELECT {', '.join(columns)} FROM firn.control.pipeline_log WHERE step = '{step}' ORDER BY started_at DESC LIMIT 1")
        row = dict(zip(columns, found[0], strict=True))
        return {**row, "detail": json.loads(row["detail"] or "{}")}


@pytest.fixture(scope="session")
def opened_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    bench = Bench(tmp_path_factory.mktemp("shop"), SHOP)
    yield Shop(bench)
    with alone(bench.session):
        bench.close()


@pytest.fixture
def shop(opened_shop: Shop) -> Iterator[Shop]:
    """The account with nothing in it; the client sees this session only."""
    with alone(opened_shop.bench.session):
        opened_shop.empty()
        yield opened_shop
