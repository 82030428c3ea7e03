"""The engine under test: its pure part on local testing, its step on an account, both from rows to versions."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import history
import history_events
import snowflake.snowpark.types as T
from snowflake.snowpark import Session
from specs import Dimension, Source

from tests.bench.account import Bench
from tests.history.oracle import Event, Version, in_order
from tests.history.streams import SPEC, declared, pipeline

NTZ = T.TimestampType(T.TimestampTimeZone.NTZ)
KINDS = {"text": T.StringType(), "integer": T.LongType(), "timestamp": NTZ, "boolean": T.BooleanType()}


def silver_types(source: Source) -> dict[str, str]:
    own = {column.name: column.type for column in source.columns}
    return {**own, "is_deleted": "boolean", "effective_at": source.sequence_type, **source.marks}


def version_columns(dimension: Dimension) -> tuple[str, ...]:
    return (*dimension.key, *dimension.attributes, "valid_from", "valid_to")


def plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value)
    return dt.datetime.fromtimestamp(value / 1e9, dt.UTC).replace(tzinfo=None) if type(value).__name__ == "Timestamp" else value


def pure(session: Session, events: list[Event], dimension: Dimension, source: Source) -> list[Version]:
    """Versions from all events by the pure functions, on Snowpark's local testing."""
    types = {**silver_types(source), "batch_no": "integer"}
    schema = T.StructType([T.StructField(name, KINDS[kind]) for name, kind in types.items()])
    rows = [tuple({**event, "batch_no": 1}[name] for name in types) for event in events]
    silver = session.create_dataframe(rows, schema=schema)
    journal = history_events.journal(silver, dimension.key, 0, source)
    marked = history.marked(history_events.outcomes(journal, silver, dimension, source), dimension, source, 0)
    found = history.versions(marked, dimension).select(*version_columns(dimension)).collect()
    return in_order([{name: plain(row[name.upper()]) for name in version_columns(dimension)} for row in found], dimension)


class OnAccount:
    """A pipeline with all the dimensions of `dimensions.yml` on a local account, reached by the real client."""

    def __init__(self, folder: Path) -> None:
        import pipeline as handlers

        self.bench = Bench(folder, SPEC)
        self.handlers = handlers
        self.run = handlers.open_run(self.bench.session, "history", "test")

    def reset(self, name: str) -> None:
        """No events, no versions: the next stream begins."""
        dimension, source = declared(name)
        for sql in (
            f"DELETE FROM firn.{source.silver}",
            f"DELETE FROM firn.{dimension.stage}",
            f"DELETE FROM firn.{dimension.table} WHERE {dimension.durable_key} > 0",
            "DELETE FROM firn.control.changed_window",
            "DELETE FROM firn.control.pipeline_log",
            f"UPDATE firn.control.parameter_control SET last_batch = 0 WHERE step = '{dimension.step}'",
        ):
            self.bench.duck(sql)

    def put(self, name: str, batch: list[Event]) -> None:
        """A batch as a load leaves it in silver."""
        _, source = declared(name)
        control = "firn.control.parameter_control WHERE step = 'pipeline'"
        self.bench.duck(f"UPDATE {control.replace(' WHERE', ' SET last_batch = last_batch + 1 WHERE')}")
        number = self.bench.duck(f"SELECT last_batch FROM {control}")[0][0]
        if not batch:
            return
        columns = [*silver_types(source), "file_name", "row_number", "content_key", "loaded_at", "batch_no"]
        rows = [
            [*(row[name] for name in silver_types(source)), "file", index, "content", dt.datetime(2024, 6, 1), number]
            for index, row in enumerate(batch)
        ]
        marks = ", ".join("(" + ", ".join("?" * len(columns)) + ")" for _ in rows)
        self.bench.duck(f"INSERT INTO firn.{source.silver} ({', '.join(columns)}) VALUES {marks}", [v for row in rows for v in row])

    def step(self, name: str) -> dict[str, Any]:
        return self.handlers.run_one(self.run, "dimension", f"dim_{name}")

    def rebuild(self, name: str, **arguments: Any) -> dict[str, Any]:
        import rebuilding

        return rebuilding.rebuild(self.run, f"dim_{name}", **arguments)

    def versions(self, name: str) -> list[Version]:
        dimension, _ = declared(name)
        columns = version_columns(dimension)
        sql = f"SELECT {', '.join(columns)} FROM firn.{dimension.table} WHERE {dimension.durable_key} > 0 AND NOT is_inferred"
        return in_order([dict(zip(columns, map(plain, row), strict=True)) for row in self.bench.duck(sql)], dimension)

    def surrogates(self, name: str) -> dict[tuple[Any, ...], tuple[int, int]]:
        """Of each version, by its natural key and its beginning, the durable key and the version key."""
        dimension, _ = declared(name)
        columns = (*dimension.key, "valid_from", dimension.durable_key, dimension.version_key)
        rows = self.bench.duck(f"SELECT {', '.join(columns)} FROM firn.{dimension.table} WHERE {dimension.durable_key} > 0")
        return {tuple(row[:-2]): (row[-2], row[-1]) for row in rows}

    def close(self) -> None:
        self.bench.close()


__all__ = ["OnAccount", "pipeline", "pure"]
