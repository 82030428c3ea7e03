"""A shop on a local account in this process: rows are put into bronze as a pipe would, and the handlers are called as SQL would."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

from tests.bench.account import Bench

SPEC = (Path(__file__).parent / "shop.yml").read_text()
TEXTS = {"customers": "id city years op changed_at", "orders": "order_id id amount ordered_at"}
PROVENANCE = "_file_name VARCHAR, _row_number NUMBER, _content_key VARCHAR, _modified_at TIMESTAMP_NTZ, _loaded_at TIMESTAMP_NTZ"


class Shop:
    """The pipeline of `shop.yml`: arrive → run → replay."""

    def __init__(self, folder: Path, spec: str = SPEC) -> None:
        import pipeline as handlers

        self.handlers = handlers
        self.bench = Bench(folder, spec)
        self.session = self.bench.session
        self.files = itertools.count(1)
        self.arrivals_from(dt.datetime(2024, 6, 1))
        for sql in ("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"):
            self.answer(sql)
        for source, columns in TEXTS.items():
            self.answer(f"CREATE TABLE firn_landing.bronze.{source} ({', '.join(f'{c} VARCHAR' for c in columns.split())}, {PROVENANCE})")
        self.answer(f"CREATE TABLE firn_landing.bronze.parts (record VARIANT, {PROVENANCE})")

    def arrivals_from(self, start: dt.datetime) -> None:
        """The next file arrives a second after this moment, the one after it another second later."""
        self.start, self.arrivals = start, itertools.count(1)

    def answer(self, sql: str) -> Any:
        return self.bench.account.answer(self.bench.account.session(), sql)

    def arrive(self, source: str, *lines: Any) -> str:
        """One file of rows: texts with blanks between them, `-` for none; for records, their objects.  Gives its name."""
        name = f"{source}_{next(self.files)}"
        at = self.start + dt.timedelta(seconds=next(self.arrivals))
        for number, line in enumerate(lines, 1):
            place = [name, number, f"content of {name}", at, at]
            if source == "parts":
                values = [line if isinstance(line, str) else json.dumps(line)]
                marks = "PARSE_JSON(?)"
            else:
                values = [None if word == "-" else word for word in (line.split() if isinstance(line, str) else line)]
                marks = ", ".join("?" * len(values))
            self.session.sql(f"INSERT INTO firn_landing.bronze.{source} SELECT {marks}, ?, ?, ?, ?, ?", params=[*values, *place]).collect()
        return name

    def apply(self, spec: str) -> None:
        """Another spec for the shop, with the same tables: only its text is replaced."""
        import applying
        from runs import utc_now

        applying.record(self.session, "shop", self.version() + 1, "", spec, utc_now())

    def version(self) -> int:
        return self.rows("SELECT version FROM control.pipeline_spec WHERE is_current")[0]["version"]

    def step(self, step: str, target: str) -> dict[str, Any]:
        return self.handlers.run_step(self.session, "shop", step, target)

    def load(self, source: str, *lines: Any) -> str:
        """A file arrives and is loaded."""
        name = self.arrive(source, *lines)
        self.step("load", source)
        return name

    def to_gold(self) -> None:
        for dimension in ("dim_customer", "dim_part"):
            self.step("dimension", dimension)
        self.step("fact", "fact_orders")
        self.step("measure", "revenue_by_month")

    def replay(self, source: str, check: str | None = None, dry_run: bool = False) -> dict[str, Any]:
        return self.handlers.replay_quarantine(self.session, source, check, dry_run)

    def correct(self, place: str, values: Any) -> dict[str, Any]:
        return self.handlers.correct_quarantine(self.session, place, values)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return [{k.lower(): v for k, v in row.as_dict().items()} for row in self.session.sql(sql).collect()]

    def fact_cities(self) -> list[tuple[Any, ...]]:
        """Each order with the city its customer lived in."""
        joined = "gold.fact_orders AS f LEFT JOIN gold.dim_customer AS d ON d.customer_version_key = f.customer_version_key"
        return [tuple(row.values()) for row in self.rows(f"SELECT order_id, city, amount FROM {joined} ORDER BY order_id")]

    def waiting(self, source: str, columns: str = "quarantine_id") -> list[Any]:
        found = self.rows(f"SELECT {columns} FROM control.quarantine WHERE source = '{source}' AND status = 'waiting' ORDER BY quarantine_id")
        return [row[columns] if "," not in columns else tuple(row.values()) for row in found]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Silver, gold and the quarantine's status, without what only says when and in which batch."""
        return {
            table: sorted((tuple(row.values()) for row in self.rows(f"SELECT {columns} FROM {table}")), key=repr)
            for table, columns in {
                "silver.customers": "id, city, age, is_deleted, effective_at, file_name, row_number, content_key, loaded_at",
                "silver.parts": "sku, price, supplier, absent_columns, effective_at, file_name, row_number",
                "silver.orders": "order_id, id, amount, effective_at, file_name, row_number",
                "gold.dim_customer": "id, city, age, valid_from, valid_to, is_current, is_inferred",
                "gold.dim_part": "sku, price, supplier, valid_from, valid_to, is_current",
                "gold.fact_orders": "order_id, id, amount",
                "gold.revenue_by_month": "month, revenue",
                "control.quarantine": "quarantine_id, status, failed_checks",
                "control.ledger": "file_name, first_row, last_row, is_duplicate",
            }.items()
        }

    def reset(self) -> None:
        """Nothing has ever arrived."""
        for table in ("firn_landing.bronze.customers", "firn_landing.bronze.parts", "firn_landing.bronze.orders"):
            self.bench.duck(f"DELETE FROM {table}")
        for table in ("silver.customers", "silver.parts", "silver.orders", "gold.fact_orders", "gold.revenue_by_month", "control.touched_revenue_by_month"):
            self.bench.duck(f"DELETE FROM firn.{table}")
        for name in ("customer", "part"):
            self.bench.duck(f"DELETE FROM firn.gold.dim_{name} WHERE {name}_key > 0")
        for table in ("ledger", "quarantine", "quarantine_correction", "quarantine_decision", "changed_window", "pipeline_log"):
            self.bench.duck(f"DELETE FROM firn.control.{table}")
        self.bench.duck("UPDATE firn.control.parameter_control SET last_batch = 0, lets = NULL, late_from = NULL")

    def close(self) -> None:
        self.bench.close()
