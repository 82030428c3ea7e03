"""Transient tables: rows as in any other, but not written to the file before the commit.

docs.snowflake.com/en/user-guide/tables-temp-transient
"""

from __future__ import annotations

import pytest

from local.dialect import Cursor
from local.duck import Duck


@pytest.fixture
def connection(tmp_path):
    duck = Duck(tmp_path)
    session = duck.session()
    for sql in ("CREATE DATABASE d", "CREATE TRANSIENT TABLE scratch (n NUMBER, word VARCHAR)", "CREATE TABLE kept (n NUMBER, word VARCHAR)"):
        session.cursor().execute(sql)
    yield session
    session.close()
    duck.close()


def setting(connection) -> str:
    return connection._duck_conn.execute("SELECT value FROM duckdb_settings() WHERE name = 'enable_optimistic_write'").fetchone()[0]


@pytest.mark.parametrize(("table", "during"), [("scratch", "false"), ("d.public.scratch", "false"), ("kept", "true")])
def test_rows_are_kept_in_memory_until_the_commit_while_a_transient_table_is_filled(connection, monkeypatch, table, during):
    seen = []
    run = Cursor._retrying

    def watched(self, sql, values):
        seen.append(setting(connection))
        run(self, sql, values)

    monkeypatch.setattr(Cursor, "_retrying", watched)
    connection.cursor().execute(f"INSERT INTO {table} SELECT 1, 'a'")

    assert seen == [during]
    assert setting(connection) == "true", "for the other tables all is as before"


def test_two_sessions_at_once_end_it_when_the_last_is_done(connection):
    with connection.duck.scratch():
        with connection.duck.scratch():
            pass
        assert setting(connection) == "false"
    assert setting(connection) == "true"


def test_rows_of_a_transient_table_are_there_when_the_account_is_opened_again(tmp_path):
    for _ in range(2):
        duck = Duck(tmp_path)
        if not duck.has_database("D"):
            duck.session().cursor().execute("CREATE DATABASE d")
        session = duck.session("D", "PUBLIC")
        session.cursor().execute("CREATE TRANSIENT TABLE IF NOT EXISTS scratch (n NUMBER)")
        session.cursor().execute("INSERT INTO scratch SELECT seq4() FROM TABLE(GENERATOR(ROWCOUNT => 300000))")
        count = session.cursor().execute("SELECT count(*) FROM scratch").fetchone()[0]
        session.close()
        duck.close()

    assert count == 600_000


def test_an_insert_that_fails_leaves_the_setting_as_it_was(connection):
    with pytest.raises(Exception, match="(?i)convert|numeric"):
        connection.cursor().execute("INSERT INTO scratch SELECT 'x'::NUMBER, 'y'")

    assert setting(connection) == "true"


def test_show_tables_says_which_are_transient_also_under_another_name(connection):
    connection.cursor().execute("ALTER TABLE scratch RENAME TO scrap")
    rows = connection.cursor().execute("SHOW TABLES IN SCHEMA d.public").fetchall()
    kinds = {row[1]: "TRANSIENT" in row for row in rows}
    connection.cursor().execute("DROP TABLE scrap")
    connection.cursor().execute("CREATE TABLE scrap (n NUMBER)")

    assert kinds == {"SCRAP": True, "KEPT": False}
    assert not any("TRANSIENT" in row for row in connection.cursor().execute("SHOW TABLES IN SCHEMA d.public").fetchall())
