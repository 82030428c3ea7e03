"""All tables of an account kept, put back and compared: what a run left, less the clock and the names of runs.

Reads and writes DuckDB past the account: nothing of this is a statement of the application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.dialect_names import quoted
from local.rig import Rig

KEPT = "drill"  # a DuckDB database in memory
SHOWN = 3
# A sweep that dies between its DELETE in bronze and its row in the log has swept: the next finds nothing and takes no batch number,
# so the batches after it have other numbers.  Whether a step has seen any is compared.
COUNTERS = {("parameter_control", "last_batch"): "CASE WHEN step NOT IN ('pipeline', 'sweep') THEN last_batch > 0 END"}
LOG = ("FIRN", "CONTROL", "PIPELINE_LOG")
ALERTS = ("FIRN", "CONTROL", "ALERTS")  # they tell of the accident itself
# For the same reason the sweep's own accounts are left out; what it deleted is compared in bronze itself.
ACCOUNTS = """
    SELECT pipeline, step, sum(rows_read), sum(rows_written), sum(rows_duplicate), sum(rows_superseded), sum(rows_quarantined), sum(rows_held)
    FROM FIRN.CONTROL.PIPELINE_LOG WHERE status = 'succeeded' AND step <> 'sweep' GROUP BY ALL"""


@dataclass(frozen=True)
class Table:
    """A table and those of its columns by which two runs are compared."""

    database: str
    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def sql(self) -> str:
        return ".".join(quoted(part) for part in (self.database, self.schema, self.name))

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}".lower()

    def kept(self, as_: str) -> str:
        return f"{KEPT}.{quoted(as_)}.{quoted(f'{self.database}.{self.schema}.{self.name}')}"

    @property
    def compared(self) -> str:
        return ", ".join(COUNTERS.get((self.name.lower(), column.lower()), quoted(column)) for column in self.columns)


def tables(rig: Rig) -> list[Table]:
    """Every table of the application and of the landing database."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for database, schema, name, column in rig.duck(
        "SELECT c.database_name, c.schema_name, c.table_name, c.column_name FROM duckdb_columns() AS c JOIN duckdb_tables() AS t "
        "USING (database_name, schema_name, table_name) WHERE c.database_name IN ('FIRN', 'FIRN_LANDING') "
        "AND lower(c.schema_name) NOT IN ('main', '_fs_information_schema', 'information_schema') ORDER BY ALL"
    ):
        found.setdefault((database, schema, name), []).append(column)
    return [Table(*place, tuple(c for c in columns if is_compared(place, c.lower()))) for place, columns in found.items()]


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


def keep(rig: Rig, as_: str) -> None:
    """Keeps a copy of everything under a name."""
    if not rig.duck(f"SELECT 1 FROM duckdb_databases() WHERE database_name = '{KEPT}'"):
        rig.duck(f"ATTACH ':memory:' AS {KEPT}")
    rig.duck(f"DROP SCHEMA IF EXISTS {KEPT}.{quoted(as_)} CASCADE")
    rig.duck(f"CREATE SCHEMA {KEPT}.{quoted(as_)}")
    for table in tables(rig):
        rig.duck(f"CREATE TABLE {table.kept(as_)} AS SELECT * FROM {table.sql}")


def put_back(rig: Rig, as_: str) -> None:
    """Makes everything as it was when it was kept."""
    everything = tables(rig)
    with rig.account.duck.duck_conn.cursor() as cursor:
        for database in sorted({table.database for table in everything}):
            cursor.execute("BEGIN")
            for table in everything:
                if table.database == database:
                    cursor.execute(f"DELETE FROM {table.sql}")
                    cursor.execute(f"INSERT INTO {table.sql} SELECT * FROM {table.kept(as_)}")
            cursor.execute("COMMIT")


def signature(rig: Rig) -> tuple[Any, ...]:
    """The same for two accounts with the same rows; the log counts by step and outcome."""
    parts = [
        f"SELECT '{table.title}' AS title, count(*) AS n, sum(hash({table.compared})::HUGEINT) AS h FROM {table.sql}"
        for table in tables(rig)
        if (table.database, table.schema, table.name) not in (LOG, ALERTS)
    ]
    log = f"SELECT 'log', count(*), sum(hash(pipeline, step, status)::HUGEINT) FROM {'.'.join(LOG)} WHERE status <> 'nothing new'"
    return tuple(sorted(rig.duck(" UNION ALL ".join([*parts, log]))))


def differences(rig: Rig, as_: str) -> list[str]:
    """What is not as it was kept, a line each; empty when all is."""
    told: list[str] = []
    for table in tables(rig):
        if (table.database, table.schema, table.name) not in (LOG, ALERTS):
            here, there = (f"SELECT {table.compared} FROM {name}" for name in (table.sql, table.kept(as_)))
            told += of(rig, table.title, here, there)
    log = Table(*LOG, ()).kept(as_)
    return told + of(rig, "accounts in the log", ACCOUNTS, ACCOUNTS.replace("FIRN.CONTROL.PIPELINE_LOG", log))


def of(rig: Rig, title: str, here: str, there: str) -> list[str]:
    told = []
    for word, minuend, subtrahend in (("too much", here, there), ("missing", there, here)):
        rows = rig.duck(f"({minuend}) EXCEPT ALL ({subtrahend})")
        told += [f"{title}: {word}: {tuple(map(str, row))}" for row in rows[:SHOWN]]
        told += [f"{title}: {word}: and {len(rows) - SHOWN} rows more"] if len(rows) > SHOWN else []
    return told
