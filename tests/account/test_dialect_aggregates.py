"""Aggregates and window functions over one row: the type and the value Snowflake gives.

Each line is an expression and its value on a Snowflake account, by docs.snowflake.com/en/sql-reference/functions-all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from test_dialect_duck import Run, duck, run  # noqa: F401

CASES: list[tuple[str, Any]] = [
    ("regexp_count('a1b2','[0-9]')", 2),
    ('current_account() is not null', True),
    ('count_if(true)', 1),
    ('sum(1)', 1),
    ('avg(1)', Decimal("1.000000")),
    ('sum(1.5)', Decimal("1.5")),
    ('avg(1.5::number(10,2))', Decimal("1.50000000")),
    ('any_value(1)', 1),
    ('boolor_agg(true)', True),
    ('booland_agg(false)', False),
    ('approx_count_distinct(1)', 1),
    ("listagg('a',',')", 'a'),
    ("array_agg('a')", '["a"]'),
    ("object_agg('a',1)", '{"a":1}'),
    ("max_by('a',1)", 'a'),
    ("min_by('a',1)", 'a'),
    ('median(1)', Decimal("1.000")),
    ('stddev(1)', None),
    ('count(*)', 1),
    ('count(distinct 1)', 1),
    ('mode(1)', 1),
    ('hash_agg(1) is not null', True),
    ('array_unique_agg(1)', '[1]'),
    ('bitor_agg(1)', 1),
    ('skew(1)', None),
    ('var_pop(1)', 0.0),
    ('percentile_cont(0.5) within group (order by 1)', Decimal("1.000")),
    ('approx_percentile(1,0.5)', 1.0),
    ('row_number() over (order by 1)', 1),
    ('ratio_to_report(2) over ()', Decimal("1.000000")),
    ('conditional_change_event(1) over (order by 1)', 0),
    ('conditional_true_event(true) over (order by 1)', 1),
    ('first_value(1 ignore nulls) over (order by 1)', 1),
    ("last_value('a') ignore nulls over (order by 1)", 'a'),
    ('lag(1,1,9) over (order by 1)', 9),
    ('lead(1) over (order by 1)', None),
    ('ntile(2) over (order by 1)', 1),
    ('dense_rank() over (order by 1)', 1),
    ('percent_rank() over (order by 1)', 0.0),
    ('nth_value(1,1) over (order by 1)', 1),
    ('avg(2) over ()', Decimal("2.000000")),
    ('sum(2) over ()', 2),
]


@pytest.mark.parametrize(("expression", "value"), CASES, ids=[case[0] for case in CASES])
def test_an_aggregate_or_window_function_gives_what_snowflake_gives(run: Run, expression: str, value: Any) -> None:  # noqa: F811
    assert run(f"SELECT {expression}") == [(value,)]
