"""The account's tables: one DuckDB file per Snowflake database in a folder, and what all databases share beside them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import duckdb
from fakesnow import info_schema, macros
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.instance import GLOBAL_DATABASE_NAME, FakeSnow
from fakesnow.transforms import show
from snowflake.connector.cursor import DictCursor, SnowflakeCursor

from local import functions
from local.asking import Asking
from local.dialect import Cursor
from local.dialect_names import quoted
from local.errors import exists, missing

RESULTS_KEPT = 20

# What Snowflake knows of a table and DuckDB is not told: the declared types, and constraints that nobody enforces.
OWN_TABLES = """
CREATE TABLE IF NOT EXISTS _fs_global._fs_information_schema._firn_columns (
    table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, declared VARCHAR);
CREATE TABLE IF NOT EXISTS _fs_global._fs_information_schema._firn_constraints (
    table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, kind VARCHAR, constraint_name VARCHAR, columns VARCHAR[],
    referenced VARCHAR);
CREATE TABLE IF NOT EXISTS _fs_global._fs_information_schema._firn_transient (table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR);
"""


class Connection(FakeSnowflakeConnection):
    """A session: its current database and schema, its transaction, its temporary tables, its variables."""

    def __init__(self, duck: Duck, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, create_database=False, create_schema=False, db_path=duck.folder, **kwargs)
        self.duck = duck
        self.role, self.user, self.account, self.warehouse = "ACCOUNTADMIN", "LOCAL", "LOCAL", "COMPUTE_WH"
        self.temporary: dict[tuple[str, str, str], str] = {}
        self.account_session: Any = None  # the account's own session, where there is one
        self.app: str | None = None  # the application whose rights this session has
        self.results: dict[str, Any] = {}  # the last answers, for RESULT_SCAN
        self.last_query_id = ""
        self.facts_set: dict[str, Any] = {}
        self.session_id = str(next(duck.session_ids))
        self.aborted: str | None = None  # the error after which DuckDB takes nothing more in this transaction
        self.probe = self._duck_conn.cursor()  # binds statements outside the session's transaction
        # A name that does not exist leaves the session without one, and a database brings its schema PUBLIC.
        # https://docs.snowflake.com/en/sql-reference/sql/use-database
        if not self.database_set:
            self.database = self._schema = None
        elif not self.schema_set:
            asked, self._schema = self._schema, None
            if not asked and duck.has_schema(self.database, "PUBLIC"):
                self.use(self.database, "PUBLIC")

    def use(self, database: str, schema: str | None) -> None:
        """Make a database and schema current. Both exist: the caller has looked."""
        self.database, self.database_set = database, True
        self._schema, self.schema_set = schema, schema is not None
        self._duck_conn.execute(f"USE {quoted(database)}.{quoted(schema or 'main')}")

    def facts(self) -> dict[str, Any]:
        """What CURRENT_ROLE() and its like answer; the account's own session knows better where there is one."""
        own = self.account_session or self
        return {
            "role": getattr(own, "role", self.role),
            "warehouse": getattr(own, "warehouse", self.warehouse),
            "user": self.user,
            "account": self.account,
            "session": self.session_id,
            "database": self.database if self.database_set else None,
            "schema": self.schema if self.schema_set else None,
            "last_query_id": self.last_query_id,
        }

    def remember(self, query_id: str, table: Any) -> None:
        """Keep an answer for RESULT_SCAN: docs.snowflake.com/en/sql-reference/functions/result_scan"""
        self.last_query_id = query_id
        self.results[query_id] = table
        while len(self.results) > RESULTS_KEPT:
            self.results.pop(next(iter(self.results)))

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> Cursor:
        return Cursor(conn=self, duck_conn=self._duck_conn, use_dict_result=cursor_class == DictCursor)

    def close(self, retry: bool = True) -> None:
        if not self._is_closed:
            self.probe.close()
            super().close(retry)


class Duck(FakeSnow):
    """All databases of an account, opened on a folder: `<folder>/<NAME>.db`, attached again on every open.

    DuckDB writes through a log, so a killed account opens as its last commit left it.
    DuckDB may not fetch extensions: the account works without a network.
    """

    def __init__(self, folder: Path | str, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.create_database_on_connect = self.create_schema_on_connect = False
        self.db_path, self.nop_regexes = self.folder, None
        self.results_cache: dict[str, tuple] = {}
        self.plans: dict[Any, Any] = {}  # statements already translated, see dialect.Cursor
        self.bound: set[Any] = set()  # shapes of statements known to bind to the tables there are
        self.resolve_function: Callable[[Connection, tuple[str, ...]], str | None] | None = None
        self.lock = threading.RLock()
        self.scratching = 0  # statements under way that fill a transient table
        self.session_ids = itertools.count(1)
        config: dict[str, Any] = {
            "lambda_syntax": "ENABLE_SINGLE_ARROW",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # Otherwise a table that does not exist is looked up among Python's variables.
            "python_enable_replacements": False,
        }
        config |= {"memory_limit": memory_limit} if memory_limit else {}
        config |= {"threads": threads} if threads else {}
        self.duck_conn = duckdb.connect(":memory:", config=config)
        self.duck_conn.execute("SET GLOBAL TimeZone = 'UTC'")
        self.duck_conn.execute(f"ATTACH '{self._file(GLOBAL_DATABASE_NAME)}' AS {GLOBAL_DATABASE_NAME}")
        self.duck_conn.execute(info_schema.fs_global_creation_sql())
        self.duck_conn.execute(show.fs_global_creation_sql())
        self.duck_conn.execute(OWN_TABLES)
        functions.install(self.duck_conn)
        for file in sorted(self.folder.glob("*.db")):
            if (name := unquote(file.stem)) != GLOBAL_DATABASE_NAME:
                self.duck_conn.execute(f"ATTACH '{file}' AS {quoted(name)}")
        self.asking = Asking(self.duck_conn)

    def _file(self, database: str) -> Path:
        return self.folder / f"{quote(database, safe='$ ')}.db"

    def forget_plans(self) -> None:
        """After DDL, and when a user-defined function comes or goes."""
        self.plans.clear()
        self.bound.clear()

    def defined(self, statements: list[str]) -> None:
        """After DDL: a definition that asks for the time has a name by which others ask for it."""
        self.forget_plans()
        if any(self.asking.asks(statement) for statement in statements):
            with self.duck_conn.cursor() as cursor:
                self.asking.learn(cursor)

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """While rows go into a transient table: DuckDB keeps them in memory until the commit.

        Left to itself it compresses whole row groups and writes them to its file at once, four times the work, and a
        step deletes them before it commits.  The setting is the instance's: what others write meanwhile reaches the
        file at their commit, through the log as ever.
        """
        self._scratching(1)
        try:
            yield
        finally:
            self._scratching(-1)

    def _scratching(self, change: int) -> None:
        with self.lock:
            before, self.scratching = self.scratching, self.scratching + change
            if bool(before) != bool(self.scratching):
                self.duck_conn.execute(f"SET GLOBAL enable_optimistic_write = {not self.scratching}")

    # --- databases and schemas

    def databases(self) -> list[str]:
        rows = self.duck_conn.cursor().execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        return sorted(name for (name,) in rows if name != GLOBAL_DATABASE_NAME)

    def has_database(self, database: str | None) -> bool:
        return database in self.databases()

    def has_schema(self, database: str | None, schema: str | None) -> bool:
        sql = "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?"
        return self.duck_conn.cursor().execute(sql, [database, schema]).fetchone() is not None

    def create_database(self, database: str) -> None:
        """A new, empty database with its schema PUBLIC, which Snowflake makes too.

        https://docs.snowflake.com/en/sql-reference/sql/create-database
        """
        with self.lock, self.duck_conn.cursor() as cursor:
            if self.has_database(database):
                raise exists(database)
            cursor.execute(f"ATTACH '{self._file(database)}' AS {quoted(database)}")
            cursor.execute(info_schema.per_db_creation_sql(quoted(database)).replace(f"'{quoted(database)}'", f"'{database}'"))
            cursor.execute(macros.creation_sql(quoted(database)))
            cursor.execute(f"CREATE SCHEMA {quoted(database)}.PUBLIC")

    def drop_database(self, database: str) -> None:
        with self.lock, self.duck_conn.cursor() as cursor:
            if not self.has_database(database):
                raise missing("database", database)
            cursor.execute(f"DETACH {quoted(database)}")
            for path in (self._file(database), self._file(database).with_suffix(".db.wal")):
                path.unlink(missing_ok=True)
            for table, prefix in (("_fs_tables_ext", "ext_"), ("_fs_columns_ext", "ext_"), ("_firn_columns", ""), ("_firn_constraints", ""), ("_firn_transient", "")):
                sql = f"DELETE FROM {GLOBAL_DATABASE_NAME}._fs_information_schema.{table} WHERE {prefix}table_catalog = ?"
                cursor.execute(sql, [database])

    # --- sessions

    def session(self, database: str | None = None, schema: str | None = None, **kwargs: Any) -> Connection:
        return self.connect(database, schema, **kwargs)

    def connect(self, database: str | None = None, schema: str | None = None, nop_regexes: list[str] | None = None, **kwargs: Any) -> Connection:
        cursor = self.duck_conn.cursor()
        return Connection(self, cursor, self.results_cache, database, schema, nop_regexes=nop_regexes, **kwargs)

    def checkpoint(self) -> None:
        """Fold the logs into the files. A database somebody is writing to keeps its log until the next time."""
        with self.duck_conn.cursor() as cursor:
            for database in [*self.databases(), GLOBAL_DATABASE_NAME]:
                try:
                    cursor.execute(f"CHECKPOINT {quoted(database)}")
                except duckdb.Error:
                    continue

    def close(self) -> None:
        self.checkpoint()
        self.duck_conn.close()
