"""Functions that Snowflake has and DuckDB lacks or means differently: macros in the database `_sf`, and a few in Python.

The database lives in memory and is filled at each start, so that a function mended here is mended for existing accounts.
Views and column defaults keep the call (`_sf.div(a, b)`), not the body.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
from fakesnow import macros as fakesnow_macros

DATABASE = "_sf"

# typeof() of a macro's argument is known when the statement is bound: the branches that do not apply cost nothing.
# A macro may call only those before it.
MACROS = {
    # NUMBER / NUMBER is a NUMBER with at least six decimals, and dividing by zero is an error.
    # docs.snowflake.com/en/sql-reference/operators-arithmetic (division)
    "div(a, b)": "cast_to_type(CASE WHEN b = 0 THEN error('Division by zero') ELSE a / b END,"
    " coalesce(a * 1.000000::DECIMAL(38, 6), b, NULL::DECIMAL(38, 6)))",
    # docs.snowflake.com/en/sql-reference/functions/avg
    "average(mean, example)": "cast_to_type(mean, coalesce(example * 1.000000::DECIMAL(38, 6), NULL::DECIMAL(38, 6)))",
    # What ::VARCHAR gives. docs.snowflake.com/en/sql-reference/functions/to_char
    "text(x)": """CASE
        WHEN typeof(x) = 'VARCHAR' THEN CAST(x AS VARCHAR)
        WHEN typeof(x) = 'JSON' THEN json_extract_string(CAST(x AS VARCHAR), '$')
        WHEN typeof(x) = 'TIMESTAMP' THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%g')
        WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE'
            THEN strftime(TRY_CAST(CAST(x AS VARCHAR) AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%g +0000')
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN regexp_replace(CAST(x AS VARCHAR), '\\.0$', '')
        WHEN typeof(x) = 'BLOB' THEN upper(hex(CAST(x AS VARCHAR)))
        ELSE CAST(x AS VARCHAR) END""",
    # docs.snowflake.com/en/sql-reference/functions/to_timestamp: a number is seconds, milliseconds, … by its size;
    # TIMESTAMP_NTZ drops an offset without applying it
    "micros(n)": """CASE
        WHEN abs(n) < 31536000000 THEN n * 1000000
        WHEN abs(n) < 31536000000000 THEN n * 1000
        WHEN abs(n) < 31536000000000000 THEN n
        ELSE n // 1000 END""",
    "bare_time(t)": "regexp_replace(t, '(:[0-9]{2}(?:\\.[0-9]{1,6})?)[0-9]{0,3} ?(?:Z|[+-][0-9]{2}:?(?:[0-9]{2})?)?$', '\\1')",
    # The usual form is told by its length and signs, without the regular expressions that the others need.
    "is_plain_time(t)": "t LIKE '____-__-__ __:__:__'",
    "timestamp_text(t)": """CASE
        WHEN t IS NULL THEN NULL
        WHEN _sf.is_plain_time(t) THEN CAST(t AS TIMESTAMP)
        WHEN regexp_full_match(t, '-?[0-9]{1,18}') THEN make_timestamp(_sf.micros(TRY_CAST(t AS BIGINT)))
        ELSE CAST(_sf.bare_time(t) AS TIMESTAMP) END""",
    "try_timestamp_text(t)": """CASE
        WHEN _sf.is_plain_time(t) THEN TRY_CAST(t AS TIMESTAMP)
        WHEN regexp_full_match(t, '-?[0-9]{1,18}') THEN make_timestamp(_sf.micros(TRY_CAST(t AS BIGINT)))
        ELSE TRY_CAST(_sf.bare_time(t) AS TIMESTAMP) END""",
    "to_timestamp(x)": """CASE
        WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP_NS', 'TIMESTAMP WITH TIME ZONE', '"NULL"')
            THEN TRY_CAST(x AS TIMESTAMP)
        ELSE _sf.timestamp_text(_sf.text(x)) END""",
    "try_to_timestamp(x)": """CASE
        WHEN typeof(x) IN ('DATE', 'TIMESTAMP', 'TIMESTAMP_NS', 'TIMESTAMP WITH TIME ZONE', '"NULL"')
            THEN TRY_CAST(x AS TIMESTAMP)
        ELSE _sf.try_timestamp_text(_sf.text(x)) END""",
    "scaled_timestamp(n, scale)": "make_timestamp(CAST(n * power(10, 6 - scale) AS BIGINT))",
    # One time for a whole statement; DuckDB's now() is that of the transaction.
    # docs.snowflake.com/en/sql-reference/functions/current_timestamp
    "now()": "coalesce(CAST(getvariable('sf_now') AS TIMESTAMPTZ), now())",
    "today()": "CAST(_sf.now() AS DATE)",
    "utc_now()": "CAST(_sf.now() AS TIMESTAMP)",
    # docs.snowflake.com/en/sql-reference/functions/hash: signed, 64 bits; numbers that are equal hash alike
    "hashable(x)": """CASE
        WHEN typeof(x) LIKE 'DECIMAL%' AND contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT', 'JSON') THEN _sf.text(x)
        ELSE CAST(x AS VARCHAR) END""",
    "signed(h)": "CAST(CAST(h AS HUGEINT) - 9223372036854775808 AS BIGINT)",
    # docs.snowflake.com/en/sql-reference/functions/to_boolean
    "boolean_text(t)": """CASE
        WHEN lower(t) IN ('true', 't', 'yes', 'y', 'on', '1') THEN TRUE
        WHEN lower(t) IN ('false', 'f', 'no', 'n', 'off', '0') THEN FALSE
        WHEN t IS NULL THEN NULL
        WHEN TRY_CAST(t AS DOUBLE) IS NOT NULL THEN TRY_CAST(t AS DOUBLE) <> 0 END""",
    "to_boolean(x)": """CASE
        WHEN typeof(x) = 'BOOLEAN' THEN TRY_CAST(x AS BOOLEAN)
        WHEN _sf.boolean_text(_sf.text(x)) IS NULL AND _sf.text(x) IS NOT NULL
            THEN error('Boolean value ''' || _sf.text(x) || ''' is not recognized')
        ELSE _sf.boolean_text(_sf.text(x)) END""",
    "try_to_boolean(x)": "_sf.boolean_text(_sf.text(x))",
    # VARIANT, ARRAY and OBJECT are JSON. docs.snowflake.com/en/sql-reference/functions-semistructured
    "variant(x)": "CASE WHEN x IS NULL THEN CAST(NULL AS JSON)"
    " WHEN typeof(x) IN ('TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') THEN to_json(_sf.text(x)) ELSE to_json(x) END",
    "type_of(x)": """CASE json_type(_sf.variant(x))
        WHEN 'UBIGINT' THEN 'INTEGER' WHEN 'BIGINT' THEN 'INTEGER' WHEN 'HUGEINT' THEN 'INTEGER'
        WHEN 'NULL' THEN 'NULL_VALUE' ELSE json_type(_sf.variant(x)) END""",
    "elements(a)": "CAST(CASE WHEN json_type(_sf.variant(a)) = 'ARRAY' THEN _sf.variant(a) END AS JSON[])",
    "to_array(x)": "CASE WHEN json_type(_sf.variant(x)) = 'ARRAY' THEN _sf.variant(x) WHEN x IS NULL THEN NULL"
    " ELSE json_array(x) END",
    "array_size(a)": "len(_sf.elements(a))",
    "array_contains(v, a)": "list_contains(_sf.elements(a), _sf.variant(v))",
    "array_position(v, a)": "CAST(nullif(list_position(_sf.elements(a), _sf.variant(v)), 0) - 1 AS BIGINT)",
    "array_append(a, v)": "to_json(list_append(_sf.elements(a), coalesce(_sf.variant(v), CAST('null' AS JSON))))",
    "array_prepend(a, v)": "to_json(list_prepend(coalesce(_sf.variant(v), CAST('null' AS JSON)), _sf.elements(a)))",
    "array_cat(a, b)": "CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE to_json(list_concat(_sf.elements(a), _sf.elements(b))) END",
    "array_compact(a)": "to_json(list_filter(_sf.elements(a), lambda e: e IS NOT NULL AND json_type(e) <> 'NULL'))",
    "array_distinct(a)": "to_json(list_sort(list_distinct(_sf.elements(a))))",
    "array_sort(a)": "to_json(list_sort(_sf.elements(a)))",
    "array_slice(a, start, stop)": "to_json(list_slice(_sf.elements(a), CASE WHEN start >= 0 THEN start + 1 ELSE start END,"
    " CASE WHEN stop < 0 THEN stop - 1 ELSE stop END))",
    "array_insert(a, position, v)": "to_json(list_concat(list_concat(list_slice(_sf.elements(a), 1, position), [_sf.variant(v)]),"
    " list_slice(_sf.elements(a), position + 1, 999999999)))",
    "array_intersection(a, b)": "to_json(list_filter(_sf.elements(a), lambda e: list_contains(_sf.elements(b), e)))",
    "array_except(a, b)": "to_json(list_filter(_sf.elements(a), lambda e: NOT list_contains(_sf.elements(b), e)))",
    "arrays_overlap(a, b)": "list_has_any(_sf.elements(a), _sf.elements(b))",
    "array_to_string(a, separator)": "coalesce(array_to_string(list_transform(_sf.elements(a),"
    " lambda e: coalesce(json_extract_string(e, '$'), '')), separator), CASE WHEN a IS NOT NULL THEN '' END)",
    "array_max(a)": "list_max(_sf.elements(a))",
    "array_min(a)": "list_min(_sf.elements(a))",
    "array_flatten(a)": "to_json(flatten(list_transform(_sf.elements(a), lambda e: CAST(e AS JSON[]))))",
    "at(container, key)": "json_extract(_sf.variant(container), CASE WHEN typeof(key) IN ('VARCHAR', 'JSON') THEN"
    " '$.\"' || _sf.text(key) || '\"' ELSE '$[' || CAST(key AS VARCHAR) || ']' END)",
    "at_path(container, path)": "json_extract(_sf.variant(container), CASE WHEN path[1] = '[' THEN '$' ELSE '$.' END || path)",
    "object_text(members)": "CAST('{' || coalesce(array_to_string(members, ','), '') || '}' AS JSON)",
    "object_keys(o)": "to_json(json_keys(_sf.variant(o)))",
    "is_null_value(x)": "json_type(_sf.variant(x)) = 'NULL'",
    "strip_null_value(x)": "CASE WHEN json_type(_sf.variant(x)) = 'NULL' THEN NULL ELSE _sf.variant(x) END",
    "is_kind(x, kinds)": "list_contains(kinds, json_type(_sf.variant(x)))",
    "as_kind(x, kinds)": "CASE WHEN list_contains(kinds, json_type(_sf.variant(x))) THEN _sf.variant(x) END",
    # docs.snowflake.com/en/sql-reference/functions/conditional_change_event, over the values seen so far
    "changes(seen)": "CAST(len(list_filter(list_zip(seen, seen[2:]), lambda p: p[1] <> p[2])) AS BIGINT)",
    "width_bucket(x, low, high, buckets)": "CAST(CASE WHEN x < low THEN 0 WHEN x >= high THEN buckets + 1"
    " ELSE floor((x - low) * buckets / (high - low)) + 1 END AS BIGINT)",
    # docs.snowflake.com/en/sql-reference/functions-notification; each gives JSON as text
    "text_plain(t)": "CAST(json_object('text/plain', t) AS VARCHAR)",
    "text_html(t)": "CAST(json_object('text/html', t) AS VARCHAR)",
    "application_json(t)": "CAST(json_object('application/json', t) AS VARCHAR)",
    "integration(name)": "CAST(json_object(CAST(name AS VARCHAR), CAST('{}' AS JSON)) AS VARCHAR)",
    "sanitize_webhook_content(t)": "regexp_replace(t, 'SNOWFLAKE_WEBHOOK_(SECRET|MESSAGE)', 'REDACTED', 'g')",
    # DATE + 1 day is a DATE in Snowflake and a TIMESTAMP in DuckDB: docs.snowflake.com/en/sql-reference/functions/dateadd
    "as_before(x, moved)": "cast_to_type(moved, x)",
}

# docs.snowflake.com/en/sql-reference/functions/flatten
FLATTEN = """
CREATE OR REPLACE MACRO _sf.flatten(input, is_outer) AS TABLE
    SELECT
        CAST(1 AS BIGINT) AS SEQ,
        e.k AS "KEY",
        CASE WHEN e.k IS NOT NULL THEN e.k WHEN e.i IS NOT NULL THEN '[' || e.i || ']' END AS PATH,
        CAST(e.i AS BIGINT) AS "INDEX",
        e.v AS "VALUE",
        _sf.variant(input) AS THIS
    FROM (
        SELECT unnest(
            CASE
                WHEN json_type(_sf.variant(input)) = 'OBJECT' THEN list_transform(
                    json_keys(_sf.variant(input)),
                    lambda x: struct_pack(k := x, i := CAST(NULL AS BIGINT), v := CAST(_sf.variant(input) -> ('$."' || x || '"') AS JSON)))
                WHEN json_type(_sf.variant(input)) = 'ARRAY' AND json_array_length(_sf.variant(input)) > 0 THEN list_transform(
                    CAST(_sf.variant(input) AS JSON[]),
                    lambda x, i: struct_pack(k := CAST(NULL AS VARCHAR), i := i - 1, v := x))
                WHEN is_outer THEN [struct_pack(k := CAST(NULL AS VARCHAR), i := CAST(NULL AS BIGINT), v := CAST(NULL AS JSON))]
            END, recursive := true)
    ) AS e(k, i, v)
"""


def install(duck_conn: duckdb.DuckDBPyConnection) -> None:
    """Create the functions for every session of this DuckDB."""
    duck_conn.execute(f"ATTACH ':memory:' AS {DATABASE}")
    duck_conn.execute(fakesnow_macros.creation_sql(f"{DATABASE}.main"))
    for signature, body in MACROS.items():
        duck_conn.execute(f"CREATE MACRO {DATABASE}.{signature} AS {body}")
    duck_conn.execute(FLATTEN)
    for name, (function, parameters, result) in PYTHON.items():
        duck_conn.create_function(name, function, parameters, result)


# --- in Python: seldom used, and not worth a macro


def regexp_replace(subject: str, pattern: str, replacement: str, position: int, occurrence: int, parameters: str) -> str:
    r"""docs.snowflake.com/en/sql-reference/functions/regexp_replace; occurrence 0 is every one.

    >>> regexp_replace("a1b2", "[0-9]", "#", 1, 2, "c")
    'a1b#'
    """
    seen = 0

    def each(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return match.expand(template) if occurrence in (0, seen) else match[0]

    template = re.sub(r"\\0", r"\\g<0>", replacement)
    head, tail = subject[: position - 1], subject[position - 1 :]
    return head + compiled(pattern, parameters).sub(each, tail)


def compiled(pattern: str, parameters: str) -> re.Pattern[str]:
    """docs.snowflake.com/en/sql-reference/functions-regexp: parameters c, i, m, s."""
    flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
    return re.compile(pattern, sum((flags.get(p, re.RegexFlag(0)) for p in set(parameters)), start=re.RegexFlag(0)))


def sha2(text: str, bits: int) -> str:
    return hashlib.new(f"sha{bits}", text.encode()).hexdigest()


def md5_half(text: str, which: str) -> int:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:] if which == "lower" else digest[:8], "big")


def soundex(text: str) -> str:
    """
    >>> soundex("Robert")
    'R163'
    """
    codes = {c: digit for digit, letters in enumerate(("", "BFPV", "CGJKQSXZ", "DT", "L", "MN", "R")) for c in letters}
    letters = [c for c in text.upper() if c.isalpha()]
    digits, last = [], codes.get(letters[0]) if letters else None
    for c in letters[1:]:
        code = codes.get(c)
        if code and code != last:
            digits.append(str(code))
        last = last if c in "HW" else code
    return (letters[0] + "".join(digits) + "000")[:4] if letters else ""


def parse_url(url: str) -> str:
    """docs.snowflake.com/en/sql-reference/functions/parse_url"""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True)) or None
    found = {"fragment": parts.fragment or None, "host": parts.hostname, "parameters": parameters}
    found |= {"path": unquote(parts.path).lstrip("/"), "port": str(parts.port) if parts.port else None}
    return json.dumps(found | {"query": parts.query or None, "scheme": parts.scheme})


def number_text(number: str, picture: str) -> str:
    """A number by a format of 9, 0, comma and point: docs.snowflake.com/en/sql-reference/sql-format-models

    >>> number_text("1234.5", "9,999.00")
    '1,234.50'
    """
    whole, _, decimals = picture.upper().removeprefix("FM").partition(".")
    value = f"{float(number):{',' if ',' in whole else ''}.{len(decimals)}f}"
    return value.zfill(len(whole)) if whole.startswith("0") else value


def text_number(text: str, picture: str) -> str | None:
    """The digits of a number written with separators, or None where the text does not follow the format.

    >>> text_number("1,234.50", "9,999.99"), text_number("1,234.50", "9999.99")
    ('1234.50', None)
    """
    if not re.fullmatch(r"\s*[-+]?[\d,]*(\.\d*)?\s*", text) or ("," in text and "," not in picture):
        return None
    return text.replace(",", "").strip() or None


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value as it is written: a number keeps all its digits.

    >>> members('{"a": 1.50, "b": {"c": null}}')
    {'a': '1.50', 'b': '{"c": null}'}
    """
    found: dict[str, str] = {}
    decoder, position = json.JSONDecoder(), text.index("{") + 1
    while not re.match(r"\s*}", text[position:]):
        start = position + len(re.match(r"[\s,]*", text[position:])[0])  # type: ignore[index]
        key, after = decoder.raw_decode(text, start)
        start = after + len(re.match(r"[\s:]*", text[after:])[0])  # type: ignore[index]
        _, position = decoder.raw_decode(text, start)
        found[key] = text[start:position]
    return found


def object_insert(held: str, key: str, value: str, updates: bool) -> str:
    """docs.snowflake.com/en/sql-reference/functions/object_insert

    >>> object_insert('{"b": {"x": 1}}', "b", '{"y":null}', True)
    '{"b":{"y":null}}'
    """
    found = members(held)
    if key in found and not updates:
        raise ValueError(f"Duplicate field key '{key}'")
    found.pop(key, None)
    if key and value:
        found[key] = value
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in sorted(found.items())) + "}"


PYTHON: dict[str, tuple[Callable, list[str], str]] = {
    "sf_regexp_replace": (regexp_replace, ["VARCHAR", "VARCHAR", "VARCHAR", "BIGINT", "BIGINT", "VARCHAR"], "VARCHAR"),
    "sf_sha2": (sha2, ["VARCHAR", "BIGINT"], "VARCHAR"),
    "sf_md5_half": (md5_half, ["VARCHAR", "VARCHAR"], "UBIGINT"),
    "sf_soundex": (soundex, ["VARCHAR"], "VARCHAR"),
    "sf_object_insert": (object_insert, ["VARCHAR", "VARCHAR", "VARCHAR", "BOOLEAN"], "VARCHAR"),
    "sf_parse_url": (parse_url, ["VARCHAR"], "VARCHAR"),
    "sf_number_text": (number_text, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    "sf_text_number": (text_number, ["VARCHAR", "VARCHAR"], "VARCHAR"),
}
