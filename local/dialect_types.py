"""Types and casts: Snowflake's as DuckDB's. docs.snowflake.com/en/sql-reference/data-type-conversion"""

from __future__ import annotations

import re

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_errors import unsupported
from local.dialect_nodes import call, cast, is_text, scalar, sf, string

Type = exp.DataType.Type

TYPES = {
    Type.INT: "BIGINT",
    Type.SMALLINT: "BIGINT",
    Type.TINYINT: "BIGINT",
    Type.BIGINT: "BIGINT",
    Type.FLOAT: "DOUBLE",
    Type.DOUBLE: "DOUBLE",
    Type.VARIANT: "JSON",
    Type.OBJECT: "JSON",
    Type.ARRAY: "JSON",
    Type.TIMESTAMP: "TIMESTAMP",
    Type.TIMESTAMPNTZ: "TIMESTAMP",
    Type.DATETIME: "TIMESTAMP",
    Type.TIMESTAMPTZ: "TIMESTAMPTZ",
    Type.TIMESTAMPLTZ: "TIMESTAMPTZ",
    Type.BINARY: "BLOB",
    Type.VARBINARY: "BLOB",
    Type.CHAR: "VARCHAR",
    Type.NCHAR: "VARCHAR",
    Type.NVARCHAR: "VARCHAR",
    Type.VARCHAR: "VARCHAR",
    Type.TEXT: "VARCHAR",
}
TEXTS = {Type.CHAR, Type.NCHAR, Type.NVARCHAR, Type.VARCHAR, Type.TEXT}


def duck_type(kind: exp.DataType) -> exp.DataType:
    """NUMBER(38, 0) is a BIGINT, so that clients get integers and sums stay fast: a NUMBER beyond 64 bits is an error here."""
    if kind.this == Type.DECIMAL:
        sizes = [p.name for p in kind.expressions]
        if not sizes or sizes in (["38"], ["38", "0"]):
            return exp.DataType.build("BIGINT", dialect="duckdb")
        return kind
    if name := TYPES.get(kind.this):
        return exp.DataType.build(name, dialect="duckdb")
    return kind


def to_number_type(precision: Expression | None, scale: Expression | None) -> str:
    digits = precision.name if precision else "38"
    decimals = scale.name if scale else "0"
    return "BIGINT" if (digits, decimals) == ("38", "0") else f"DECIMAL({digits}, {decimals})"


SIMPLE_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")


def cast_rule(node: exp.Cast) -> Expression:
    """docs.snowflake.com/en/sql-reference/data-type-conversion"""
    safe, value, kind = isinstance(node, exp.TryCast), scalar(node.this), node.to
    if kind.this in TEXTS:
        text = value if is_text(value) else sf("text", value)
        # An explicit cast to a shorter text cuts it.
        return call("left", text, kind.expressions[0].this) if kind.expressions else text
    if kind.this in (Type.VARIANT, Type.OBJECT):
        return sf("variant", node.this)
    if kind.this == Type.ARRAY:
        return sf("to_array", node.this)
    target = duck_type(kind)
    if target.this == Type.BOOLEAN:
        return value if isinstance(value, exp.Boolean) else sf("try_to_boolean" if safe else "to_boolean", value)
    if target.this == Type.TIMESTAMP and not isinstance(value, exp.Null):
        if not (is_text(value) and SIMPLE_TIMESTAMP.fullmatch(value.name)):
            return sf("try_to_timestamp" if safe else "to_timestamp", value)
    if target.this == Type.TIMESTAMPTZ and is_text(value):
        # DuckDB reads an offset after a space as the name of a time zone.
        value = string(re.sub(r"(\d)\s+([+-]\d{2}:?(?:\d{2})?|Z)$", r"\1\2", value.name))
    return (exp.TryCast if safe else exp.Cast)(this=value, to=target)


def to_number(node: exp.ToNumber) -> Expression:
    """to_decimal, try_to_decimal: a format may stand in the second place."""
    safe, picture = bool(node.args.get("safe")), node.args.get("format")
    precision, scale, value = node.args.get("precision"), node.args.get("scale"), scalar(node.this)
    if picture is not None and not is_text(picture):
        picture, precision, scale = None, picture, precision
    if picture is not None:
        value = call("sf_text_number", sf("text", value), picture)
    elif not is_text(value):
        value = sf("text", value)
    return cast(value, to_number_type(precision, scale), safe)


# Snowflake's elements of a date or time, longest first, and strftime's.
FORMAT = {
    "YYYY": "%Y", "MMMM": "%B", "HH24": "%H", "HH12": "%I", "MON": "%b", "FF9": "%n", "FF6": "%f", "FF3": "%g", "TZH:TZM": "%z",
    "TZHTZM": "%z", "FF": "%n", "YY": "%y", "MM": "%m", "DD": "%d", "DY": "%a", "MI": "%M", "SS": "%S", "AM": "%p", "PM": "%p",
}  # fmt: skip
ELEMENT = re.compile("|".join(FORMAT) + r'|"[^"]*"', re.IGNORECASE)


def strftime_format(picture: str) -> str:
    """docs.snowflake.com/en/sql-reference/date-time-input-output (formats)

    >>> strftime_format("YYYY-MM-DD HH24:MI:SS.FF3")
    '%Y-%m-%d %H:%M:%S.%g'
    """
    return ELEMENT.sub(lambda m: FORMAT.get(m[0].upper()) or m[0].strip('"'), picture.replace("%", "%%"))


def to_char(node: exp.ToChar) -> Expression:
    """to_char / to_varchar: the format says whether a number or a time is meant."""
    picture = node.args.get("format")
    if picture is None:
        return sf("text", node.this)
    if not is_text(picture):
        raise unsupported("to_char with a format that is not a constant")
    if re.fullmatch(r"[\s0-9,.$SMIFXTE-]*", picture.name.upper()) and re.search(r"[09]", picture.name):
        return call("sf_number_text", sf("text", node.this), picture)
    return call("strftime", sf("to_timestamp", scalar(node.this)), string(strftime_format(picture.name)))


def unix_to_time(node: exp.UnixToTime) -> Expression:
    scale = node.args.get("scale")
    return sf("scaled_timestamp", node.this, scale) if scale else sf("to_timestamp", node.this)


def timestamp_function(name: str, arguments: list[Expression]) -> Expression:
    """[TRY_]TO_TIMESTAMP[_NTZ|_LTZ|_TZ](value [, format or scale])"""
    safe = name.startswith("TRY_")
    if len(arguments) > 1 and is_text(arguments[1]):
        made: Expression = call("try_strptime" if safe else "strptime", arguments[0], string(strftime_format(arguments[1].name)))
        made = cast(made, "TIMESTAMP")
    elif len(arguments) > 1:
        made = sf("scaled_timestamp", *arguments)
    else:
        made = sf("try_to_timestamp" if safe else "to_timestamp", scalar(arguments[0]))
    return cast(made, "TIMESTAMPTZ") if name.endswith(("_LTZ", "_TZ")) else made
