"""Append-only streams: what was inserted since the offset, which moves with the DML that consumed it and with nothing else."""

from __future__ import annotations

import base64
import io
import threading
import time

import pyarrow as pa
import pytest
from snowflake.connector.errors import ProgrammingError

from local.account import Account


class Shop:
    """An account with a landing table, its stream, and a database that consumes."""

    def __init__(self, folder):
        self.account = Account(folder)
        self.session = self.account.session()
        for name in ("landing", "app"):
            self.run(f"CREATE DATABASE {name}")
        self.run("CREATE TABLE landing.public.sales (id NUMBER, note VARCHAR)", "CREATE TABLE app.public.taken (id NUMBER)")
        self.run("CREATE STREAM landing.public.new_sales ON TABLE landing.public.sales APPEND_ONLY = TRUE COMMENT = 'what came'")

    def run(self, *statements, session=None):
        for sql in statements:
            self.account.execute(session or self.session, sql)

    def rows(self, sql, session=None):
        return rows_of(self.account.execute(session or self.session, sql))

    def seen(self, session=None):
        return sorted(int(row[0]) for row in self.rows("SELECT id FROM landing.public.new_sales", session))

    def has_data(self):
        return self.rows("SELECT SYSTEM$STREAM_HAS_DATA('landing.public.new_sales')")[0][0]

    def sell(self, *ids, session=None):
        self.run(f"INSERT INTO landing.public.sales VALUES {', '.join(f'({i}, NULL)' for i in ids)}", session=session)


def rows_of(data):
    """The rows of an answer on the wire."""
    if not data.get("rowsetBase64"):
        return [tuple(row) for row in data.get("rowset") or []]
    table = pa.ipc.open_stream(io.BytesIO(base64.b64decode(data["rowsetBase64"]))).read_all()
    return [tuple(row.values()) for row in table.to_pylist()]


CONSUME = "INSERT INTO app.public.taken SELECT id FROM landing.public.new_sales"


@pytest.fixture
def shop(tmp_path):
    one = Shop(tmp_path / "account")
    yield one
    one.account.close()


def test_a_stream_shows_what_was_inserted_since_it_was_made(shop):
    shop.sell(1, 2)
    shop.sell(3)

    assert shop.seen() == [1, 2, 3]
    row = shop.rows("SELECT id, note, METADATA$ACTION, METADATA$ISUPDATE FROM landing.public.new_sales AS s WHERE s.id = 3")
    assert [str(value) for value in row[0]] == ["3", "None", "INSERT", "False"]


def test_rows_from_before_the_stream_are_not_in_it(shop):
    shop.sell(1)
    shop.run("CREATE STREAM landing.public.later ON TABLE landing.public.sales APPEND_ONLY = TRUE")
    shop.sell(2)

    assert [int(id_) for (id_,) in shop.rows("SELECT id FROM landing.public.later")] == [2]
    assert shop.seen() == [1, 2]


def test_updates_and_deletes_leave_no_trace(shop):
    shop.sell(1, 2, 3)
    shop.run("UPDATE landing.public.sales SET note = 'x'", "DELETE FROM landing.public.sales WHERE id < 3")
    shop.run("MERGE INTO landing.public.sales s USING (SELECT 3 AS id UNION ALL SELECT 4) n ON s.id = n.id "
             "WHEN MATCHED THEN UPDATE SET note = 'y' WHEN NOT MATCHED THEN INSERT (id) VALUES (n.id)")

    assert shop.seen() == [1, 2, 3, 4]


def test_looking_does_not_move_the_offset_and_a_dml_does(shop):
    shop.sell(1)
    assert (shop.seen(), shop.seen(), shop.has_data()) == ([1], [1], True)

    shop.run(CONSUME)

    assert (shop.seen(), shop.has_data()) == ([], False)
    assert shop.rows("SELECT COUNT(*) FROM app.public.taken")[0][0] in (1, "1")


def test_a_dml_that_takes_no_row_consumes_all_the_same(shop):
    shop.sell(1)
    shop.run(CONSUME + " WHERE FALSE")

    assert (shop.seen(), shop.has_data()) == ([], False)


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_the_offset_moves_with_the_commit_of_its_transaction(shop, end):
    shop.sell(1)
    shop.run("BEGIN", CONSUME, "INSERT INTO app.public.taken VALUES (7)", end)

    assert shop.seen() == ([1] if end == "ROLLBACK" else [])


def test_a_dml_that_fails_moves_nothing(shop):
    shop.sell(1)
    with pytest.raises(ProgrammingError):
        shop.run("INSERT INTO app.public.taken SELECT 1 / 0 FROM landing.public.new_sales")

    assert shop.seen() == [1]


def test_what_commits_during_the_transaction_that_consumes_comes_next(shop):
    other = shop.account.session()
    shop.sell(1)
    shop.run("BEGIN", CONSUME)
    shop.sell(2, session=other)
    assert shop.seen() == [1], "within the transaction the stream stands still"
    shop.run("COMMIT")

    assert shop.seen() == [2]


def test_a_transaction_that_inserted_early_and_committed_late_is_not_lost(shop):
    """Numbers are given at the commit: what was inserted first and committed last comes after what has been consumed."""
    slow = shop.account.session()
    shop.run("BEGIN", session=slow)
    shop.sell(1, session=slow)
    shop.sell(2)
    shop.run(CONSUME)
    shop.run("COMMIT", session=slow)

    assert shop.seen() == [1]


def test_two_consumers_at_once_cannot_both_have_the_rows(shop):
    shop.sell(1)
    shop.run(CONSUME)  # so that the offset has a row to disagree about
    shop.sell(2)
    other = shop.account.session()
    shop.run("BEGIN", CONSUME)
    shop.run("BEGIN", CONSUME, session=other)
    shop.run("COMMIT")
    with pytest.raises(ProgrammingError, match="another transaction changed the same rows first"):
        shop.run("COMMIT", session=other)

    assert sorted(int(i) for (i,) in shop.rows("SELECT id FROM app.public.taken")) == [1, 2]
    shop.sell(3)
    shop.run("BEGIN", CONSUME, "COMMIT", session=other)  # it goes on
    assert sorted(int(i) for (i,) in shop.rows("SELECT id FROM app.public.taken")) == [1, 2, 3]


def test_each_stream_has_its_own_offset(shop):
    shop.run("CREATE STREAM landing.public.second ON TABLE landing.public.sales APPEND_ONLY = TRUE")
    shop.sell(1)
    shop.run(CONSUME)

    assert shop.seen() == []
    assert len(shop.rows("SELECT id FROM landing.public.second")) == 1


def test_many_writers_and_one_consumer_every_row_once(shop):
    """Four writers with transactions of their own, a consumer in between: nothing missed, nothing twice."""

    def write(start):
        session = shop.account.session()
        for i in range(10):
            shop.run("BEGIN", session=session)
            shop.sell(start + i, session=session)
            time.sleep(0.002)
            shop.run("COMMIT", session=session)

    threads = [threading.Thread(target=write, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        shop.run(CONSUME)
    shop.run(CONSUME)

    assert sorted(int(i) for (i,) in shop.rows("SELECT id FROM app.public.taken")) == sorted(n * 100 + i for n in range(4) for i in range(10))


def test_a_killed_account_has_moved_the_offset_exactly_when_it_has_the_rows(shop, tmp_path, monkeypatch):
    from local import streams

    shop.sell(1)
    monkeypatch.setattr(streams, "after_commit", lambda *a: None)  # killed between DuckDB's commit and our own note of it
    shop.run(CONSUME)

    assert shop.seen() == []


def test_a_column_added_later_is_in_what_comes_later(shop):
    shop.sell(1)
    shop.run("ALTER TABLE landing.public.sales ADD COLUMN city VARCHAR", "INSERT INTO landing.public.sales VALUES (2, NULL, 'Oslo')")

    assert sorted((int(i), city) for i, city in shop.rows("SELECT id, city FROM landing.public.new_sales")) == [(1, None), (2, "Oslo")]


@pytest.mark.parametrize("cause", [
    pytest.param("ALTER TABLE landing.public.sales SET DATA_RETENTION_TIME_IN_DAYS = 0 MAX_DATA_EXTENSION_TIME_IN_DAYS = 0", id="retention is over"),
    pytest.param("CREATE OR REPLACE TABLE landing.public.sales (id NUMBER, note VARCHAR)", id="the table was replaced"),
    pytest.param("DROP TABLE landing.public.sales", id="the table is gone"),
])
def test_a_stale_stream_cannot_be_read_and_says_so(shop, cause):
    shop.sell(1)
    shop.run(cause)

    for sql in ("SELECT id FROM landing.public.new_sales", CONSUME, "SELECT SYSTEM$STREAM_HAS_DATA('landing.public.new_sales')"):
        with pytest.raises(ProgrammingError, match="is stale"):
            shop.run(sql)
    shown = shop.account.answer(shop.session, "SHOW STREAMS IN ACCOUNT")[0]
    assert (shown[1], shown[10], shown[11]) == ("NEW_SALES", "true", "APPEND_ONLY")


def test_a_stream_made_anew_reads_again(shop):
    shop.run("CREATE OR REPLACE TABLE landing.public.sales (id NUMBER, note VARCHAR)")
    shop.run("CREATE OR REPLACE STREAM landing.public.new_sales ON TABLE landing.public.sales APPEND_ONLY = TRUE")
    shop.sell(5)

    assert shop.seen() == [5]


@pytest.mark.parametrize(("sql", "message"), [
    pytest.param("CREATE STREAM landing.public.x ON TABLE landing.public.sales", "APPEND_ONLY = TRUE", id="standard streams"),
    pytest.param("CREATE STREAM landing.public.x ON VIEW landing.public.v APPEND_ONLY = TRUE", "tables only", id="streams on views"),
    pytest.param("CREATE STREAM landing.public.x ON TABLE landing.public.none APPEND_ONLY = TRUE", "does not exist", id="a table that is not there"),
    pytest.param("CREATE TABLE app.public.t AS SELECT * FROM landing.public.new_sales", "AS SELECT", id="CREATE AS"),
    pytest.param("SELECT SYSTEM$STREAM_HAS_DATA('landing.public.none')", "does not exist", id="a stream that is not there"),
])
def test_what_is_not_emulated_is_refused(shop, sql, message):
    with pytest.raises(ProgrammingError, match=message):
        shop.run(sql)


def test_an_application_reads_a_stream_only_when_it_was_granted(shop):
    shop.account.catalog.put("application", "APP")
    own = shop.account.session("APP", "PUBLIC", role="APP", app="APP")
    shop.run("GRANT SELECT ON TABLE landing.public.sales TO APPLICATION app")
    shop.sell(1)
    with pytest.raises(ProgrammingError, match="not authorized"):
        shop.run(CONSUME, session=own)

    shop.run("GRANT SELECT ON STREAM landing.public.new_sales TO APPLICATION app")
    shop.run(CONSUME, session=own)
    assert shop.seen() == []


def test_the_role_that_made_the_table_may_make_its_stream_and_another_may_not(shop):
    shop.run("CREATE ROLE loader", "CREATE ROLE other", *[f"GRANT CREATE {kind} ON SCHEMA landing.public TO ROLE {role}" for kind in ("TABLE", "STREAM") for role in ("loader", "other")])
    loader, other = (shop.account.session("LANDING", "PUBLIC", role=role) for role in ("LOADER", "OTHER"))
    shop.run("CREATE TABLE landing.public.own (id NUMBER)", session=loader)

    with pytest.raises(ProgrammingError, match="not authorized"):
        shop.run("CREATE STREAM landing.public.own_stream ON TABLE landing.public.own APPEND_ONLY = TRUE", session=other)
    shop.run("CREATE STREAM landing.public.own_stream ON TABLE landing.public.own APPEND_ONLY = TRUE", session=loader)
