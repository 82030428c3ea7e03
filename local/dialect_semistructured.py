"""VARIANT, ARRAY and OBJECT, which are JSON here: docs.snowflake.com/en/sql-reference/functions-semistructured"""

from __future__ import annotations

from sqlglot import Expr as Expression
from sqlglot import exp

from local.dialect_errors import unsupported
from local.dialect_nodes import call, cast, is_text, plain, sf, string


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


def object_delete(_: str, arguments: list[Expression]) -> Expression:
    nulls = [member(key, exp.Null(), keep_null=True) for key in arguments[1:]]
    return call("json_merge_patch", sf("variant", arguments[0]), sf("object_text", cast(exp.Array(expressions=nulls), "VARCHAR[]")))


def object_insert(node: exp.ObjectInsert) -> Expression:
    """docs.snowflake.com/en/sql-reference/functions/object_insert; an empty text stands for SQL NULL, which leaves the pair out."""
    held, key, value = cast(node.this, "VARCHAR"), node.args["key"], node.args["value"]  # an object is JSON here as it is
    texts = [exp.Coalesce(this=text, expressions=[string("")]) for text in (key, cast(sf("variant", value), "VARCHAR"))]
    updates = exp.Coalesce(this=node.args.get("update_flag") or exp.false(), expressions=[exp.false()])
    return cast(call("sf_object_insert", held, *texts, updates), "JSON")
