"""What the account knows besides tables: packages, applications, procedures, tasks, pipes, stages, grants.

One SQLite file in the account's folder, one row per object, its properties as JSON. SQLite because every write
is durable by itself and a killed account finds its objects again; tables and rows live in DuckDB.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    kind TEXT NOT NULL, database TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL,
    properties TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    PRIMARY KEY (kind, database, schema, name)
);
"""


@dataclass(frozen=True)
class Thing:
    """One object: its kind ('task', 'pipe', …), its full name in upper case, and what was said of it."""

    kind: str
    database: str
    schema: str
    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""

    def __getitem__(self, key: str) -> Any:
        return self.properties[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.properties.get(key, default)

    @property
    def full_name(self) -> str:
        return ".".join(part for part in (self.database, self.schema, self.name) if part)


class Catalog:
    """Objects by kind and name. Account-level objects have empty database and schema."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def put(self, kind: str, name: str, *, database: str = "", schema: str = "", **properties: Any) -> Thing:
        """Create the object, or replace everything said of it (its creation time stays)."""
        with self._lock:
            self._db.execute(
                "INSERT INTO object (kind, database, schema, name, properties) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET properties = excluded.properties",
                (kind, database, schema, name, json.dumps(properties)),
            )
        return Thing(kind, database, schema, name, properties)

    def change(self, thing: Thing, **properties: Any) -> Thing:
        """Change some properties; the others stay as they are now, not as the caller last saw them."""
        with self._lock:
            now = self.get(thing.kind, thing.name, database=thing.database, schema=thing.schema) or thing
            return self.put(thing.kind, thing.name, database=thing.database, schema=thing.schema, **{**now.properties, **properties})

    def get(self, kind: str, name: str, *, database: str = "", schema: str = "") -> Thing | None:
        return next(self.find(kind, database=database, schema=schema, name=name), None)

    def find(self, kind: str, **where: str) -> Iterator[Thing]:
        """Objects of a kind, in order of creation; `where` narrows by database, schema, name."""
        conditions = "".join(f" AND {column} = ?" for column in where if column in ("database", "schema", "name"))
        with self._lock:
            rows = self._db.execute(
                f"SELECT kind, database, schema, name, properties, created_at FROM object WHERE kind = ?{conditions} ORDER BY created_at, name",
                (kind, *where.values()),
            ).fetchall()
        for kind_, database, schema, name, properties, created_at in rows:
            yield Thing(kind_, database, schema, name, json.loads(properties), created_at)

    def drop(self, kind: str, name: str, *, database: str = "", schema: str = "") -> bool:
        with self._lock:
            return (
                self._db.execute(
                    "DELETE FROM object WHERE kind = ? AND database = ? AND schema = ? AND name = ?", (kind, database, schema, name)
                ).rowcount
                > 0
            )

    def drop_all(self, *, database: str, schema: str | None = None, kinds: tuple[str, ...] = ()) -> None:
        """Forget everything inside a database or one of its schemas (of some kinds only, if named)."""
        sql, params = "DELETE FROM object WHERE database = ?", [database]
        if schema is not None:
            sql, params = sql + " AND schema = ?", [*params, schema]
        if kinds:
            sql, params = sql + f" AND kind IN ({','.join('?' * len(kinds))})", [*params, *kinds]
        with self._lock:
            self._db.execute(sql, params)

    def close(self) -> None:
        with self._lock:
            self._db.close()
