"""The account's databases as files: they stay, they open again after a kill, and sessions stand where Snowflake would put them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from local.duck import Duck

Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duck]:
    opened = Duck(tmp_path_factory.mktemp("account"), threads=2)
    session = opened.session()
    session.cursor().execute("CREATE DATABASE db")
    session.cursor().execute("CREATE SCHEMA s")
    yield opened
    opened.close()


def runner(opened: Duck, database: str | None = "DB", schema: str | None = "S") -> Run:
    """Rows of a statement in one session of its own."""
    session = opened.session(database, schema)

    def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return session.cursor().execute(sql, binding_params=list(params)).fetchall()  # type: ignore[return-value]

    rows.session = session  # type: ignore[attr-defined]
    return rows


@pytest.fixture(scope="module")
def run(duck: Duck) -> Run:
    return runner(duck)


def test_databases_comments_and_constraints_are_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    first = Duck(tmp_path)
    rows = runner(first, None, None)
    rows("CREATE DATABASE sales")
    rows("CREATE TABLE public.t (id NUMBER PRIMARY KEY COMMENT 'the key', v VARCHAR(10)) COMMENT = 'a table'")
    rows("CREATE VIEW public.doubled AS SELECT id * 2 AS twice, id / 3 AS third FROM t")
    rows("INSERT INTO public.t VALUES (3, 'x')")
    first.close()

    again = Duck(tmp_path)
    rows = runner(again, "SALES", None)

    assert rows("SELECT * FROM public.doubled")[0][0] == 6
    described = rows("DESCRIBE TABLE public.t")
    assert [row[:2] for row in described] == [("ID", "NUMBER(38,0)"), ("V", "VARCHAR(10)")]
    assert described[0][5] == "Y" and described[0][9] == "the key"
    assert rows("SELECT comment FROM information_schema.tables WHERE table_name = 'T'") == [("a table",)]
    again.close()


def test_what_was_committed_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    writer = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
        from local.duck import Duck
        session = Duck({str(tmp_path)!r}).session()
        run = lambda sql: session.cursor().execute(sql)
        run("CREATE DATABASE db"); run("CREATE TABLE t (id NUMBER)"); run("INSERT INTO t VALUES (1)")
        run("BEGIN"); run("INSERT INTO t VALUES (2)")
        print("written", flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "written"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    opened = Duck(tmp_path)

    assert runner(opened, "DB", "PUBLIC")("SELECT id FROM t") == [(1,)]
    opened.close()


@pytest.mark.parametrize(("database", "schema", "stands"), [
    pytest.param("DB", "S", ("DB", "S"), id="both exist"),
    pytest.param("DB", None, ("DB", "PUBLIC"), id="a database brings its schema PUBLIC"),
    pytest.param("NOPE", "S", (None, None), id="a missing database leaves none"),
    pytest.param("DB", "NOPE", ("DB", None), id="a missing schema leaves the database"),
    pytest.param(None, None, (None, None), id="none asked for"),
])  # fmt: skip
def test_a_login_creates_nothing(duck: Duck, database: str | None, schema: str | None, stands: tuple[str | None, str | None]) -> None:
    rows = runner(duck, database, schema)

    assert rows("SELECT current_database(), current_schema()") == [stands]
    assert duck.databases() == ["DB"]


def test_create_database_and_create_schema_become_current(duck: Duck) -> None:
    rows = runner(duck)

    rows("CREATE DATABASE other")
    assert rows("SELECT current_database(), current_schema()") == [("OTHER", "PUBLIC")]
    rows("CREATE SCHEMA inner_one")
    assert rows("SELECT current_database(), current_schema()") == [("OTHER", "INNER_ONE")]
    rows("DROP DATABASE other")
    assert rows("SELECT current_database(), current_schema()") == [(None, None)]
    assert duck.databases() == ["DB"]


def test_duckdb_may_neither_fetch_nor_load_extensions(duck: Duck) -> None:
    settings = dict(duck.duck_conn.execute("SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%known%'").fetchall())

    assert settings == {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


def test_a_database_that_is_there_is_not_made_again(run: Run) -> None:
    with pytest.raises(ProgrammingError, match="already exists"):
        run("CREATE DATABASE db")
