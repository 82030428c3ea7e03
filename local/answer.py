"""What a statement answers when the account, and not DuckDB, carries it out: named, typed columns and rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """`columns` are (name, Snowflake type in lower case: text, fixed, boolean, timestamp_ltz, variant, …)."""

    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def status(message: str) -> Answer:
    return Answer([("status", "text")], [(message,)])


def table(columns: str, rows: list[tuple[Any, ...]]) -> Answer:
    """Columns as 'name other:fixed third:boolean' (text where nothing is said)."""
    pairs = [name.partition(":") for name in columns.split()]
    return Answer([(name, kind or "text") for name, _, kind in pairs], rows)
