"""Snowflake's functions, operators and types as DuckDB's, on sqlglot trees.

sqlglot translates most of them; here is what it leaves or gets wrong for an engine whose VARIANT, ARRAY and OBJECT are JSON.
`translate` walks a tree once, children before parents, and replaces a node by what the rule for its class gives.
Reasons stand with the rules; function pages: docs.snowflake.com/en/sql-reference/functions/<name>.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_errors import unknown_function, unsupported

Rule = Callable[[Expression], Expression]
Type = exp.DataType.Type

# --- small builders


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


# --- types and casts

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


# --- arithmetic and comparison


def number(node: Expression) -> Expression:
    """Text where a number is wanted becomes one (constants and VARIANT values; a VARCHAR column must be cast)."""
    inner = plain(node)
    if is_text(inner):
        return cast(inner, "DECIMAL(38, 6)" if "." in inner.name else "BIGINT")
    value = scalar(node)
    return cast(value, "DOUBLE") if value is not node else node


def arithmetic(node: exp.Binary) -> Expression:
    if not isinstance(node.parent, exp.Interval) and not any(isinstance(side, exp.Interval) for side in (node.this, node.expression)):
        for side in ("this", "expression"):
            value = node.args[side]
            changed = number(value)
            if changed is not value:
                node.set(side, changed)
    return node


def division(node: exp.Div) -> Expression:
    arithmetic(node)
    return sf("div", node.this, node.expression)


SIDES = ("this", "expression", "low", "high")


def comparison(node: Expression) -> Expression:
    """VARIANT against a scalar compares the scalar inside; against a number, as a number."""
    sides = [node.args[side] for side in SIDES if isinstance(node.args.get(side), Expression)] + list(node.args.get("expressions") or [])
    numeric = any(is_number(value) for value in sides)
    for side in SIDES:
        if isinstance(value := node.args.get(side), Expression):
            changed = scalar(value)
            if changed is not value:
                node.set(side, cast(changed, "DOUBLE") if numeric else changed)
    return node


def is_number(node: Expression) -> bool:
    inner = plain(node)
    inner = inner.this if isinstance(inner, exp.Neg) else inner
    return isinstance(inner, exp.Literal) and not inner.is_string


def like_list(node: Expression) -> Expression:
    """x LIKE ANY (…) / ALL (…): sqlglot joins the parts by OR without parentheses, which an AND beside it would split."""
    comparison(node)
    several = node.expression
    if not isinstance(several, (exp.Any, exp.All)):
        return node
    patterns = several.this.expressions if isinstance(several.this, exp.Tuple) else [plain(several.this)]
    parts = [type(node)(this=node.this.copy(), expression=p.copy()) for p in patterns]
    return exp.Paren(this=(exp.or_ if isinstance(several, exp.Any) else exp.and_)(*parts))


def text_arguments(node: Expression) -> Expression:
    """Text functions take a VARIANT as its text."""
    value = scalar(node.this)
    if value is not node.this:
        node.set("this", value)
    return node


def concatenation(node: exp.DPipe) -> Expression:
    """|| and CONCAT write numbers, dates and VARIANT as ::VARCHAR does, and are NULL if a part is."""
    for side in ("this", "expression"):
        value = node.args[side]
        if not (is_text(value) or isinstance(value, (exp.DPipe, exp.Null)) or is_sf(value, "text")):
            node.set(side, sf("text", value))
    return node


def concat(node: exp.Concat) -> Expression:
    parts = [p if is_text(p) or isinstance(p, exp.Null) else sf("text", p) for p in node.expressions]
    joined = parts[0]
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return exp.Paren(this=joined)


def truth(node: exp.Binary) -> Expression:
    """BOOLAND, BOOLOR, BOOLXOR: sqlglot rounds the arguments, which DuckDB refuses for Booleans."""
    left, right = sf("to_boolean", node.this), sf("to_boolean", node.expression)
    if isinstance(node, exp.Booland):
        return exp.Paren(this=exp.And(this=left, expression=right))
    if isinstance(node, exp.Boolor):
        return exp.Paren(this=exp.Or(this=left, expression=right))
    return exp.Paren(this=exp.NEQ(this=left, expression=right))


# --- dates


def date_add(node: exp.DateAdd) -> Expression:
    """Whole days added to a DATE leave a DATE; nanoseconds are cut to microseconds."""
    unit = (node.unit.name if node.unit else "DAY").upper()
    if unit.startswith("NANOSECOND"):
        node = exp.DateAdd(this=node.this, expression=exp.IntDiv(this=node.expression, expression=exp.Literal.number(1000)), unit=exp.var("MICROSECOND"))
    if unit.rstrip("S") in ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR") and not is_text(node.this):
        return sf("as_before", node.this.copy(), node)
    return node


def date_diff(node: exp.DateDiff) -> Expression:
    for side in ("this", "expression"):
        if is_text(value := node.args[side]):
            node.set(side, cast(value, "TIMESTAMP"))
    if (node.unit.name if node.unit else "").upper().startswith("NANOSECOND"):
        node.set("unit", exp.var("MICROSECOND"))
        return exp.Mul(this=node, expression=exp.Literal.number(1000))
    return node


def date_trunc(node: Expression) -> Expression:
    """A truncated DATE is a DATE."""
    value = cast(node.this, "TIMESTAMP") if is_text(node.this) else node.this
    unit = node.args["unit"].name.lower()
    return sf("as_before", value.copy(), call("date_trunc", string({"weekiso": "week"}.get(unit, unit)), value))


def now(node: exp.CurrentTimestamp) -> Expression:
    return sf("utc_now") if node.args.get("sysdate") else sf("now")


def variable(name: str) -> Rule:
    """A fact of the session: set by the cursor before the statement, so that a view asks anew each time."""
    return lambda _: cast(call("getvariable", string(f"sf_{name}")), "VARCHAR")


# --- aggregates and windows


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
    function = node.this
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


# --- semi-structured


def member(key: Expression, value: Expression, keep_null: bool) -> Expression:
    """One "key":value of an object as text; NULL, which drops it, for a NULL value."""
    text = cast(sf("variant", value), "VARCHAR")
    text = exp.Coalesce(this=text, expressions=[string("null")]) if keep_null else text
    if isinstance(key, (exp.Literal, exp.Identifier)):
        escaped = key.name.replace("\\", "\\\\").replace('"', '\\"')
        return exp.DPipe(this=string(f'"{escaped}":'), expression=text)
    label = exp.DPipe(this=cast(call("to_json", cast(key, "VARCHAR")), "VARCHAR"), expression=string(":"))
    return exp.DPipe(this=label, expression=text)


def object_of(pairs: list[tuple[Expression, Expression]], keep_null: bool) -> Expression:
    """Keys in alphabetical order, as Snowflake shows them."""
    if all(isinstance(key, (exp.Literal, exp.Identifier)) for key, _ in pairs):
        pairs = sorted(pairs, key=lambda pair: pair[0].name)
    members = [member(key, value, keep_null) for key, value in pairs]
    return sf("object_text", cast(exp.Array(expressions=members), "VARCHAR[]"))


def struct(node: exp.Struct) -> Expression:
    return object_of([(p.this, p.expression) for p in node.expressions], keep_null=False)


def star_object(star: Expression, keep_null: bool) -> Expression:
    """OBJECT_CONSTRUCT(*)"""
    table = star.args.get("table") if isinstance(star, exp.Column) else None
    packed = exp.Column(this=table.copy()) if table is not None else call("struct_pack", exp.var("*COLUMNS(*)"))
    whole = call("to_json", packed)
    return whole if keep_null else call("json_merge_patch", cast(string("{}"), "JSON"), whole)


def json_object(node: exp.JSONObject) -> Expression:
    pairs = node.expressions
    if len(pairs) == 1 and pairs[0].is_star:
        return star_object(pairs[0], keep_null=True)
    return object_of([(p.this, p.expression) for p in pairs], keep_null=True)


def parse_json(node: exp.ParseJSON) -> Expression:
    """Empty text is NULL; TRY_PARSE_JSON gives NULL for what is no JSON."""
    text = call("nullif", node.this if is_text(node.this) else sf("text", node.this), string(""))
    if node.args.get("safe"):
        return exp.Case(ifs=[exp.If(this=call("json_valid", text), true=call("json", text.copy()))])
    return call("json", text)


def bracket(node: exp.Bracket) -> Expression:
    """a['x'], a[0], a[b]: docs.snowflake.com/en/user-guide/querying-semistructured"""
    key = node.expressions[0]
    if isinstance(key, exp.Literal):
        escaped = key.name.replace('"', '\\"')
        path = f'$."{escaped}"' if key.is_string else f"$[{key.name}]"
        return exp.Paren(this=exp.JSONExtract(this=node.this, expression=string(path)))
    return sf("at", node.this, key)


def json_path(node: exp.JSONExtract) -> Expression:
    """a:b.c; DuckDB's arrow binds weaker than its other operators."""
    return node if isinstance(node.parent, exp.Paren) else exp.Paren(this=node)


def flatten_table(node: Expression) -> Expression:
    """LATERAL FLATTEN(input => …, path => …, outer => …) and TABLE(FLATTEN(…)); not recursive, no mode."""
    exploded = node.this
    if not isinstance(exploded, exp.Explode):
        return node
    arguments: dict[str, Expression] = {}
    for argument in [exploded.this, *exploded.expressions]:
        if isinstance(argument, exp.Kwarg):
            arguments[argument.this.name.upper()] = argument.expression
        else:
            arguments.setdefault("INPUT", argument)
    if extra := set(arguments) - {"INPUT", "PATH", "OUTER"}:
        raise unsupported(f"FLATTEN with {', '.join(sorted(extra))}")
    value = plain(arguments["INPUT"]) if isinstance(arguments["INPUT"], exp.Paren) else arguments["INPUT"]
    if "PATH" in arguments:
        value = sf("at_path", value, arguments["PATH"])
    return exp.Table(this=sf("flatten", value, arguments.get("OUTER", exp.false())), alias=node.args.get("alias"))


# --- the rules by class, and by name for what sqlglot knows no class for


def macro(name: str, *keys: str) -> Rule:
    """A call of our macro with these parts of the node, in this order."""
    return lambda node: sf(name, *[node.args[key] for key in keys])


def python(name: str, *keys: str) -> Rule:
    return lambda node: call(name, *[node.args[key] for key in keys])


def sha2(node: exp.SHA2) -> Expression:
    length = node.args.get("length")
    return node if length is None or length.name in ("0", "256") else call("sf_sha2", sf("text", node.this), length)


def regexp_replace(node: exp.RegexpReplace) -> Expression:
    """A replacement may stand for one occurrence, from a position, with parameters; without these sqlglot's is right."""
    text_arguments(node)
    position, occurrence = node.args.get("position"), node.args.get("occurrence")
    if all(a is None or a.name == default for a, default in ((position, "1"), (occurrence, "0"))):
        return node
    empty, one, every = string(""), exp.Literal.number(1), exp.Literal.number(0)
    given = [node.this, node.expression, node.args.get("replacement") or empty, position or one, occurrence or every]
    return call("sf_regexp_replace", *given, node.args.get("modifiers") or string("c"))


def regexp_extract(node: exp.RegexpExtract) -> Expression:
    """REGEXP_SUBSTR that finds nothing is NULL; DuckDB gives an empty text."""
    return call("nullif", text_arguments(node).copy(), string(""))


def pow_rule(node: exp.Pow) -> Expression:
    if isinstance(node.expression, exp.Literal) and node.expression.name == "2" and not node.expression.is_string:
        return exp.Paren(this=exp.Mul(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.this.copy())))
    return node


RULES: dict[type[Expression], Rule] = {
    exp.Cast: cast_rule,
    exp.TryCast: cast_rule,
    exp.ToNumber: to_number,
    exp.ToChar: to_char,
    exp.ToBoolean: lambda n: sf("try_to_boolean" if n.args.get("safe") else "to_boolean", scalar(n.this)),
    exp.UnixToTime: unix_to_time,
    exp.Add: arithmetic,
    exp.Sub: arithmetic,
    exp.Mul: arithmetic,
    exp.Mod: arithmetic,
    exp.Div: division,
    exp.DPipe: concatenation,
    exp.Concat: concat,
    exp.Booland: truth,
    exp.Boolor: truth,
    exp.Xor: truth,
    exp.DateAdd: date_add,
    exp.DateDiff: date_diff,
    exp.DateTrunc: date_trunc,
    exp.TimestampTrunc: date_trunc,
    exp.CurrentTimestamp: now,
    exp.CurrentDate: lambda _: sf("today"),
    exp.Localtimestamp: lambda _: sf("utc_now"),
    exp.Localtime: lambda _: cast(sf("utc_now"), "TIME"),
    exp.CurrentTime: lambda _: cast(sf("utc_now"), "TIME"),
    exp.CurrentUser: variable("user"),
    exp.CurrentRole: variable("role"),
    exp.CurrentAccount: variable("account"),
    exp.CurrentAccountName: variable("account"),
    exp.CurrentOrganizationName: lambda _: string("LOCAL"),
    exp.CurrentRegion: lambda _: string("LOCAL"),
    exp.CurrentDatabase: variable("database"),
    exp.CurrentSchema: variable("schema"),
    exp.CurrentWarehouse: variable("warehouse"),
    exp.CurrentSession: variable("session"),
    exp.CurrentClient: lambda _: string("PythonConnector"),
    exp.CurrentVersion: lambda _: string("9.36.0"),
    exp.Avg: average,
    exp.Window: window,
    exp.ArrayAgg: list_aggregate,
    exp.ArrayUniqueAgg: list_aggregate,
    exp.WithinGroup: within_group,
    exp.GroupConcat: listagg,
    exp.Sum: sum_rule,
    exp.ObjectAgg: lambda n: call("json_group_object", cast(n.this, "VARCHAR"), sf("variant", n.expression)),
    exp.Struct: struct,
    exp.JSONObject: json_object,
    exp.StarMap: lambda n: star_object(n.this, keep_null=False),
    exp.Array: lambda n: call("json_array", *n.expressions),
    exp.ArrayConstructCompact: lambda n: sf("array_compact", call("json_array", *n.expressions)),
    exp.ParseJSON: parse_json,
    exp.JSONFormat: lambda n: cast(sf("variant", n.this), "VARCHAR"),
    exp.JSONKeys: macro("object_keys", "this"),
    exp.ToVariant: macro("variant", "this"),
    exp.ToArray: macro("to_array", "this"),
    exp.Typeof: macro("type_of", "this"),
    exp.Bracket: bracket,
    exp.JSONExtract: json_path,
    exp.GetExtract: macro("at", "this", "expression"),
    exp.IsNullValue: macro("is_null_value", "this"),
    exp.StripNullValue: macro("strip_null_value", "this"),
    exp.ArraySize: macro("array_size", "this"),
    exp.ArrayContains: macro("array_contains", "expression", "this"),
    exp.ArrayAppend: macro("array_append", "this", "expression"),
    exp.ArrayPrepend: macro("array_prepend", "this", "expression"),
    exp.ArrayCompact: macro("array_compact", "this"),
    exp.ArrayDistinct: macro("array_distinct", "this"),
    exp.ArrayPosition: macro("array_position", "expression", "this"),
    exp.ArraySlice: macro("array_slice", "this", "start", "end"),
    exp.ArrayInsert: macro("array_insert", "this", "position", "expression"),
    exp.ArrayExcept: macro("array_except", "this", "expression"),
    exp.ArrayOverlaps: macro("arrays_overlap", "this", "expression"),
    exp.ArrayToString: macro("array_to_string", "this", "expression"),
    exp.ArrayMax: macro("array_max", "this"),
    exp.ArrayMin: macro("array_min", "this"),
    exp.SortArray: macro("array_sort", "this"),
    exp.Flatten: macro("array_flatten", "this"),
    exp.Lateral: flatten_table,
    exp.TableFromRows: flatten_table,
    exp.Split: lambda n: call("to_json", n),
    exp.RegexpReplace: regexp_replace,
    exp.RegexpExtract: regexp_extract,
    exp.RegexpLike: comparison,
    exp.SHA2: sha2,
    exp.MD5NumberLower64: lambda n: call("sf_md5_half", sf("text", n.this), string("lower")),
    exp.MD5NumberUpper64: lambda n: call("sf_md5_half", sf("text", n.this), string("upper")),
    exp.Soundex: python("sf_soundex", "this"),
    exp.ParseUrl: lambda n: call("json", call("sf_parse_url", n.this)),
    exp.ByteLength: lambda n: call("strlen", sf("text", n.this)),
    exp.WidthBucket: macro("width_bucket", "this", "min_value", "max_value", "num_buckets"),
    exp.ToBinary: lambda n: n if n.args.get("format") else call("unhex", n.this),
    exp.Pow: pow_rule,
    exp.Like: like_list,
    exp.ILike: like_list,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.NullSafeEQ, exp.NullSafeNEQ), comparison),
    **dict.fromkeys((exp.Upper, exp.Lower, exp.Trim, exp.Length, exp.Replace, exp.SplitPart, exp.Left, exp.Right, exp.Substring), text_arguments),
}  # fmt: skip
# Not every release of sqlglot has a class for these.
for name, parts in {"ArrayConcat": "array_cat", "ArrayIntersect": "array_intersection"}.items():
    if kind := getattr(exp, name, None):
        RULES[kind] = lambda n, target=parts: sf(target, *([n.this] if n.args.get("this") else []), *n.expressions)

if kind := getattr(exp, "HashAgg", None):
    RULES[kind] = lambda n: NAMED["HASH_AGG"]("HASH_AGG", [n.this, *n.expressions])

KINDS = {
    "ARRAY": ["ARRAY"], "BOOLEAN": ["BOOLEAN"], "OBJECT": ["OBJECT"], "NULL_VALUE": ["NULL"],
    "CHAR": ["VARCHAR"], "VARCHAR": ["VARCHAR"], "DOUBLE": ["DOUBLE", "BIGINT", "UBIGINT"], "REAL": ["DOUBLE", "BIGINT", "UBIGINT"],
    "DECIMAL": ["BIGINT", "UBIGINT", "DOUBLE"], "INTEGER": ["BIGINT", "UBIGINT"],
}  # fmt: skip
AS_TYPES = {"CHAR": "VARCHAR", "VARCHAR": "VARCHAR", "DOUBLE": "DOUBLE", "REAL": "DOUBLE", "INTEGER": "BIGINT", "BOOLEAN": "BOOLEAN", "DECIMAL": "DECIMAL(38, 0)"}  # fmt: skip


def variant_test(name: str, arguments: list[Expression]) -> Expression | None:
    """IS_<type>(variant) and AS_<type>(variant)"""
    verb, _, kind = name.partition("_")
    if verb not in ("IS", "AS") or kind not in KINDS:
        return None
    kinds = cast(exp.Array(expressions=[string(k) for k in KINDS[kind]]), "VARCHAR[]")
    if verb == "IS":
        return sf("is_kind", arguments[0], kinds)
    picked = sf("as_kind", arguments[0], kinds)
    return cast(sf("text", picked), AS_TYPES[kind]) if kind in AS_TYPES else picked


def hash_rule(_: str, arguments: list[Expression]) -> Expression:
    """Signed 64 bits. The value differs from Snowflake's; that it is one value for equal input does not."""
    if arguments[0].is_star:
        return sf("signed", call("hash", exp.var("*COLUMNS(*)")))
    return sf("signed", call("hash", *[sf("hashable", a) for a in arguments]))


def object_delete(_: str, arguments: list[Expression]) -> Expression:
    nulls = [member(key, exp.Null(), keep_null=True) for key in arguments[1:]]
    return call("json_merge_patch", sf("variant", arguments[0]), sf("object_text", cast(exp.Array(expressions=nulls), "VARCHAR[]")))


def object_insert(node: exp.ObjectInsert) -> Expression:
    added = sf("object_text", cast(exp.Array(expressions=[member(node.args["key"], node.args["value"], False)]), "VARCHAR[]"))
    return call("json_merge_patch", sf("variant", node.this), added)


RULES[exp.ObjectInsert] = object_insert

NAMED: dict[str, Callable[[str, list[Expression]], Expression | None]] = {
    "HASH": hash_rule,
    "HASH_AGG": lambda n, a: sf("signed", call("bit_xor", call("hash", *[exp.var("*COLUMNS(*)") if x.is_star else sf("hashable", x) for x in a]))),
    "OBJECT_DELETE": object_delete,
    "TO_OBJECT": lambda n, a: sf("variant", a[0]),
    "TO_DATE": lambda n, a: cast(scalar(a[0]), "DATE"),
    "TRY_TO_DATE": lambda n, a: cast(scalar(a[0]), "DATE", safe=True),
    "SYSTEM$TYPEOF": lambda n, a: call("typeof", a[0]),
    "LAST_QUERY_ID": lambda n, a: cast(call("getvariable", string("sf_last_query_id")), "VARCHAR"),
    **dict.fromkeys(
        [f"{t}TO_TIMESTAMP{z}" for t in ("", "TRY_") for z in ("", "_NTZ", "_LTZ", "_TZ")], timestamp_function
    ),
    **{f"{verb}_{kind}": variant_test for verb in ("IS", "AS") for kind in KINDS},
}  # fmt: skip

# Names without a class of sqlglot's that mean the same in DuckDB.
SHARED = {"DENSE_RANK", "RANK", "NTILE", "CUME_DIST", "PERCENT_RANK", "ROW_NUMBER", "NEXTVAL", "BIT_LENGTH", "OCTET_LENGTH", "UNICODE", "FACTORIAL",
          "RATIO_TO_REPORT", "CONDITIONAL_CHANGE_EVENT", "CONDITIONAL_TRUE_EVENT", "ISNAN", "SKEW", "KURTOSIS", "IDENTIFIER", "REGR_SLOPE"}  # fmt: skip

Resolve = Callable[[tuple[str, ...]], str | None]


def user_function(node: exp.Dot, resolve: Resolve) -> Expression:
    """schema.function(…) and database.schema.function(…) by the account's registry."""
    parts: list[str] = []
    place: Expression = node
    while isinstance(place, exp.Dot):
        parts.insert(0, place.expression.name)
        place = place.this
    parts.insert(0, place.name)
    function = node.expression
    folded = tuple(part.upper() for part in parts)
    found = resolve(folded)
    if found is None:
        raise unknown_function(".".join(folded))
    return call(found, *function.expressions)


def anonymous(node: exp.Anonymous, resolve: Resolve) -> Expression:
    name = str(node.this).upper()
    if name.startswith("_SF.") or isinstance(node.parent, exp.Dot):
        return node
    if rule := NAMED.get(name):
        made = rule(name, node.expressions)
        if made is not None:
            return made
    if name in SHARED or name.startswith("_FS_"):
        return node
    if found := resolve((name,)):
        return call(found, *node.expressions)
    if isinstance(node.parent, (exp.Table, exp.TableFromRows)):
        return node  # a table function: see dialect_tables
    raise unknown_function(name)


def translate(tree: Expression, resolve: Resolve) -> Expression:
    """The whole tree with every rule applied once, children before parents."""
    for node in reversed(list(tree.walk(bfs=False))):
        # A rule may put the node inside what it makes, so its place is noted first.
        parent, key, index = node.parent, node.arg_key, node.index
        if isinstance(node, exp.Anonymous):
            made = anonymous(node, resolve)
        elif isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
            made = user_function(node, resolve)
        elif rule := RULES.get(type(node)):
            made = rule(node)
        else:
            continue
        if made is node:
            continue
        if parent is None:
            tree = made
        else:
            parent.set(key, made, index)
    return tree
