"""From text as it came to typed, checked rows: frames in, frames out.

Everything is decided before anything is written.  A value that does not parse is a failed check, never an error;
a check that is not TRUE has failed, NULL included; and a row carries all the checks it failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, or_

import checking
import cleaning_words
import names
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
from cleaning_words import is_numeric
from expressions import resolved
from snowflake.snowpark import Column, DataFrame, Window
from specs import NUMBER, Check, Source
from specs import Column as SourceColumn

INTEGER = "^[+-]?[0-9]+([.]0*)?$"
# There is no year 0, and what engines make of it differs.
YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
ISO_DATE = f"^{YEAR}-[0-9]{{2}}-[0-9]{{2}}$"
# Only what states a day in full: left to itself, Snowflake reads the text `32154` as seconds since 1970.
ISO_TIMESTAMP = f"^{YEAR}" + "-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?Z?)?$"
BLANKS = " \t\r\n"
KEEP_ENDS = ("trim", "digits_only", "lower", "upper", "title", "empty_to_null", "null_if")  # cleanings that bare no blank
LONGEST_KEY = 16_384  # characters; joins, sorts and whoever reads gold carry every key along
YEARS_AHEAD = 10
CARRIED = (*names.PROVENANCE, "is_repeat")


def sql_column(expression: str) -> Column:
    """An expression of the pipeline file as a Column; the one place where its text becomes SQL."""
    return F.sql_expr(resolved(expression))


def snowpark_type(type_name: str) -> T.DataType:
    """The client's type for a type of the pipeline file."""
    if match := NUMBER.fullmatch(type_name):
        return T.DecimalType(int(match[1]), int(match[2]))
    simple: dict[str, T.DataType] = {
        "text": T.StringType(),
        "number": T.DecimalType(38, 6),
        "integer": T.DecimalType(38, 0),
        "boolean": T.BooleanType(),
        "date": T.DateType(),
        "timestamp": T.TimestampType(T.TimestampTimeZone.NTZ),
        "variant": T.VariantType(),
    }
    return simple[type_name]


def received(column: SourceColumn, file_format: str) -> Column:
    """A column's text as it stands in bronze; a variant's value."""
    if file_format != "json":
        return F.col(column.received_as or column.name)
    value = F.col("record")
    for key in column.path or (column.received_as or column.name,):
        value = value[key]
    return value if column.type == "variant" else value.cast(T.StringType())


def cleaned(value: Column, column: SourceColumn) -> Column:
    """The text after the cleanings of the file, in their order; then `map`, then `default`.

    Of a column that is not text, blanks at the ends go too.
    """
    is_trimmed = False
    for cleaning in column.clean:
        value = without_empty(value) if cleaning.word == "empty_to_null" and is_trimmed else cleaning_words.applied(value, cleaning)
        is_trimmed = (is_trimmed or cleaning.word in ("trim", "digits_only")) and cleaning.word in KEEP_ENDS
    if column.type not in ("text", "variant"):  # a blank is no number and no date, and no fault either
        value = without_empty(value if is_trimmed else F.trim(value, F.lit(BLANKS)))
    if column.mapping:
        branches = [(value == F.lit(word), F.lit(meaning)) for word, meaning in column.mapping.items()]
        chain = reduce(lambda case, branch: case.when(*branch), branches[1:], F.when(*branches[0]))
        value = chain.otherwise(F.lit(column.otherwise) if column.has_otherwise else value)
    return value if column.default is None else F.coalesce(value, F.lit(column.default))


def without_empty(value: Column) -> Column:
    return F.iff(value == F.lit(""), F.lit(None), value)


def parsed(value: Column, column: SourceColumn) -> Column:
    """The typed value of a text without blanks at its ends, NULL where it does not parse.

    A whole number may carry a fraction of zeros (`17850.0`), no other.  Dates and times are ISO 8601 in UTC unless
    the column names `formats`, which are tried in turn.
    """
    target = snowpark_type(column.type)
    if column.type in ("text", "variant"):
        return value
    if column.formats:
        by_format = cleaning_words.numbered(value, column, target) if is_numeric(column.type) else cleaning_words.dated(value, column)
        return by_format.cast(target)
    shape = {"integer": INTEGER, "date": ISO_DATE, "timestamp": ISO_TIMESTAMP}.get(column.type)
    text = F.replace(value, F.lit("Z"), F.lit("")) if column.type == "timestamp" else value
    cast = text.try_cast(target)
    if column.type == "timestamp" and column.zone != "UTC":
        cast = F.iff(F.endswith(value, F.lit("Z")), cast, cleaning_words.to_utc(cast, column.zone))
    return F.iff(value.rlike(F.lit(shape)), cast, F.lit(None).cast(target)) if shape else cast


def valued(text: Column, column: SourceColumn) -> Column:
    """The typed value of a text, NULL where it does not parse or lies outside the column's bounds."""
    return cleaning_words.bounded(parsed(text, column), column, snowpark_type(column.type))


def judged_by(text: Column, column: SourceColumn) -> Column:
    """The text by which the built-in checks judge a column."""
    if not column.keeps_unreadable and not any(column.bounds):
        return text
    return cleaning_words.text_judged(text, parsed(text, column), valued(text, column), column)


def typed(batch: DataFrame, source: Source) -> DataFrame:
    """Rows of bronze with their declared columns typed.

    Reads:  bronze's columns and `is_repeat`
    Gives:  the declared columns, is_deleted, effective_at, the marks, the provenance, is_repeat, the row as received
            (`as_received`) and `<column>_received`, the cleaned text, for columns that are not text
    """
    stored = [column for column in source.columns if not column.expression]
    derived = [column for column in source.columns if column.expression]
    parsing = [column for column in stored if column.type not in ("text", "variant")]
    texts = batch.select(
        *[F.col(f"_{name}").alias(name) for name in names.PROVENANCE],
        F.col("is_repeat"),
        *[F.col(name).alias(alias) for name, alias in as_received(source).items()],
        *[cleaned(received(column, source.format), column).alias(column.name) for column in stored],
        *([absent(stored).alias("absent_columns")] if source.remembers_absence else []),
    )
    absence = ("absent_columns",) if source.remembers_absence else ()
    carried = [F.col(name) for name in (*CARRIED, *as_received(source).values(), *absence)]
    originals = [F.col(f"{column.name}_received") for column in parsing]
    values = texts.select(
        *carried,
        *[valued(F.col(column.name), column).alias(column.name) for column in stored],
        *[judged_by(F.col(column.name), column).alias(f"{column.name}_received") for column in parsing],
    )
    if derived:
        computed = [
            sql_column(column.expression).cast(snowpark_type(column.type)).alias(column.name) for column in derived
        ]
        values = values.select(*carried, *[F.col(column.name) for column in stored], *originals, *computed)
    is_deleted = F.coalesce(sql_column(source.delete_when), F.lit(False)) if source.delete_when else F.lit(False)
    return values.select(
        *carried,
        *[F.col(column.name) for column in source.columns],
        *originals,
        is_deleted.alias("is_deleted"),
        F.col(source.effective_at).cast(snowpark_type(source.sequence_type)).alias("effective_at"),
        *([is_truncate(source).alias("is_truncate")] if source.truncate_when else []),
    )


def is_truncate(source: Source) -> Column:
    """Whether a row says that every key is gone; it needs its time and nothing else."""
    return F.coalesce(sql_column(source.truncate_when), F.lit(False)) if source.truncate_when else F.lit(False)


def absent(columns: Sequence[SourceColumn]) -> Column:
    """The names of columns that a JSON record does not have, each between commas; a null that is there is a value."""

    def is_missing(column: SourceColumn) -> Column:
        value = F.col("record")
        for key in column.path or (column.received_as or column.name,):
            value = value[key]
        return value.is_null()

    words = [F.iff(is_missing(column), F.lit(f",{column.name},"), F.lit("")) for column in columns]
    return F.concat(F.lit(""), *words)


def as_received(source: Source) -> dict[str, str]:
    """Bronze's columns that a source reads, and the names under which a row keeps them until it is decided upon.

    Only a row that fails is kept as it was received, and most rows do not.
    """
    if source.format == "json":
        return {"record": "record_raw"}
    stored = [column.received_as or column.name for column in source.columns if not column.expression]
    return {name: f"{name}_raw" for name in stored}


def row_values(source: Source) -> Column:
    """One object with the row's values as they stand in bronze."""
    if source.format == "json":
        return F.col("record_raw")
    return F.object_construct_keep_null(*[part for name, raw in as_received(source).items() for part in (F.lit(name), F.col(raw))])


def built_in_checks(source: Source) -> Iterator[tuple[Check, Column, bool]]:
    """What a row must have to be an event, as (check, condition, also for tombstones).

    Presence and type of columns; keys no longer than LONGEST_KEY; no event further ahead of its arrival than YEARS_AHEAD:
    a mistyped century would be the last word on its key until then.
    """
    for column in source.columns:
        identifies = column.name in source.key or column.name in sequence(source)
        parses = column.type not in ("text", "variant") and not column.expression
        text = F.col(f"{column.name}_received") if parses else F.col(column.name)
        if identifies or column.required:
            otherwise = "stop" if identifies and source.strict else "quarantine"
            yield Check(f"{column.name}_is_given", "", otherwise), text.is_not_null(), identifies
        if parses:
            is_typed = text.is_null() | F.col(column.name).is_not_null()
            type_name = column.type.split("(", maxsplit=1)[0]
            otherwise = "stop" if identifies and source.strict else "quarantine"
            yield Check(f"{column.name}_is_{type_name}", "", otherwise), is_typed, identifies
        if column.name in source.key and column.type == "text":
            yield Check(f"{column.name}_is_short", ""), text.is_null() | (F.length(text) <= F.lit(LONGEST_KEY)), True
    if source.sequence_type == "timestamp":
        at, latest = F.col("effective_at"), F.dateadd("year", F.lit(YEARS_AHEAD), F.col("loaded_at"))
        yield Check(f"{source.effective_at}_is_near", ""), at.is_null() | (at <= latest), True


def sequence(source: Source) -> tuple[str, ...]:
    """The columns that order the events of a key, the coarsest first."""
    return (source.effective_at, *source.finer)


def checked(rows: DataFrame, source: Source) -> DataFrame:
    """Typed rows with the names of the checks each one failed.

    Gives: what came in, less `<column>_received`, with failed_checks (the row may not pass), warned_checks (it may),
           both as names with commas between, empty when there are none, and `stops` (nor may its batch)
    A tombstone needs its key and its time and nothing else; a truncation its time; a snapshot must be whole.
    """
    built_in = list(built_in_checks(source))
    types = source.types()
    conditions = built_in + [
        (check, checking.condition(check, types) if check.test else sql_column(check.expect), checking.is_of_file(check))
        for check in source.checks
        if check.test != "unique"  # that one looks at what the others found: `checking.with_owners`
    ]
    alive = ~F.col("is_deleted")
    if source.truncate_when:
        in_time = {check.name for check, _, _ in built_in if check.name.startswith(tuple(f"{name}_is_" for name in sequence(source)))}
        alive &= ~F.col("is_truncate")
        conditions = [
            (check, condition if check.name in in_time else condition | F.col("is_truncate"), always)
            for check, condition, always in conditions
        ]
    if source.is_snapshot:  # a row held back would look like a key that is gone
        conditions = [
            (replace(check, otherwise="stop") if check.otherwise == "quarantine" else check, condition, always)
            for check, condition, always in conditions
        ]

    def failed(also_tombstones: bool, condition: Column) -> Column:
        not_true = ~F.coalesce(condition, F.lit(False))
        return not_true if also_tombstones else not_true & alive

    named = {f"check_{number}": check for number, (check, _, _) in enumerate(conditions)}
    carried = (*CARRIED, *as_received(source).values(), "is_deleted", "effective_at", *source.marks)
    values = [F.col(name) for name in (*carried, *(column.name for column in source.columns))]
    tried = rows.select(
        *values,
        *[failed(always, condition).alias(name) for name, (_, condition, always) in zip(named, conditions, strict=True)],
    )

    def failures(*outcomes: str) -> Column:
        """The names of the checks that failed; most rows fail none, and make no text."""
        mine = {name: check for name, check in named.items() if check.otherwise in outcomes}
        words = [F.iff(F.col(name), F.lit(f",{check.name}"), F.lit("")) for name, check in mine.items()]
        any_failed = reduce(or_, [F.col(name) for name in mine], F.lit(False))
        return F.iff(any_failed, F.trim(F.concat(F.lit(""), *words), F.lit(",")), F.lit(""))

    stopping = [F.col(name) for name, check in named.items() if check.otherwise == "stop"]
    return tried.select(
        *values,
        failures("quarantine", "stop").alias("failed_checks"),
        failures("warn").alias("warned_checks"),
        reduce(or_, stopping, F.lit(False)).alias("stops"),
    )


def judged(rows: DataFrame, source: Source, silver: Mapping[str, DataFrame]) -> DataFrame:
    """Typed rows with all checks decided, those too that look at silver: the source's own and the ones it refers to."""
    types = {name: snowpark_type(type_name) for name, type_name in source.types().items()}
    found = checked(checking.with_references(rows, source, silver, types), source)
    return checking.with_owners(found, silver[source.name], source, checked_columns(source), types)


def checked_columns(source: Source) -> tuple[str, ...]:
    """The columns of checked rows."""
    own = (*CARRIED, *as_received(source).values(), "is_deleted", "effective_at", *source.marks)
    return (*own, *(column.name for column in source.columns), "failed_checks", "warned_checks", "stops")


def content(source: Source) -> tuple[str, ...]:
    """The columns that make two rows one event when they are equal in all of them, the key first."""
    own = (*source.key, "effective_at", "is_deleted", *source.marks)
    return tuple(dict.fromkeys([*own, *(column.name for column in source.columns)]))


def screened(rows: DataFrame, source: Source) -> DataFrame:
    """Checked rows with what becomes of each by itself, and the values as received of those that failed.

    Gives: the columns of a batch in hand; outcome is `duplicate` when the row's place in its file was taken before
           (is_repeat), `quarantined` when it failed a check, else `event`, until an equal row is found
    """
    failed = F.col("failed_checks") != F.lit("")
    outcome = F.when(F.col("is_repeat"), F.lit("duplicate")).when(failed, F.lit("quarantined")).otherwise(F.lit("event"))
    kept = F.iff(failed & ~F.col("is_repeat"), row_values(source), F.lit(None))
    own = {"row_values": kept.alias("row_values"), "outcome": outcome.alias("outcome")}
    return rows.select(*[own.get(name, F.col(name)) for name in staged_columns(source)])


def with_outcome(rows: DataFrame, silver: DataFrame, source: Source) -> DataFrame:
    """Checked rows with what becomes of each: `event`, `duplicate` or `quarantined`.

    A row is a duplicate when its place in its file was taken before (is_repeat), or when an equal row, NULLs being
    equal, is an event already in silver or stands before it in the batch.  (A load, which has many rows, says the same
    with `duplicates.mark`.)
    """
    columns, own = content(source), screened(rows, source)
    batch_keys = own.select(*[F.col(column).alias(f"batch_{column}") for column in (*source.key, "effective_at")]).distinct()
    of_batch = [F.col(column) == F.col(f"batch_{column}") for column in (*source.key, "effective_at")]
    near = silver.join(batch_keys, on=reduce(and_, of_batch), how="leftsemi")
    known = near.select(*[F.col(column).alias(f"known_{column}") for column in columns]).distinct()
    equal_rows = Window.partition_by("outcome", *columns).order_by("loaded_at", "file_name", "row_number", "content_key")
    ranked = own.with_column("copy_no", F.row_number().over(equal_rows))
    matches = [F.col(column).equal_null(F.col(f"known_{column}")) for column in columns]
    compared = ranked.join(known, on=reduce(and_, matches), how="left")
    is_copy = F.col("known_is_deleted").is_not_null() | (F.col("copy_no") > F.lit(1))
    outcome = F.iff((F.col("outcome") == F.lit("event")) & is_copy, F.lit("duplicate"), F.col("outcome"))
    return compared.select(*[F.col(name) for name in staged_columns(source)[:-1]], outcome.alias("outcome"))


def staged_columns(source: Source) -> tuple[str, ...]:
    """The columns of a batch in hand, in the order of its stage table."""
    return (
        *(column.name for column in source.columns),
        *("is_deleted", "effective_at"),
        *source.marks,
        *CARRIED,
        *("row_values", "failed_checks", "warned_checks", "stops", "outcome"),
    )


def latest_per_key(
    rows: DataFrame, key: Sequence[str], content_columns: Sequence[str], finer: Sequence[str] = ()
) -> DataFrame:
    """One row per key: the latest; at one instant the finer sequence, then a tombstone before a value, then content.

    Content compares column by column in the order of their names, NULL lowest; where a row came from decides nothing.
    """
    by_age = Window.partition_by(*key).order_by(F.col("effective_at").desc(), *precedence(content_columns, finer))
    ranked = rows.with_column("age_rank", F.row_number().over(by_age))
    return ranked.filter(F.col("age_rank") == F.lit(1)).drop("age_rank")


def precedence(content_columns: Sequence[str], finer: Sequence[str] = ()) -> list[Column]:
    """The order among events of one key at one instant, the one that counts first (semantics, rules 2 and 3)."""
    ordered = sorted(set(content_columns) - {"is_deleted", "effective_at", "is_truncate", "absent_columns"})
    remembers = "absent_columns" in content_columns
    keys = [F.col(column).desc_nulls_last() for column in finer]
    keys.append(F.col("is_deleted").desc())
    for column in ordered:
        keys += [is_absent(column).asc()] if remembers else []
        keys.append(F.col(column).desc_nulls_last())
    return keys


def is_absent(column: str) -> Column:
    """Whether an event says nothing of a column; only for sources that remember it."""
    return F.contains(F.coalesce(F.col("absent_columns"), F.lit("")), F.lit(f",{column},"))
