"""Snowflake's functions and operators as DuckDB's, on sqlglot trees.

sqlglot translates most of them; here is what it leaves or gets wrong for an engine whose VARIANT, ARRAY and OBJECT are JSON.
`translate` walks a tree once, children before parents, and replaces a node by what the rule for its class gives.
Reasons stand with the rules; function pages: docs.snowflake.com/en/sql-reference/functions/<name>.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_aggregates import average, list_aggregate, listagg, sum_rule, window, within_group
from local.dialect_errors import unknown_function
from local.dialect_nodes import call, cast, is_sf, is_text, plain, scalar, sf, string
from local.dialect_semistructured import (
    KINDS,
    bracket,
    flatten_table,
    json_object,
    json_path,
    object_delete,
    object_insert,
    parse_json,
    star_object,
    struct,
    variant_test,
)  # fmt: skip
from local.dialect_types import cast_rule, timestamp_function, to_char, to_number, unix_to_time

Rule = Callable[[Expression], Expression]

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

def hash_rule(_: str, arguments: list[Expression]) -> Expression:
    """Signed 64 bits. The value differs from Snowflake's; that it is one value for equal input does not."""
    if arguments[0].is_star:
        return sf("signed", call("hash", exp.var("*COLUMNS(*)")))
    return sf("signed", call("hash", *[sf("hashable", a) for a in arguments]))


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
