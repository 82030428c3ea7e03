"""All tables of an account kept, put back and compared: what a run left, less the clock and the names of runs.

Reads and writes DuckDB past the account: nothing of this is a statement of the application.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from specs import Dimension, Pipeline

from local.dialect_names import quoted
from local.rig import Rig

KEPT = "drill"  # a DuckDB database in memory
SHOWN = 3
# A sweep that dies between its DELETE in bronze and its row in the log has swept: the next finds nothing and takes no batch number,
# so the batches after it have other numbers.  Whether a step has seen any is compared.  For the same reason the sweep's own accounts
# are left out, here and in the log; what it deleted is compared in bronze itself.
COUNTERS = {
    ("parameter_control", "last_batch"): "CASE WHEN step NOT IN ('pipeline', 'sweep') THEN last_batch > 0 END",
    **{("parameter_control", name): f"CASE WHEN step <> 'sweep' THEN {name} END" for name in ("rows_read", "rows_written")},
}
LOG = ("FIRN", "CONTROL", "PIPELINE_LOG")
ALERTS = ("FIRN", "CONTROL", "ALERTS")  # they tell of the accident itself
ACCOUNTS = """
    SELECT pipeline, step, sum(rows_read), sum(rows_written), sum(rows_duplicate), sum(rows_superseded), sum(rows_quarantined), sum(rows_held)
    FROM {log} WHERE status = 'succeeded' AND step <> 'sweep' GROUP BY ALL"""


@dataclass(frozen=True)
class Table:
    """A table, all its columns, and those of them by which two runs are compared."""

    database: str
    schema: str
    name: str
    columns: tuple[str, ...]
    compared: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str, str]:
        return self.database, self.schema, self.name

    @property
    def tells_of_the_run(self) -> bool:
        return self.place in (LOG, ALERTS)

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}".lower()

    def sql(self, as_: str | None = None) -> str:
        return place_sql(self.place, as_)


def place_sql(place: tuple[str, str, str], as_: str | None = None) -> str:
    """A table as it is now, or as it was kept under a name."""
    if as_ is None:
        return ".".join(quoted(part) for part in place)
    return f"{KEPT}.{quoted(as_)}.{quoted('.'.join(place))}"


def tables(rig: Rig) -> list[Table]:
    """Every table of the application and of the landing database."""
    there = tuple(
        rig.duck(
            "SELECT database_name, schema_name, table_name, column_count, table_oid FROM duckdb_tables() WHERE database_name IN ('FIRN', 'FIRN_LANDING') "
            "AND lower(schema_name) NOT IN ('main', '_fs_information_schema', 'information_schema') ORDER BY ALL"
        )
    )
    known = COLUMNS.get(rig)
    if known is None or known[0] != there:  # to ask for every column takes as long as to compare all tables
        columns: dict[tuple[str, str, str], list[str]] = {row[:3]: [] for row in there}
        for *place, column in rig.duck("SELECT database_name, schema_name, table_name, column_name FROM duckdb_columns() ORDER BY column_index"):
            if tuple(place) in columns:
                columns[tuple(place)].append(column)
        known = COLUMNS[rig] = there, [
            Table(*place, tuple(named), tuple(name for name in named if is_compared(place, name.lower()))) for place, named in columns.items()
        ]
    return known[1]


COLUMNS: WeakKeyDictionary[Rig, tuple[Any, list[Table]]] = WeakKeyDictionary()


def is_compared(place: tuple[str, str, str], column: str) -> bool:
    """Not when it was done, in which run and which batch: two runs may differ in these."""
    schema, name = place[1].lower(), place[2].lower()
    if column == "batch_no":
        return False
    if schema == "control":
        if name == "alerts":
            return column in ("pipeline", "kind", "subject", "state", "severity")
        is_clock = column.endswith("_at") and column != "loaded_at"
        return not is_clock and column not in ("run_id", "computed_at") and (name, column) != ("parameter_control", "status")
    return column != "computed_at"


# --- keeping


def keep(rig: Rig, as_: str) -> None:
    """Keeps a copy of everything under a name."""
    if not rig.duck(f"SELECT 1 FROM duckdb_databases() WHERE database_name = '{KEPT}'"):
        rig.duck(f"ATTACH ':memory:' AS {KEPT}")
    rig.duck(f"DROP SCHEMA IF EXISTS {KEPT}.{quoted(as_)} CASCADE")
    rig.duck(f"CREATE SCHEMA {KEPT}.{quoted(as_)}")
    for table in tables(rig):
        rig.duck(f"CREATE TABLE {table.sql(as_)} AS SELECT * FROM {table.sql()}")


def put_back(rig: Rig, as_: str, only: Collection[tuple[str, str, str]] = ()) -> None:
    """Makes everything as it was when it was kept, or only these tables."""
    wanted = [table for table in tables(rig) if not only or table.place in only]
    with rig.account.duck.duck_conn.cursor() as cursor:
        for database in sorted({table.database for table in wanted}):
            cursor.execute("BEGIN")
            for table in wanted:
                if table.database == database:
                    cursor.execute(f"DELETE FROM {table.sql()}")
                    cursor.execute(f"INSERT INTO {table.sql()} SELECT * FROM {table.sql(as_)}")
            cursor.execute("COMMIT")


# --- what two runs are compared by


def shown(pipeline: Pipeline, table: Table, as_: str | None) -> str:
    """The compared columns of a table, as expressions.

    Surrogate keys are numbered in the order in which rows happen to come, which another run may change: where one stands, the
    natural key is compared that it means, with the version's beginning.  That no two share a number is `numbering`.
    """
    meant = keys_of(pipeline, table, as_)
    known = [COUNTERS.get((table.name.lower(), column.lower())) or meant.get(column.lower()) or quoted(column) for column in table.compared]
    return ", ".join(known) or "1"


def keys_of(pipeline: Pipeline, table: Table, as_: str | None) -> dict[str, str]:
    """What the surrogate keys in a table mean, by column."""
    dimensions = {dimension.name: dimension for dimension in pipeline.dimensions}
    found: dict[str, str] = {}
    for dimension in pipeline.dimensions:
        if dimension.table == table.title:
            found[dimension.durable_key] = meaning(dimension, dimension.durable_key, dimension.durable_key, as_)
            found[dimension.version_key] = meaning(dimension, dimension.version_key, dimension.version_key, as_)
    for fact in pipeline.facts:
        for look in fact.lookups if fact.table == table.title else ():
            other = dimensions[look.dimension]
            found[look.durable_key] = meaning(other, other.durable_key, look.durable_key, as_)
            found[look.version_key] = meaning(other, other.version_key, look.version_key, as_)
    if table.title == "control.changed_window":
        whens = " ".join(f"WHEN dimension = '{d.name}' THEN {meaning(d, d.durable_key, 'durable_key', as_)}" for d in pipeline.dimensions)
        found["durable_key"] = f"CASE {whens} END" if whens else "durable_key"
    return found


def meaning(dimension: Dimension, key: str, column: str, as_: str | None) -> str:
    """The member that a key in a column stands for; standing members (below 1) stand for themselves, a number nobody has for itself."""
    words = [*dimension.key, *(["valid_from"] if key == dimension.version_key else [])]
    named = " || ' ' || ".join(f"member.{quoted(word)}::VARCHAR" for word in words)
    members = place_sql(("FIRN", *dimension.table.upper().split(".")), as_)
    return (
        f"CASE WHEN outer_row.{quoted(column)} > 0 THEN coalesce((SELECT min({named}) FROM {members} AS member "
        f"WHERE member.{quoted(key)} = outer_row.{quoted(column)}), outer_row.{quoted(column)} || ' of nobody') "
        f"ELSE outer_row.{quoted(column)}::VARCHAR END"
    )


def numbering(dimension: Dimension, as_: str | None) -> str:
    """How many members, versions and numbers of both a dimension has: each version has one number, each member one that no other has."""
    members = place_sql(("FIRN", *dimension.table.upper().split(".")), as_)
    member = ", ".join(quoted(column) for column in dimension.key)
    durable, version = quoted(dimension.durable_key), quoted(dimension.version_key)
    return (
        f"SELECT '{dimension.table} keys', count(*), count(DISTINCT {version}), count(DISTINCT {durable}), "
        f"count(DISTINCT ({member})), count(DISTINCT ({durable}, {member})) FROM {members}"
    )


@dataclass(frozen=True)
class State:
    """All tables in numbers: of each, its rows and a hash of what is compared.  `accounts` are those of the log, `outcomes` how many
    rows of each step and status it has."""

    tables: tuple[Any, ...]
    accounts: tuple[Any, ...]
    outcomes: tuple[Any, ...]

    def equals(self, other: State) -> bool:
        """Of the log, the accounts: its other rows tell of the accident."""
        return self.tables == other.tables and self.accounts == other.accounts


def exact(rig: Rig, as_: str | None = None) -> State:
    """Bit for bit: clocks, numbers and names of runs included."""
    return in_numbers(rig, as_, [(table, ", ".join(map(quoted, table.columns))) for table in tables(rig)], [])


def state(rig: Rig, as_: str | None = None) -> State:
    """In what two runs are compared by."""
    dimensions = [numbering(dimension, as_) for dimension in rig.pipeline.dimensions]
    return in_numbers(rig, as_, [(table, shown(rig.pipeline, table, as_)) for table in tables(rig)], dimensions)


def in_numbers(rig: Rig, as_: str | None, columns: Sequence[tuple[Table, str]], more: Sequence[str]) -> State:
    parts = [
        f"SELECT '{'.'.join(table.place)}', count(*), sum(hash({listed})::HUGEINT) FROM {table.sql(as_)} AS outer_row"
        for table, listed in columns
        if not table.tells_of_the_run
    ]
    numbers = tuple(rig.duck(" UNION ALL ".join(parts)))
    keys = tuple(tuple(rig.duck(sql)) for sql in more)
    log = place_sql(LOG, as_)
    accounts = tuple(sorted(rig.duck(ACCOUNTS.format(log=log)), key=repr))
    outcomes = tuple(sorted(rig.duck(f"SELECT step, status, count(*) FROM {log} WHERE status <> 'nothing new' GROUP BY ALL")))
    return State((*sorted(numbers), *keys), accounts, outcomes)


def differences(rig: Rig, as_: str) -> list[str]:
    """What is not as it was kept, a line each; empty when all is."""
    told: list[str] = []
    for table in tables(rig):
        if not table.tells_of_the_run:
            here, there = (f"SELECT {shown(rig.pipeline, table, where)} FROM {table.sql(where)} AS outer_row" for where in (None, as_))
            told += of(rig, table.title, here, there)
    for dimension in rig.pipeline.dimensions:
        told += of(rig, f"keys of {dimension.name}", numbering(dimension, None), numbering(dimension, as_))
    here, there = (ACCOUNTS.format(log=place_sql(LOG, where)) for where in (None, as_))
    return told + of(rig, "accounts in the log", here, there)


def of(rig: Rig, title: str, here: str, there: str) -> list[str]:
    told = []
    for word, minuend, subtrahend in (("too much", here, there), ("missing", there, here)):
        rows = rig.duck(f"({minuend}) EXCEPT ALL ({subtrahend})")
        told += [f"{title}: {word}: {tuple(map(str, row))}" for row in rows[:SHOWN]]
        told += [f"{title}: {word}: and {len(rows) - SHOWN} rows more"] if len(rows) > SHOWN else []
    return told
