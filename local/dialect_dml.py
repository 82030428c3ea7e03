"""INSERT, UPDATE, DELETE and MERGE: what Snowflake's forms need before DuckDB takes them, and their counts."""

from __future__ import annotations

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


def merge_counts(table: pa.Table) -> list[int]:
    """(inserted, updated, deleted) from the actions that DuckDB returned."""
    found: dict[str, int] = {}
    for action in table.column(0).value_counts().to_pylist() if table.num_rows else []:
        found[action["values"]] = action["counts"]
    return [found.get("INSERT", 0), found.get("UPDATE", 0), found.get("DELETE", 0)]
