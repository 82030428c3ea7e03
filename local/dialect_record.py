"""What DuckDB is not told of a table, and DESCRIBE and SHOW want to know: declared types, constraints, comments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from local.duck import Connection

GLOBAL = "_fs_global._fs_information_schema"


@dataclass
class Record:
    """Of one table, gathered while its CREATE is read."""

    parts: tuple[str, str, str]
    types: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    constraints: list[tuple[str, str, list[str], str]] = field(default_factory=list)
    is_transient: bool = False

    def write(self, session: Connection, comment: str | None) -> None:
        forget(session, self.parts)
        run = session.probe.execute
        for name, kind in self.types.items():
            run(f"INSERT INTO {GLOBAL}._firn_columns VALUES (?, ?, ?, ?, ?)", [*self.parts, name, kind])
        for kind, name, columns, referenced in self.constraints:
            run(f"INSERT INTO {GLOBAL}._firn_constraints VALUES (?, ?, ?, ?, ?, ?, ?)", [*self.parts, kind, name, columns, referenced])
        if self.is_transient:
            run(f"INSERT INTO {GLOBAL}._firn_transient VALUES (?, ?, ?)", list(self.parts))
        if comment is not None:
            run(f"INSERT INTO {GLOBAL}._fs_tables_ext VALUES (?, ?, ?, ?)", [*self.parts, comment])


def forget(session: Connection, parts: tuple[str, str, str]) -> None:
    own = "table_catalog = ? AND table_schema = ? AND table_name = ?"
    for table in ("_firn_columns", "_firn_constraints", "_firn_transient"):
        session.probe.execute(f"DELETE FROM {GLOBAL}.{table} WHERE {own}", list(parts))
    for table in ("_fs_tables_ext", "_fs_columns_ext"):
        session.probe.execute(
            f"DELETE FROM {GLOBAL}.{table} WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ?", list(parts)
        )


def is_transient(session: Connection, parts: tuple[str, str, str]) -> bool:
    sql = f"SELECT 1 FROM {GLOBAL}._firn_transient WHERE table_catalog = ? AND table_schema = ? AND table_name = ?"
    return session.probe.execute(sql, list(parts)).fetchone() is not None


def declared(kind: exp.DataType) -> str:
    """The type as DESCRIBE TABLE prints it: docs.snowflake.com/en/sql-reference/sql/desc-table"""
    sizes = [p.name for p in kind.expressions if isinstance(p, exp.DataTypeParam)]
    t = exp.DataType.Type
    if kind.this in (t.INT, t.BIGINT, t.SMALLINT, t.TINYINT):
        return "NUMBER(38,0)"
    if kind.this == t.DECIMAL:
        return f"NUMBER({sizes[0] if sizes else 38},{sizes[1] if len(sizes) > 1 else 0})"
    if kind.this in (t.VARCHAR, t.TEXT, t.CHAR, t.NVARCHAR, t.NCHAR):
        return f"VARCHAR({sizes[0] if sizes else 1 if kind.this == t.CHAR else 16777216})"
    if kind.this in (t.FLOAT, t.DOUBLE):
        return "FLOAT"
    if kind.this in (t.BINARY, t.VARBINARY):
        return f"BINARY({sizes[0] if sizes else 8388608})"
    fixed = {t.TIMESTAMP: "TIMESTAMP_NTZ(9)", t.TIMESTAMPNTZ: "TIMESTAMP_NTZ(9)", t.DATETIME: "TIMESTAMP_NTZ(9)", t.TIMESTAMPLTZ: "TIMESTAMP_LTZ(9)", t.TIMESTAMPTZ: "TIMESTAMP_TZ(9)", t.TIME: "TIME(9)"}  # fmt: skip
    return fixed.get(kind.this) or kind.this.name
