"""SQL expressions as Snowpark Columns, for local testing, which has no `sql_expr`; just what pipeline files use."""

from __future__ import annotations

from typing import Any

import snowflake.snowpark.functions as F
import sqlglot
from snowflake.snowpark import Column
from sqlglot import expressions as sql

BINARY: dict[type[sql.Expression], Any] = {
    sql.And: lambda a, b: a & b,
    sql.Or: lambda a, b: a | b,
    sql.EQ: lambda a, b: F.call_function("unless_null", a, b, a == b),
    sql.NEQ: lambda a, b: F.call_function("unless_null", a, b, a != b),
    sql.GT: lambda a, b: a > b,
    sql.GTE: lambda a, b: a >= b,
    sql.LT: lambda a, b: a < b,
    sql.LTE: lambda a, b: a <= b,
    sql.Add: lambda a, b: a + b,
    sql.Sub: lambda a, b: a - b,
    sql.Mul: lambda a, b: a * b,
    sql.Like: lambda a, b: a.like(b),
}


def column(text: str) -> Column:
    """A Column that means what the SQL text means."""
    return translated(sqlglot.parse_one(text, dialect="snowflake"))


def translated(node: sql.Expression) -> Column:
    kind = type(node)
    if kind in BINARY:
        return BINARY[kind](translated(node.this), translated(node.expression))
    if isinstance(node, sql.Column):
        return F.col(node.name)
    if isinstance(node, sql.Literal):
        return F.lit(node.this if node.is_string else int(node.this))
    if isinstance(node, sql.Null):
        return F.lit(None)
    if isinstance(node, sql.Paren):
        return translated(node.this)
    if isinstance(node, sql.Not):
        return ~translated(node.this)
    if isinstance(node, sql.Neg):
        return -translated(node.this)
    if isinstance(node, sql.Is):
        return translated(node.this).is_null()
    if isinstance(node, sql.Between):
        return translated(node.this).between(translated(node.args["low"]), translated(node.args["high"]))
    if isinstance(node, sql.Case):
        branches = [(translated(branch.this), translated(branch.args["true"])) for branch in node.args["ifs"]]
        chain = F.when(*branches[0])
        for branch in branches[1:]:
            chain = chain.when(*branch)
        return chain.otherwise(translated(node.args["default"])) if node.args.get("default") else chain
    if isinstance(node, sql.Count):
        if isinstance(node.this, sql.Distinct):
            return F.count_distinct(*[translated(item) for item in node.this.expressions])
        return F.count(F.lit(1)) if isinstance(node.this, sql.Star) else F.count(translated(node.this))
    if isinstance(node, (sql.Sum, sql.Min, sql.Max)):
        return {"sum": F.sum, "min": F.min, "max": F.max}[node.key](translated(node.this))
    if isinstance(node, sql.Dot) or (isinstance(node, sql.Anonymous) and node.name.lower() == "is_email"):
        call = node.expression if isinstance(node, sql.Dot) else node
        return F.call_function("is_email", translated(call.expressions[0]))
    raise NotImplementedError(f"{kind.__name__} in local testing: {node.sql('snowflake')}")
