"""Aggregates and window functions: docs.snowflake.com/en/sql-reference/functions-aggregation and functions-analytic"""

from __future__ import annotations

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_nodes import call, cast, scalar, sf, string


def average(node: exp.Avg) -> Expression:
    if isinstance(node.parent, exp.Window):
        return node
    return sf("average", node, exp.AnyValue(this=bare(node.this).copy()))


def bare(node: Expression) -> Expression:
    return node.expressions[0] if isinstance(node, exp.Distinct) else node


def over(window: exp.Window, function: Expression) -> exp.Window:
    changed = window.copy()
    changed.set("this", function)
    return changed


def window(node: exp.Window) -> Expression:
    """An order by constants alone is none; DuckDB would sort by it, and hold all rows to do so."""
    function, order = node.this, node.args.get("order")
    if order is not None and node.args.get("spec") is None and all(is_constant(by.this) for by in order.expressions):
        node.set("order", None)
    if isinstance(function, exp.Avg):
        return sf("average", node, over(node, exp.AnyValue(this=bare(function.this).copy())))
    if isinstance(function, exp.ArrayAgg):
        return call("to_json", node)
    name = str(function.this).upper() if isinstance(function, exp.Anonymous) else type(function).__name__.upper()
    match name.replace("_", ""):
        case "RATIOTOREPORT":
            value = function.expressions[0] if isinstance(function, exp.Anonymous) else function.this
            return sf("div", value, over(node, exp.Sum(this=value.copy())))
        case "CONDITIONALCHANGEEVENT":
            value = function.expressions[0] if isinstance(function, exp.Anonymous) else function.this
            return sf("changes", over(node, call("list", value)))
        case "CONDITIONALTRUEEVENT":
            value = function.expressions[0] if isinstance(function, exp.Anonymous) else function.this
            return cast(over(node, call("count_if", value)), "BIGINT")
    return node


def is_constant(node: Expression) -> bool:
    return isinstance(node.this if isinstance(node, exp.Cast) else node, (exp.Literal, exp.Boolean, exp.Null))


def list_aggregate(node: Expression) -> Expression:
    """ARRAY_AGG is an ARRAY: JSON here."""
    if isinstance(node.parent, (exp.Window, exp.WithinGroup)):
        return node
    return exp.Coalesce(this=call("to_json", node), expressions=[cast(string("[]"), "JSON")])


def within_group(node: exp.WithinGroup) -> Expression:
    if isinstance(node.this, exp.ArrayAgg) and not isinstance(node.parent, exp.Window):
        return exp.Coalesce(this=call("to_json", node), expressions=[cast(string("[]"), "JSON")])
    return node


def listagg(node: exp.GroupConcat) -> Expression:
    """LISTAGG of nothing is an empty text."""
    return node if isinstance(node.parent, exp.Window) else exp.Coalesce(this=node, expressions=[string("")])


def sum_rule(node: exp.Sum) -> Expression:
    value = scalar(node.this)
    if value is not node.this:
        node.set("this", cast(value, "DOUBLE"))
    return node
