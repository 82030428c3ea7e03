"""`transform: module:function`: Python of a packaged module between typing and the checks, and what it may not do to rows."""

import importlib
from collections.abc import Callable

import names
import snowflake.snowpark.functions as F
from cleaning import CARRIED, as_received, snowpark_type
from snowflake.snowpark import DataFrame
from specs import Source

IDENTITY = names.PROVENANCE  # where a row came from tells it from every other row of its batch


class TransformFailed(RuntimeError):
    """A transform that cannot be called, or that lost, added or doubled rows; nothing of the batch was written."""

    def __init__(self, transform: str, reason: str) -> None:
        self.transform, self.reason = transform, reason
        super().__init__(f"transform {transform}: {reason}. Nothing of this batch was loaded; its rows stay in bronze.")


def function_of(transform: str) -> Callable[[DataFrame], DataFrame]:
    """The function a pipeline file names; its module ships with the app and begins with `transform_`."""
    module, _, function = transform.partition(":")
    if not module.startswith("transform_"):
        raise TransformFailed(transform, "its module does not begin with `transform_`")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        raise TransformFailed(transform, f"no module `{error.name}` is packaged with this version of the app") from None
    if not callable(found):
        raise TransformFailed(transform, f"`{module}` has no function `{function}`")
    return found


def transformed(rows: DataFrame, source: Source) -> DataFrame:
    """Typed rows after the source's transform.

    It is given the declared columns and where each row came from, and gives the same rows back, with the same
    columns; other columns it adds are left out.  A row that comes back as none, or as two, is refused with the count.
    """
    if not source.transform:
        return rows
    declared = [column.name for column in source.columns]
    made = function_of(source.transform)(rows.select(*declared, *IDENTITY))
    missing = {*declared, *IDENTITY} - {name.strip('"').lower() for name in made.columns}
    if missing:
        raise TransformFailed(source.transform, f"its frame lacks {', '.join(sorted(missing))}")
    refuse_other_rows(rows, made, source)
    kept = [name for name in rows_columns(source) if name not in declared]
    changed = made.select(*[F.col(name) for name in declared], *[F.col(name).alias(f"made_{name}") for name in IDENTITY])
    rest = rows.select(*[F.col(name) for name in kept])
    same = F.lit(True)
    for name in IDENTITY:
        same &= F.col(name).equal_null(F.col(f"made_{name}"))
    joined = rest.join(changed, on=same, how="inner")
    types = source.types()
    values = {name: F.col(name).cast(snowpark_type(types[name])) for name in declared}
    values["effective_at"] = F.col(source.effective_at).cast(snowpark_type(source.sequence_type))
    return joined.select(*[values.get(name, F.col(name)).alias(name) for name in rows_columns(source)])


def rows_columns(source: Source) -> list[str]:
    """The columns of typed rows, as `cleaning.typed` gives them."""
    parsing = [column.name for column in source.columns if column.type not in ("text", "variant") and not column.expression]
    absence = ["absent_columns"] if source.remembers_absence else []
    truncation = ["is_truncate"] if source.truncate_when else []
    return [
        *(*CARRIED, *as_received(source).values(), *absence),
        *(column.name for column in source.columns),
        *(f"{name}_received" for name in parsing),
        *("is_deleted", "effective_at", *truncation),
    ]


def refuse_other_rows(given: DataFrame, made: DataFrame, source: Source) -> None:
    """The same places in the same files, each once."""
    marks = F.lit(0).alias("is_made"), F.lit(1).alias("is_made")
    both = given.select(*IDENTITY, marks[0]).union_all(made.select(*IDENTITY, marks[1]))
    counts = both.group_by(*IDENTITY).agg(
        F.sum(F.iff(F.col("is_made") == F.lit(0), F.lit(1), F.lit(0))).alias("given_count"),
        F.sum(F.col("is_made")).alias("made_count"),
    )
    lost, added, doubled = (
        F.sum(F.iff(condition, F.lit(1), F.lit(0)))
        for condition in (
            F.col("made_count") < F.col("given_count"),
            F.col("given_count") == F.lit(0),
            (F.col("given_count") > F.lit(0)) & (F.col("made_count") > F.col("given_count")),
        )
    )
    found = counts.agg(lost.alias("lost"), added.alias("added"), doubled.alias("doubled")).collect()[0]
    wrong = {word: int(found[word.upper()] or 0) for word in ("lost", "added", "doubled")}
    if any(wrong.values()):
        raise TransformFailed(source.transform, ", ".join(f"{count} rows {word}" for word, count in wrong.items() if count))
