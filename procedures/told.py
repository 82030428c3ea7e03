"""Frames whose columns are known: the client is told what it would ask the server for.

Snowpark has the server describe a frame before it joins or unites it: one compilation each, dozens in a step.  What
the spec says of a frame spares that question.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
from snowflake.snowpark import Column, DataFrame

try:  # the client's own memory of what the server answered; without it, it asks
    from snowflake.snowpark._internal.analyzer.analyzer_utils import schema_value_statement
    from snowflake.snowpark._internal.analyzer.expression import Attribute
    from snowflake.snowpark._internal.analyzer.metadata_utils import PlanMetadata, cache_metadata_if_selectable
    from snowflake.snowpark._internal.analyzer.snowflake_plan import SnowflakePlan
    from snowflake.snowpark._internal.utils import quote_name
except ImportError:
    SnowflakePlan = None


def told(rows: DataFrame, types: Mapping[str, T.DataType]) -> DataFrame:
    """The frame itself, its columns being of these types, by their names."""
    if not is_asking(rows) or not rows._plan._metadata.has_cached_quoted_identifiers:
        return rows
    return remembered(rows, [name.strip('"').lower() for name in rows._plan.quoted_identifiers], types)


def joined(left: DataFrame, right: DataFrame, on: Column | None, how: str) -> DataFrame:
    """A join of frames whose names differ; it has the columns of both, or of the left one alone."""
    rows = left.join(right, on=on, how=how)
    known = [types_of(side) for side in ([left] if how in ("leftsemi", "leftanti") else [left, right])]
    types = {name: kind for side in known if side for name, kind in side.items()}
    return rows if None in known else remembered(rows, list(types), types)


def with_column(rows: DataFrame, name: str, column: Column, kind: T.DataType) -> DataFrame:
    """The frame with one column more, of this type; its name is new."""
    more, known = rows.with_column(name, column), types_of(rows)
    return more if known is None else remembered(more, [*known, name], {**known, name: kind})


def side(rows: DataFrame, columns: Sequence[str], prefix: str) -> DataFrame:
    """One side of a full join: the columns under a prefix, and one more, `is_…`, that is there where the side is."""
    named, known = {f"{prefix}_{column}": column for column in columns}, types_of(rows)
    shown = rows.select(*[F.col(column).alias(name) for name, column in named.items()], F.lit(True).alias(f"is_{prefix}"))
    if known is None:
        return shown
    return remembered(shown, [*named, f"is_{prefix}"], {**{name: known[column] for name, column in named.items()}, f"is_{prefix}": T.BooleanType()})


def united(first: DataFrame, *others: DataFrame) -> DataFrame:
    """All rows of frames with the same columns."""
    return as_before(reduce(DataFrame.union_all, others, first), first)


def distinct(rows: DataFrame) -> DataFrame:
    return as_before(rows.distinct(), rows)


def as_before(rows: DataFrame, before: DataFrame) -> DataFrame:
    """Rows that have the columns of another frame."""
    known = types_of(before)
    return rows if known is None else remembered(rows, list(known), known)


def types_of(rows: DataFrame) -> dict[str, T.DataType] | None:
    """The columns of a frame and their types, as far as the client knows them."""
    known = rows._plan._metadata.attributes if is_asking(rows) else None
    return None if known is None else {attribute.name.strip('"').lower(): attribute.datatype for attribute in known}


def remembered(rows: DataFrame, columns: Sequence[str], types: Mapping[str, T.DataType]) -> DataFrame:
    """The frame itself, having these columns and no others."""
    if not is_asking(rows) or not set(columns) <= types.keys():
        return rows
    plan = rows._plan
    attributes = [Attribute(quote_name(column), types[column], True) for column in columns]
    plan._metadata = PlanMetadata(attributes=attributes, quoted_identifiers=None)
    cache_metadata_if_selectable(plan.source_plan, plan._metadata)
    plan.schema_query = schema_value_statement(attributes)
    return rows


def is_asking(rows: DataFrame) -> bool:
    """Whether this client describes frames by asking; local testing does not."""
    return SnowflakePlan is not None and isinstance(rows._plan, SnowflakePlan)
