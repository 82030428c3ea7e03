"""A pipeline on a local account in this process: events go into silver as a load leaves them, steps run by the real client."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench.account import Bench
from tests.gold.oracle import Event, Told

SPEC = (Path(__file__).parent / "shop.yml").read_text()
STEPS = [("dimension", "dim_customer"), ("dimension", "dim_product"), ("fact", "fact_orders"), ("measure", "monthly"), ("measure", "by_region")]
STANDING = {-1: "unknown", -2: "gap", -3: "early"}


class Shop:
    """The pipeline `shop`, or another of the same shape."""

    def __init__(self, folder: Path, spec: str = SPEC) -> None:
        import pipeline as handlers

        self.bench = Bench(folder, spec)
        self.handlers = handlers
        name = self.bench.duck("SELECT pipeline FROM firn.control.pipeline_spec")[0][0]
        self.run = handlers.open_run(self.bench.session, name, "test")
        self.spec = self.run.pipeline

    def reset(self) -> None:
        """Nothing received yet."""
        tables = [*(source.silver for source in self.spec.sources), *(fact.table for fact in self.spec.facts)]
        tables += [table for kpi in self.spec.kpis for table in (kpi.table, kpi.touched)]
        for table in (*tables, "control.changed_window", "control.pipeline_log"):
            self.bench.duck(f"DELETE FROM firn.{table}")
        for dimension in self.spec.dimensions:
            self.bench.duck(f"DELETE FROM firn.{dimension.table} WHERE {dimension.version_key} > 0")
        self.bench.duck("UPDATE firn.control.parameter_control SET last_batch = 0")

    def put(self, source_name: str, events: list[Event]) -> None:
        """A batch as a load leaves it in silver."""
        control = "firn.control.parameter_control"
        self.bench.duck(f"UPDATE {control} SET last_batch = last_batch + 1 WHERE step = 'pipeline'")
        number = self.bench.duck(f"SELECT last_batch FROM {control} WHERE step = 'pipeline'")[0][0]
        if not events:
            return
        declared = [column.name for column in self.spec.source(source_name).columns]
        columns = [*declared, "is_deleted", "effective_at", "file_name", "row_number", "content_key", "loaded_at", "batch_no"]
        rows = [
            [*(event[name] for name in (*declared, "is_deleted", "effective_at")), f"{source_name}.csv", index, f"content {number}", dt.datetime(2024, 6, 1), number]
            for index, event in enumerate(events, start=1)
        ]
        marks = ", ".join("(" + ", ".join("?" * len(columns)) + ")" for _ in rows)
        self.bench.duck(f"INSERT INTO firn.silver.{source_name} ({', '.join(columns)}) VALUES {marks}", [value for row in rows for value in row])

    def step(self, step: str, target: str) -> dict[str, Any]:
        return self.handlers.run_one(self.run, step, target)

    def all_steps(self) -> None:
        for step, target in STEPS:
            self.step(step, target)

    def rows(self, sql: str) -> Told:
        with self.bench.account.duck.duck_conn.cursor() as cursor:
            found = cursor.execute(sql)
            names = [column[0].lower() for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def gold(self) -> dict[str, Told]:
        """Gold as the oracle tells it."""
        facts = self.rows("""
            SELECT order_id, line_no, customer_id, sku, quantity, price, region, status, ordered_at, amount, customer_key, product_key,
                   customer_version_key, product_version_key FROM firn.gold.fact_orders""")
        for name, key in (("customer", "customer_id"), ("product", "sku")):
            found = self.rows(f"SELECT {name}_key AS durable, {name}_version_key AS version, {key} AS natural, valid_from, is_inferred FROM firn.gold.dim_{name}")
            members = {row["version"]: (row["natural"], "inferred" if row["is_inferred"] else row["valid_from"]) for row in found}
            durable = {row["durable"]: row["natural"] for row in found}
            for fact in facts:
                version, natural = fact.pop(f"{name}_version_key"), fact.pop(f"{name}_key")
                assert version in members, f"{fact} points to version {version} of dim_{name}, which is not there"
                assert natural in durable and durable[natural] == fact[key], f"{fact}: the durable key says {durable.get(natural)}"
                fact[name] = STANDING.get(version) or members[version]
        return {
            "fact_orders": facts,
            "inferred": self.rows("""
                SELECT 'customer_id' AS "column", customer_id::VARCHAR AS key FROM firn.gold.dim_customer WHERE is_inferred
                UNION ALL SELECT 'sku', sku FROM firn.gold.dim_product WHERE is_inferred"""),
            "monthly": self.rows("SELECT month, revenue, orders, customers FROM firn.gold.monthly"),
            "by_region": self.rows("SELECT region, revenue, customers FROM firn.gold.by_region"),
        }

    def close(self) -> None:
        self.bench.close()


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def told(table: Told) -> list[str]:
    """Rows without an order of their own, comparable and readable."""
    return sorted(repr({name: str(plain(value)) for name, value in sorted(row.items())}) for row in table)
