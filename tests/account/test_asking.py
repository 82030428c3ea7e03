"""The time and the facts of a session are right for each statement, and set only for those that can ask for them."""

from __future__ import annotations

import datetime as dt

import pytest

from local.account import Account
from local.dialect import Cursor
from local.duck import Duck
from local.stages import stage_folder

DEFINED = [
    "CREATE DATABASE d",
    "CREATE TABLE plain (n NUMBER, known_now BOOLEAN)",
    "INSERT INTO plain VALUES (1, TRUE)",
    "CREATE VIEW direct AS SELECT CURRENT_TIMESTAMP() AS at",
    "CREATE VIEW nested AS SELECT at FROM direct",
    'CREATE VIEW "a ""view"" of it" AS SELECT at FROM d.public.nested',
    "CREATE VIEW first_name AS SELECT SYSDATE() AS at",
    "ALTER VIEW first_name RENAME TO second_name",
    "CREATE VIEW turned AS SELECT 1 AS at",
    "CREATE OR REPLACE VIEW turned AS SELECT GETDATE() AS at",
    "CREATE VIEW who AS SELECT CURRENT_ROLE() AS role",
    "CREATE TABLE stamped (n NUMBER, at TIMESTAMP_LTZ DEFAULT CURRENT_TIMESTAMP())",
    "CREATE TABLE alike LIKE stamped",
    "CREATE TABLE renamed (n NUMBER, at TIMESTAMP_LTZ DEFAULT CURRENT_TIMESTAMP())",
    "ALTER TABLE renamed RENAME TO called_otherwise",
    "CREATE TABLE longer (n NUMBER)",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("asking")


@pytest.fixture(scope="module", params=["as made", "opened again"])
def connection(folder, request):
    duck = Duck(folder)
    session = duck.session(None if request.param == "as made" else "D", None)
    for sql in DEFINED if request.param == "as made" else ():
        session.cursor().execute(sql)
    yield session
    session.close()
    duck.close()


def run(connection, sql: str) -> list[tuple]:
    return connection.cursor().execute(sql).fetchall()


def instant(value) -> dt.datetime:
    """In UTC, whatever kind of timestamp it was."""
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


ASKS = [
    "SELECT CURRENT_TIMESTAMP()",
    "SELECT at FROM direct",
    "SELECT at FROM d.public.NESTED",
    'SELECT at FROM "a ""view"" of it"',
    "SELECT at FROM second_name",
    "WITH inner_one AS (SELECT * FROM turned) SELECT at FROM inner_one",
]


@pytest.mark.parametrize("sql", ASKS)
def test_a_statement_that_asks_for_the_time_is_told_its_own(connection, sql):
    for _ in range(2):  # the second time its translation is known
        run(connection, "SELECT n FROM plain")
        before = dt.datetime.now(dt.UTC)
        ((found,),) = run(connection, sql)
        assert before <= instant(found) <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("table", ["stamped", "alike", "called_otherwise"])
def test_a_default_is_the_time_of_its_statement(connection, table):
    for number in (1, 2):
        before = dt.datetime.now(dt.UTC)
        run(connection, f"INSERT INTO {table} (n) SELECT {number}")
        ((found,),) = run(connection, f"SELECT at FROM {table} WHERE n = {number}")
        run(connection, f"DELETE FROM {table}")
        assert before <= instant(found) <= dt.datetime.now(dt.UTC)


def test_a_default_that_a_table_is_given_later_is_the_time_of_its_statement(connection):
    run(connection, "CREATE OR REPLACE TABLE longer (n NUMBER, at TIMESTAMP_NTZ DEFAULT SYSDATE())")
    run(connection, "INSERT INTO longer (n) SELECT 1")
    before = dt.datetime.now(dt.UTC)
    run(connection, "INSERT INTO longer (n) SELECT 2")

    ((found,),) = run(connection, "SELECT at FROM longer WHERE n = 2")

    assert before <= instant(found)


def test_a_view_tells_the_role_of_the_moment(connection):
    run(connection, "SELECT n FROM plain")
    connection.role = "SOMEBODY"
    assert run(connection, "SELECT role FROM who") == [("SOMEBODY",)]
    connection.role = "ACCOUNTADMIN"
    assert run(connection, "SELECT role FROM who") == [("ACCOUNTADMIN",)]


@pytest.mark.parametrize(
    "sql",
    ["SELECT n FROM plain WHERE known_now", "UPDATE plain SET n = 1", "SELECT n + 1 :: INT FROM plain WHERE n > 0 :: INT", "BEGIN", "COMMIT"],
)
def test_a_statement_that_cannot_ask_is_told_nothing(connection, monkeypatch, sql):
    told = []
    run(connection, sql)
    monkeypatch.setattr(Cursor, "set_variables", told.append)

    run(connection, sql)

    assert told == []


def test_the_id_of_the_last_query_is_that_of_the_last_query(connection):
    cursor = connection.cursor().execute("SELECT n FROM plain")

    assert run(connection, "SELECT LAST_QUERY_ID()") == [(cursor.sfqid,)]


def test_what_copy_leaves_to_a_default_is_the_time_of_the_copy(tmp_path):
    account = Account(tmp_path)
    session = account.session()
    for sql in ("CREATE DATABASE d", "CREATE STAGE d.public.files", "CREATE TABLE d.public.copied (n NUMBER, at TIMESTAMP_LTZ DEFAULT CURRENT_TIMESTAMP())"):
        account.answer(session, sql)
    account.execute(session, "SELECT at FROM d.public.copied")
    stage_folder(account, "D", "PUBLIC", "FILES").mkdir(parents=True, exist_ok=True)
    (stage_folder(account, "D", "PUBLIC", "FILES") / "a.csv").write_text("1\n")
    before = dt.datetime.now(dt.UTC)

    account.answer(session, "COPY INTO d.public.copied (n) FROM @d.public.files")

    ((number, found),) = session.connection.cursor().execute("SELECT n, at FROM d.public.copied").fetchall()
    account.close()
    assert number == 1 and before <= instant(found) <= dt.datetime.now(dt.UTC)
