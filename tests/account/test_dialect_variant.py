"""VARIANT, ARRAY and OBJECT: what comes out of them, as compact JSON text where it is one of them.

Each line is an expression and its value on a Snowflake account, by docs.snowflake.com/en/sql-reference/functions-all.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from test_dialect_duck import Run, duck, run  # noqa: F401

CASES: list[tuple[str, Any]] = [
    ('to_varchar(parse_json(\'"a"\'))', 'a'),
    ('parse_json(\'{"a":1}\'):a::int', 1),
    ('parse_json(\'{"a":{"b":"x"}}\'):a.b::varchar', 'x'),
    ('parse_json(\'{"a":"x"}\'):a=\'x\'', True),
    ('parse_json(\'{"a":"x"}\'):missing is null', True),
    ('parse_json(\'{"a":[1,2]}\'):a[1]::int', 2),
    ('parse_json(\'{"a":[1,2]}\')[\'a\'][0]::int', 1),
    ('upper(parse_json(\'{"a":"x"}\'):a)', 'X'),
    ('parse_json(\'{"a":null}\'):a::varchar', None),
    ('is_null_value(parse_json(\'{"a":null}\'):a)', True),
    ('parse_json(\'{"A b":1}\'):"A b"::int', 1),
    ("get(parse_json('[1,2]'),1)::int", 2),
    ('get_path(parse_json(\'{"a":{"b":2}}\'),\'a.b\')::int', 2),
    ('parse_json(\'{"a":"2024-01-01T00:00:00"}\'):a::timestamp_ntz', dt.datetime(2024, 1, 1, 0, 0)),
    ('parse_json(\'{"a":1.5}\'):a::number(10,1)', Decimal("1.5")),
    ('parse_json(\'{"a":true}\'):a::boolean', True),
    ('parse_json(\'{"a":"12"}\'):a > 5', True),
    ("try_parse_json('{bad')", None),
    ("typeof(parse_json('[1]'))", 'ARRAY'),
    ("typeof(parse_json('1'))", 'INTEGER'),
    ('typeof(parse_json(\'"a"\'))', 'VARCHAR'),
    ("array_size(parse_json('[1,2]'))", 2),
    ('array_size(array_construct(1,2,3))', 3),
    ("array_contains('a'::variant,array_construct('a','b'))", True),
    ('array_contains(3::variant,array_construct(1,2))', False),
    ("array_to_string(array_construct('a','b'),',')", 'a,b'),
    ("array_size(array_construct_compact('a',null,'b'))", 2),
    ("array_size(array_compact(array_construct('a',null)))", 1),
    ('array_size(array_append(array_construct(1),2))', 2),
    ('array_size(array_cat(array_construct(1),array_construct(2,3)))', 3),
    ("array_construct('a',null,1)", '["a",null,1]'),
    ("array_construct_compact(null,'a',iff(false,'x',null))", '["a"]'),
    ('array_construct()', '[]'),
    ('array_size(null)', None),
    ('array_distinct(array_construct(1,1,2))', '[1,2]'),
    ('array_slice(array_construct(1,2,3),0,2)', '[1,2]'),
    ('array_construct(1,2)[0]::int', 1),
    ('array_sort(array_construct(3,1))', '[1,3]'),
    ("array_position('b'::variant,array_construct('a','b'))", 1),
    ('arrays_overlap(array_construct(1),array_construct(1,2))', True),
    ('array_intersection(array_construct(1,2),array_construct(2))', '[2]'),
    ('array_except(array_construct(1,2),array_construct(2))', '[1]'),
    ('array_insert(array_construct(1,3),1,2)', '[1,2,3]'),
    ('array_prepend(array_construct(1),0)', '[0,1]'),
    ('array_max(array_construct(1,5))::int', 5),
    ('array_flatten(array_construct(array_construct(1),array_construct(2)))', '[1,2]'),
    ("object_construct('a',1,'b',null)", '{"a":1}'),
    ("object_construct_keep_null('a',1,'b',null)", '{"a":1,"b":null}'),
    ("object_construct('a','x')::varchar", '{"a":"x"}'),
    ("object_construct('n',object_construct('m',1)):n.m::int", 1),
    ('object_construct()', '{}'),
    ("object_keys(object_construct('a',1))", '["a"]'),
    ("object_insert(object_construct('a',1),'b',2):b::int", 2),
    ("object_insert(parse_json('{\"b\":{\"x\":1.25}}'),'a',parse_json('null'))", '{"a":null,"b":{"x":1.25}}'),
    ("object_insert(parse_json('{\"b\":{\"x\":1}}'),'b',object_construct('y',2),true)", '{"b":{"y":2}}'),
    ("object_insert(object_construct('a',1),'b',null::varchar)", '{"a":1}'),
    ("object_insert(object_insert(object_construct(),'say \"so\"','x'),'b',12345678901234567890.5)", '{"b":12345678901234567890.5,"say \\"so\\"":"x"}'),
    ("object_insert(null::object,'a',1)", None),
    ("object_delete(object_construct('a',1,'b',2),'a')", '{"b":2}'),
    ("to_json(object_construct('a',1))", '{"a":1}'),
    ("to_variant('x')::varchar", 'x'),
    ("to_array('x')", '["x"]'),
    ("as_integer(parse_json('5'))", 5),
    ("is_integer(parse_json('5'))", True),
    ("is_array(parse_json('[]'))", True),
    ("is_object(parse_json('[]'))", False),
    ("object_construct('ts','2024-01-01'::date)", '{"ts":"2024-01-01"}'),
    ("array_size(split('a,b',','))", 2),
    ('system$typeof(1) is not null', True),
    ("strip_null_value(parse_json('null'))", None),
    ("check_json('{')  is not null", True),
    ('to_object(parse_json(\'{"a":1}\')):a::int', 1),
    ('as_varchar(parse_json(\'"a"\'))', 'a'),
    ('typeof(1)', 'INTEGER'),
    ('is_null_value(null)', None),
]


@pytest.mark.parametrize(("expression", "value"), CASES, ids=[case[0] for case in CASES])
def test_a_semi_structured_function_gives_what_snowflake_gives(run: Run, expression: str, value: Any) -> None:  # noqa: F811
    assert run(f"SELECT {expression}") == [(value,)]
