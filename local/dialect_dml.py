"""INSERT, UPDATE, DELETE and MERGE: what Snowflake's forms need before DuckDB takes them, and their counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlglot import Expr as Expression
from sqlglot import exp

INSERTED, UPDATED, DELETED = "number of rows inserted", "number of rows updated", "number of rows deleted"


def prepare(tree: Expression) -> tuple[str, ...]:
    """Mend the tree in place; gives the names of the answer's columns (none for a query)."""
    match tree:
        case exp.Insert():
            tree.set("overwrite", None)  # the cursor empties the table first
            return (INSERTED,)
        case exp.Update():
            update(tree)
            return (UPDATED, "number of multi-joined rows updated")
        case exp.Delete():
            return (DELETED,)
        case exp.Merge():
            return merge(tree)
    return ()


def overwritten(tree: Expression) -> exp.Delete | None:
    """What empties the table of an INSERT OVERWRITE; to be asked before `prepare`."""
    if not (isinstance(tree, exp.Insert) and tree.args.get("overwrite")):
        return None
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    return exp.Delete(this=table.copy())


def inserted_into(tree: exp.Insert) -> tuple[str, str, str]:
    """The full name of the table, as `qualify` completed it."""
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    return table.catalog, table.db, table.name


def update(tree: exp.Update) -> None:
    """DuckDB wants bare column names on the left of SET: docs.snowflake.com/en/sql-reference/sql/update"""
    for assignment in tree.expressions:
        if isinstance(assignment.this, exp.Column):
            assignment.set("this", exp.column(assignment.this.this))


def merge(tree: exp.Merge) -> tuple[str, ...]:
    """DuckDB's own MERGE INTO … RETURNING tells what was done with each row.

    docs.snowflake.com/en/sql-reference/sql/merge. A target row that several source rows match is an error in both.
    """
    does = set()
    for when in tree.args["whens"].expressions if isinstance(tree.args["whens"], Expression) else tree.args["whens"]:
        then = when.args.get("then")
        if isinstance(then, exp.Update):
            does.add(UPDATED)
            update(then)
        elif isinstance(then, exp.Insert):
            does.add(INSERTED)
            columns = then.this.expressions if isinstance(then.this, (exp.Tuple, exp.Schema)) else []
            for column in columns:
                if isinstance(column, exp.Column) and column.args.get("table"):
                    column.replace(exp.column(column.this))
        else:
            does.add(DELETED)
    return tuple(name for name in (INSERTED, UPDATED, DELETED) if name in does)


def finish(tree: Expression, sql: str) -> str:
    return f"{sql} RETURNING merge_action" if isinstance(tree, exp.Merge) else sql


def merged(counts: tuple[str, ...], table: pa.Table) -> list[int]:
    """The numbers for the columns `counts`, from the actions of a MERGE."""
    by_name = dict(zip((INSERTED, UPDATED, DELETED), merge_counts(table), strict=True))
    return [by_name[name] for name in counts]


def merge_counts(table: pa.Table) -> list[int]:
    """(inserted, updated, deleted) from the actions that DuckDB returned."""
    found: dict[str, int] = {}
    for action in table.column(0).value_counts().to_pylist() if table.num_rows else []:
        found[action["values"]] = action["counts"]
    return [found.get("INSERT", 0), found.get("UPDATE", 0), found.get("DELETE", 0)]


# --- one INSERT for many rows of parameters


def insert_from(tree: Expression, name: str) -> str | None:
    """`INSERT INTO t VALUES (?, …)` as an INSERT from the table `name`, which holds a column for each placeholder."""
    values = tree.expression if isinstance(tree, exp.Insert) else None
    if not isinstance(values, exp.Values) or len(values.expressions) != 1:
        return None
    for i, placeholder in enumerate(list(values.find_all(exp.Placeholder, bfs=False))):
        placeholder.replace(exp.column(exp.to_identifier(f"C{i}", quoted=True)))
    row = values.expressions[0]
    tree.set("expression", exp.select(*(row.expressions if isinstance(row, exp.Tuple) else [row])).from_(exp.to_table(name)))
    return tree.sql("snowflake")


def rows_table(rows: Sequence[Sequence[Any]]) -> pa.Table:
    columns = [column_array([row[i] for row in rows]) for i in range(len(rows[0]))]
    return pa.Table.from_arrays(columns, names=[f"C{i}" for i in range(len(columns))])


def column_array(values: list[Any]) -> pa.Array:
    """A column of parameters; values that Arrow cannot bring to one type go as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
