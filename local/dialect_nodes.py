"""Small builders of sqlglot nodes, and questions about them, that the dialect's rules share."""

from __future__ import annotations

from sqlglot import Expr as Expression
from sqlglot import exp


def sf(name: str, *arguments: Expression) -> exp.Anonymous:
    """A call of one of our macros."""
    return exp.Anonymous(this=f"_sf.{name}", expressions=list(arguments))


def call(name: str, *arguments: Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(node: Expression, kind: str, safe: bool = False) -> exp.Cast:
    return (exp.TryCast if safe else exp.Cast)(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def string(text: str) -> exp.Literal:
    return exp.Literal.string(text)


def is_text(node: Expression | None) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def plain(node: Expression) -> Expression:
    """The node without the parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def scalar(node: Expression) -> Expression:
    """A value out of a VARIANT as text without quotes, where the place asks for a scalar; anything else as it is.

    docs.snowflake.com/en/user-guide/querying-semistructured
    """
    inner = plain(node)
    if isinstance(inner, exp.JSONExtract):
        return exp.Paren(this=exp.JSONExtractScalar(this=inner.this, expression=inner.expression))
    if is_sf(inner, "at", "at_path"):
        return sf("text", inner)
    return node


def is_sf(node: Expression, *names: str) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).removeprefix("_sf.") in names and str(node.this).startswith("_sf.")
