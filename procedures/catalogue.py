"""Gold as readers see it: every table with its columns, types, keys, references and comments.

The tables themselves, the semantic view and the Power BI project are all made from this one list.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from specs import Dimension, Fact, Kpi, Measure, Pipeline, Source, sql_type

BATCH = "The batch that last changed the row; see control.pipeline_log"
STANDING = "-1 unknown, -2 gap, -3 early"
# The date dimension: column → type and comment.
CALENDAR = {
    "date_key": ("integer", "YYYYMMDD as a number; -1: no time, or one outside 1900 to 2199"),
    "calendar_date": ("date", "The day, UTC"),
    "calendar_year": ("integer", "Year"),
    "calendar_quarter": ("integer", "Quarter of the year, 1 to 4"),
    "calendar_month": ("integer", "Month of the year, 1 to 12"),
    "month_name": ("text", "Month in English"),
    "month_start": ("date", "First day of the month"),
    "iso_year": ("integer", "Year of the ISO week; around New Year it differs from the calendar's"),
    "iso_week": ("integer", "ISO week, 1 to 53; weeks begin on Monday"),
    "day_of_month": ("integer", "Day of the month, 1 to 31"),
    "day_of_week": ("integer", "Day of the week, 1 Monday to 7 Sunday"),
    "day_name": ("text", "Day of the week in English"),
    "is_weekend": ("boolean", "Saturday or Sunday"),
}


@dataclass(frozen=True)
class GoldColumn:
    """A column of gold; `type` is Snowflake's, without NOT NULL."""

    name: str
    type: str
    comment: str
    is_required: bool = False
    adds_up: bool = False  # a measure of a fact: the sum of two rows means something

    @property
    def declared(self) -> str:
        return f"{self.type} NOT NULL" if self.is_required else self.type


@dataclass(frozen=True)
class Reference:
    """A foreign key of one column."""

    column: str
    table: str
    key: str


@dataclass(frozen=True)
class GoldTable:
    """A table of gold: a `dimension`, a `calendar`, a `fact` or a `kpi`.  Its key is declared, not enforced."""

    name: str
    kind: str
    comment: str
    columns: tuple[GoldColumn, ...]
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def table(self) -> str:
        return f"gold.{self.name}"

    @property
    def types(self) -> dict[str, str]:
        """Columns as CREATE TABLE declares them."""
        return {column.name: column.declared for column in self.columns}


def gold(pipeline: Pipeline) -> Iterator[GoldTable]:
    """The tables of gold, each after those it refers to."""
    if pipeline.calendar:
        yield calendar(pipeline.calendar)
    for dimension in pipeline.dimensions:
        yield dimension_table(pipeline, dimension)
    for fact in pipeline.facts:
        yield fact_table(pipeline, fact)
    for kpi in pipeline.kpis:
        yield kpi_table(pipeline, kpi)


def calendar(name: str) -> GoldTable:
    columns = tuple(
        GoldColumn(column, sql_type(type_name), comment, column == "date_key")
        for column, (type_name, comment) in CALENDAR.items()
    )
    return GoldTable(name, "calendar", "One row per day between the first and the last that a fact names", columns, ("date_key",))


def source_comment(source: Source, name: str) -> str:
    """What the pipeline file says of a column, or where it comes from."""
    said = {column.name: column.comment for column in source.columns}.get(name, "")
    return said or f"{name} of {source.name}"


def sequence(pipeline: Pipeline, dimension: Dimension) -> str:
    """The type of valid_from and valid_to."""
    return sql_type(pipeline.source(dimension.source).sequence_type)


def dimension_table(pipeline: Pipeline, dimension: Dimension) -> GoldTable:
    source = pipeline.source(dimension.source)
    types = source.types()
    own = {**{column: types[column] for column in dimension.key}, **dimension.attribute_types(types)}
    moment, noun = sequence(pipeline, dimension), dimension.noun
    key = ", ".join(dimension.key)
    columns = (
        GoldColumn(dimension.durable_key, "NUMBER", f"One number per {key}, the same on all its versions; {STANDING}", True),
        GoldColumn(dimension.version_key, "NUMBER", f"One number per version; facts point here; {STANDING}", True),
        *[GoldColumn(name, sql_type(type_name), attribute_comment(source, dimension, name)) for name, type_name in own.items()],
        GoldColumn("valid_from", moment, "The version holds from here on", True),
        GoldColumn("valid_to", moment, "and until before this; NULL while it holds"),
        GoldColumn("is_current", "BOOLEAN", f"The last known version of a {noun} that is there", True),
        GoldColumn("is_inferred", "BOOLEAN", f"Only facts have named this {noun} so far; it has no values yet", True),
        GoldColumn("batch_no", "NUMBER", BATCH, True),
    )
    comment = dimension.comment or f"One row per version of a {noun}, from {source.name}"
    return GoldTable(dimension.name, "dimension", comment, columns, (dimension.version_key,))


POLICIES = {
    "tracked": "a change opens a version",
    "overwritten": "the latest value, on all versions",
    "original": "the first value, on all versions",
    "version": "the last value inside the version",
}


def attribute_comment(source: Source, dimension: Dimension, name: str) -> str:
    """A column of a dimension: what it is, and what a change of it does."""
    if name in dimension.current_columns:
        return f"{source_comment(source, name.removeprefix('current_'))}: the latest value, on all versions"
    if name == "is_deleted" and dimension.keeps_deletions:
        return f"The {dimension.noun} is deleted while this version holds"
    what = next((word for policy, word in POLICIES.items() if name in getattr(dimension, policy)), "natural key")
    return f"{source_comment(source, name)}: {what}"


def fact_table(pipeline: Pipeline, fact: Fact) -> GoldTable:
    source, types = pipeline.source(fact.source), pipeline.fact_types(fact)
    said = {measure.name: measure_comment(measure) for measure in fact.measures}
    references = []
    for lookup in fact.lookups:
        found = pipeline.dimension(lookup.dimension)
        by = ", ".join(lookup.by)
        said[lookup.durable_key] = f"The {found.noun} of {by}, whatever its version: {found.name}.{found.durable_key}; -1 unknown"
        said[lookup.version_key] = f"The version of {found.name} valid at {lookup.as_of}; {STANDING}"
        references.append(Reference(lookup.version_key, found.table, found.version_key))
    if fact.calendar:
        said["date_key"] = f"The day of {fact.at}, UTC, in {fact.calendar}; -1 unknown"
        references.append(Reference("date_key", f"gold.{fact.calendar}", "date_key"))
    numbers = {measure.name for measure in fact.measures if sql_type(measure.type).startswith("NUMBER")}
    columns = [
        GoldColumn(name, sql_type(kind), said.get(name) or source_comment(source, name), adds_up=name in numbers)
        for name, kind in types.items()
    ]
    comment = fact.comment or f"One row per {', '.join(fact.grain)} of {source.name}, as it stands after its last correction"
    return GoldTable(fact.name, "fact", comment, (*columns, GoldColumn("batch_no", "NUMBER", BATCH, True)), fact.grain, tuple(references))


def measure_comment(measure: Measure) -> str:
    return measure.comment or measure.expression


def kpi_table(pipeline: Pipeline, kpi: Kpi) -> GoldTable:
    fact = pipeline.fact(kpi.fact)
    source = pipeline.source(fact.source)
    said = {kpi.period: f"First day of the {kpi.period} of {fact.at}, UTC", **{name: source_comment(source, name) for name in kpi.by}}
    said |= {measure.name: measure_comment(measure) for measure in kpi.measures}
    columns = [GoldColumn(name, sql_type(kind), said[name]) for name, kind in pipeline.kpi_types(kpi).items()]
    stamps = (
        GoldColumn("computed_at", "TIMESTAMP_NTZ", "When the row was last computed to another outcome, UTC", True),
        GoldColumn("batch_no", "NUMBER", BATCH, True),
    )
    return GoldTable(kpi.name, "kpi", kpi.comment or f"{', '.join(kpi.groups)} of {fact.name}", (*columns, *stamps))
