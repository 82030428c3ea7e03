"""What one pipeline file declares, as frozen dataclasses.  `spec_file.parse` makes them from YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import names
from spec_columns import NUMBER, TYPES, Check, Cleaning, Column, is_type, sql_type

__all__ = ["NUMBER", "TYPES", "Check", "Cleaning", "Column", "is_type", "sql_type"]

FORMATS = ("csv", "json", "parquet")
OUTCOMES = ("quarantine", "warn", "stop")
PERIODS = ("day", "week", "month", "quarter", "year")
ON_DELETE = ("close", "ignore", "new_record")
ABSENT = ("null", "carry")
UNREADABLE = ("quarantine", "null")
FILE_VERSIONS = ("1", "2")
WHEN = ("schedule", "arrival")


@dataclass(frozen=True)
class Source:
    """One feed of one system; bronze, stage and silver tables carry its name."""

    name: str
    prefix: str
    format: str
    key: tuple[str, ...]
    effective_at: str
    columns: tuple[Column, ...]
    checks: tuple[Check, ...] = ()
    delete_when: str = ""
    overlap: timedelta = timedelta(hours=24)
    stop_if: float | None = None  # share of quarantined rows above which nothing is loaded
    comment: str = ""
    finer: tuple[str, ...] = ()  # columns that order events of one instant, the coarsest first
    strict: bool = False  # a row without key or sequence stops its batch, instead of waiting in quarantine
    truncate_when: str = ""  # rows that say: every key is gone
    absent: str = "null"  # what a key missing from a JSON record says: NULL, or nothing (`carry`)
    is_snapshot: bool = False  # each file repeats all rows of its scope; what is missing from the next is gone
    snapshot_scope: tuple[str, ...] = ()
    transform: str = ""  # module:function, run on typed rows before the checks

    @property
    def references(self) -> tuple[str, ...]:
        """The other sources whose rows its checks look for."""
        found = [str(check.values[0]) for check in self.checks if check.test == "references"]
        return tuple(dict.fromkeys(found))

    @property
    def remembers_absence(self) -> bool:
        return self.absent == "carry"

    @property
    def marks(self) -> dict[str, str]:
        """What silver holds of an event besides its values, its time and whether it is a tombstone; with types."""
        return {
            **({"is_truncate": "boolean"} if self.truncate_when else {}),
            **({"absent_columns": "text"} if self.remembers_absence else {}),
        }

    @property
    def sequence_type(self) -> str:
        """`timestamp`, or `integer` where the source counts its changes and does not date them."""
        kind = self.types().get(self.effective_at, "timestamp")
        return "integer" if kind == "integer" else "timestamp"

    @property
    def stream(self) -> str:
        """The append-only stream on the bronze table, beside it; there when the pipeline runs on arrival."""
        return names.identifier(f"{self.name}_stream")

    @property
    def silver(self) -> str:
        return names.qualified("silver", self.name)

    @property
    def stage(self) -> str:
        return names.qualified("stage", self.name)

    @property
    def step(self) -> str:
        return f"load {self.name}"

    def types(self) -> dict[str, str]:
        """Silver's columns and their types, provenance included."""
        declared = {column.name: column.type for column in self.columns}
        return {**declared, "file_name": "text", "row_number": "integer", "content_key": "text"}


@dataclass(frozen=True)
class Dimension:
    """A table with history.  What a change of a column does is its policy:

    tracked      opens a version (type 2)
    overwritten  the latest value stands on all versions (type 1)
    original     the first value stands on all versions (type 0)
    version      the last value inside a version stands on it
    current      tracked columns whose latest value stands on all versions too, as `current_<column>` (type 6)
    """

    name: str
    source: str
    key: tuple[str, ...]
    tracked: tuple[str, ...]
    overwritten: tuple[str, ...]
    on_delete: str = "close"
    comment: str = ""
    original: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    ignore_nulls: bool = False  # events are partial: a NULL says nothing, the value before it carries on

    @property
    def values(self) -> tuple[str, ...]:
        """The columns of the source that stand on a version, besides its key."""
        return (*self.tracked, *self.overwritten, *self.original, *self.version)

    @property
    def keeps_deletions(self) -> bool:
        return self.on_delete == "new_record"

    @property
    def state(self) -> tuple[str, ...]:
        """The columns by which one version differs from the next."""
        return (*self.tracked, "is_deleted") if self.keeps_deletions else self.tracked

    @property
    def of_key(self) -> tuple[str, ...]:
        """The columns that are equal on all versions of a key."""
        return (*self.overwritten, *self.original, *self.current_columns)

    @property
    def current_columns(self) -> tuple[str, ...]:
        return tuple(f"current_{column}" for column in self.current)

    @property
    def of_version(self) -> tuple[str, ...]:
        """The other columns a version has, besides its interval."""
        return (*self.tracked, *self.version, *(("is_deleted",) if self.keeps_deletions else ()))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns of a version in the order of the table, besides its key and its interval."""
        return (*self.values, *self.current_columns, *(("is_deleted",) if self.keeps_deletions else ()))

    def attribute_types(self, types: Mapping[str, str]) -> dict[str, str]:
        """Types of the attributes, from those of the source."""
        own = {f"current_{column}": types[column] for column in self.current} | {"is_deleted": "boolean"}
        return {column: own[column] if column in own else types[column] for column in self.attributes}

    @property
    def noun(self) -> str:
        return self.name.removeprefix("dim_")

    @property
    def durable_key(self) -> str:
        return f"{self.noun}_key"

    @property
    def version_key(self) -> str:
        return f"{self.noun}_version_key"

    @property
    def table(self) -> str:
        return names.qualified("gold", self.name)

    @property
    def stage(self) -> str:
        return names.qualified("stage", self.name)

    @property
    def step(self) -> str:
        return f"dimension {self.name}"


@dataclass(frozen=True)
class Lookup:
    """How a fact finds its row in a dimension: `by` equals the dimension's key, valid at `as_of`."""

    name: str
    dimension: str
    by: tuple[str, ...]
    as_of: str

    @property
    def durable_key(self) -> str:
        return f"{self.name}_key"

    @property
    def version_key(self) -> str:
        return f"{self.name}_version_key"


@dataclass(frozen=True)
class Measure:
    """A named expression with the type of its outcome."""

    name: str
    expression: str
    type: str = "number"
    comment: str = ""


@dataclass(frozen=True)
class Fact:
    """One row per grain: the last word of the source on it, with the versions valid at its time."""

    name: str
    source: str
    grain: tuple[str, ...]
    at: str
    lookups: tuple[Lookup, ...] = ()
    keep: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    where: str = ""
    comment: str = ""
    calendar: str = ""  # the pipeline's date dimension, if it has one

    @property
    def table(self) -> str:
        return names.qualified("gold", self.name)

    @property
    def stage(self) -> str:
        return names.qualified("stage", self.name)

    @property
    def step(self) -> str:
        return f"fact {self.name}"

    def from_source(self) -> tuple[str, ...]:
        """Columns taken over from silver as they are: grain, time, keys of the lookups, kept columns."""
        keys = [column for lookup in self.lookups for column in lookup.by]
        times = [lookup.as_of for lookup in self.lookups]
        return tuple(dict.fromkeys([*self.grain, self.at, *times, *keys, *self.keep]))

    def keys(self) -> tuple[str, ...]:
        found = tuple(key for lookup in self.lookups for key in (lookup.durable_key, lookup.version_key))
        return (*found, "date_key") if self.calendar else found


@dataclass(frozen=True)
class Kpi:
    """Numbers per period and/or group, computed from one fact."""

    name: str
    fact: str
    measures: tuple[Measure, ...]
    period: str = ""
    by: tuple[str, ...] = ()
    where: str = ""
    comment: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns one row is known by."""
        return (*((self.period,) if self.period else ()), *self.by)

    @property
    def scope(self) -> tuple[str, ...]:
        """What a changed fact touches: its period, or without periods its group."""
        return (self.period,) if self.period else self.by

    @property
    def table(self) -> str:
        return names.qualified("gold", self.name)

    @property
    def touched(self) -> str:
        return names.qualified("control", f"touched_{self.name}")

    @property
    def step(self) -> str:
        return f"measure {self.name}"


@dataclass(frozen=True)
class Example:
    """Rows that come, in batches, and the rows that must stand in tables after them; `firn test` runs it."""

    name: str
    given: tuple[Mapping[str, tuple[Mapping[str, str | None], ...]], ...]
    expect: Mapping[str, tuple[Mapping[str, str | None], ...]]
    line: int = 0


@dataclass(frozen=True)
class Pipeline:
    """Everything one file declares."""

    name: str
    schedule: str
    sources: tuple[Source, ...]
    dimensions: tuple[Dimension, ...] = ()
    facts: tuple[Fact, ...] = ()
    kpis: tuple[Kpi, ...] = ()
    bronze_retention: timedelta = timedelta(days=7)
    log_retention: timedelta = timedelta(days=90)
    quarantine_retention: timedelta = timedelta(days=365)  # of rows that were released or discarded; waiting rows stay
    sweep_limit: int = 5_000_000  # rows of bronze a sweep takes out of one source at most, give or take a load
    freshness: Mapping[str, timedelta] = field(default_factory=dict)
    budget: timedelta | None = None  # what its steps may take in a day (UTC) before KPIs and sweep wait for the next
    comment: str = ""
    when: str = "schedule"  # or `arrival`: streams on bronze start the graph, the schedule looks after what they missed
    calendar: str = ""  # the date dimension that facts point to
    tests: tuple[Example, ...] = field(default=(), compare=False)

    def source(self, name: str) -> Source:
        return next(source for source in self.sources if source.name == name)

    def dimension(self, name: str) -> Dimension:
        return next(dimension for dimension in self.dimensions if dimension.name == name)

    def fact(self, name: str) -> Fact:
        return next(fact for fact in self.facts if fact.name == name)

    def kpi(self, name: str) -> Kpi:
        return next(kpi for kpi in self.kpis if kpi.name == name)

    def fact_types(self, fact: Fact) -> dict[str, str]:
        """A fact's columns and their types, in the order of the table."""
        types = self.source(fact.source).types()
        return {
            **{column: types.get(column, "text") for column in fact.from_source()},
            **{key: "integer" for key in fact.keys()},  # noqa: SIM118 - a fact is no dict
            **{measure.name: measure.type for measure in fact.measures},
        }

    def kpi_types(self, kpi: Kpi) -> dict[str, str]:
        """A KPI's columns and their types, in the order of the table."""
        types = self.fact_types(self.fact(kpi.fact))
        return {
            **({kpi.period: "date"} if kpi.period else {}),
            **{column: types.get(column, "text") for column in kpi.by},
            **{measure.name: measure.type for measure in kpi.measures},
        }

