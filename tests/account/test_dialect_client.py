"""What arrives at the real clients: the connector's values and types, and Snowpark's frames and writes."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import snowflake.connector
import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
import uvicorn
from snowflake.connector.errors import ProgrammingError
from snowflake.snowpark import Session, Table, Window
from snowflake.snowpark.functions import when_matched, when_not_matched

from local.account import Account
from local.server import application

NTZ = T.TimestampType(T.TimestampTimeZone.NTZ)


@pytest.fixture(scope="module")
def connection_parameters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    account = Account(tmp_path_factory.mktemp("account"), None, address=("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(application(account), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    parameters = {"account": "local", "user": "u", "password": "p", "host": "127.0.0.1", "port": port, "protocol": "http"}
    yield parameters | {"login_timeout": 10, "network_timeout": 20}
    server.should_exit = True
    thread.join()
    account.close()


@pytest.fixture(scope="module")
def session(connection_parameters: dict[str, Any]) -> Iterator[Session]:
    opened = Session.builder.configs(connection_parameters).create()
    opened.sql("CREATE DATABASE db").collect()
    opened.sql("CREATE SCHEMA s").collect()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cursor(session: Session, connection_parameters: dict[str, Any]) -> Iterator[Any]:
    with snowflake.connector.connect(**connection_parameters, database="DB", schema="S", paramstyle="qmark") as connection:
        yield connection.cursor()


VALUES = [
    pytest.param("NULL::TIMESTAMP_NTZ", None, id="a NULL timestamp stays NULL"),
    pytest.param("'1969-12-31 23:59:59.123456'::TIMESTAMP_NTZ", dt.datetime(1969, 12, 31, 23, 59, 59, 123456), id="before 1970"),
    pytest.param("'9999-12-31'::TIMESTAMP_NTZ", dt.datetime(9999, 12, 31), id="the last year"),
    pytest.param("'2024-02-29'::DATE", dt.date(2024, 2, 29), id="date"),
    pytest.param("'10:11:12.5'::TIME", dt.time(10, 11, 12, 500000), id="time"),
    pytest.param("sum(1)", 1, id="a sum is an integer"),
    pytest.param("12.34::NUMBER(10, 2)", Decimal("12.34"), id="number with scale"),
    pytest.param("12::NUMBER(10, 0)", 12, id="number without scale"),
    pytest.param("1 / 3", Decimal("0.333333"), id="division"),
    pytest.param("1.5::FLOAT", 1.5, id="float"),
    pytest.param("TRUE", True, id="boolean"),
    pytest.param("to_binary('61')", b"a", id="binary"),
    pytest.param("parse_json('[1]')", "[1]", id="variant"),
    pytest.param("NULL", None, id="NULL without a type"),
    pytest.param("hash('a') = hash('a')", True, id="hash"),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_a_value_arrives_at_the_connector(cursor: Any, expression: str, value: Any) -> None:
    assert cursor.execute(f"SELECT {expression}").fetchall() == [(value,)]


@pytest.mark.parametrize("value", [
    pytest.param(None, id="NULL"),
    pytest.param(5, id="integer"),
    pytest.param(Decimal("2.50"), id="decimal"),
    pytest.param("it's", id="text"),
    pytest.param(True, id="boolean"),
    pytest.param(dt.datetime(2024, 1, 2, 3, 4, 5, 678901), id="timestamp to the microsecond"),
    pytest.param(dt.date(2024, 1, 2), id="date"),
    pytest.param(b"a", id="binary"),
])  # fmt: skip
def test_a_bound_value_comes_back(cursor: Any, value: Any) -> None:
    assert cursor.execute("SELECT ?", (value,)).fetchall() == [(value,)]


def test_many_rows_are_bound_as_one_insert(cursor: Any) -> None:
    cursor.execute("CREATE OR REPLACE TABLE many (a NUMBER, b VARCHAR, c TIMESTAMP_NTZ)")
    begun = time.monotonic()
    cursor.executemany("INSERT INTO many (a, b, c) VALUES (?, ?, ?)", [(i, str(i), None) for i in range(5_000)])

    assert cursor.rowcount == 5_000
    assert cursor.execute("SELECT count(*), max(a), max(c) FROM many").fetchall() == [(5_000, 4_999, None)]
    assert time.monotonic() - begun < 5


def test_an_empty_result_has_its_columns(cursor: Any) -> None:
    found = cursor.execute("SELECT 1 AS a, 'x' AS b WHERE 1 = 0").fetch_pandas_all()

    assert list(found.columns) == ["A", "B"]


@pytest.mark.parametrize(("sql", "code"), [("gibberish here", 1003), ("SELECT * FROM nope", 2003), ("SELECT 1 / 0", 100051), ("PRAGMA x", 1003)])
def test_what_the_account_does_not_know_is_an_error_at_once(cursor: Any, sql: str, code: int) -> None:
    begun = time.monotonic()
    with pytest.raises(ProgrammingError) as raised:
        cursor.execute(sql)

    assert raised.value.errno == code
    assert time.monotonic() - begun < 2


# --- Snowpark


def plain(frame: Any) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in frame.collect()), key=repr)


@pytest.fixture
def letters(session: Session) -> Table:
    rows = session.create_dataframe([(1, "a"), (2, "b"), (3, None)], schema=["id", "v"])
    rows.write.mode("overwrite").save_as_table("letters")
    return session.table("letters")


def test_a_frame_of_values_keeps_types_and_nulls(session: Session) -> None:
    kinds = {"a": T.LongType(), "b": T.StringType(), "c": T.DecimalType(10, 2), "d": NTZ, "e": T.DateType(), "f": T.BooleanType()}
    row = (1, "x", Decimal("1.50"), dt.datetime(2024, 1, 1), dt.date(2024, 1, 1), True)
    frame = session.create_dataframe([row, (None,) * 6], schema=T.StructType([T.StructField(n, k) for n, k in kinds.items()]))

    assert plain(frame) == sorted([row, (None,) * 6], key=repr)
    assert [field.datatype for field in frame.schema.fields] == list(kinds.values())


def test_a_large_frame_arrives_whole(session: Session) -> None:
    frame = session.create_dataframe([(i, None if i % 2 else str(i)) for i in range(3_000)], schema=["id", "v"])

    assert frame.filter(F.col("v").is_null()).count() == 1_500


def update(t: Table, s: Any) -> Any:
    return t.update({"v": s["v"]}, t["id"] == s["id"], s)


def delete(t: Table, s: Any) -> Any:
    return t.delete(t["id"] == s["id"], s)


def merge(t: Table, s: Any) -> Any:
    return t.merge(
        s, t["id"] == s["id"], [when_matched().update({"v": s["v"]}), when_not_matched().insert({"id": s["id"], "v": s["v"]})]
    )


@pytest.mark.parametrize(("write", "answer", "after"), [
    pytest.param(update, (1, 0), [(1, "new"), (2, "b"), (3, None)], id="update from a frame"),
    pytest.param(delete, (1,), [(2, "b"), (3, None)], id="delete by a frame"),
    pytest.param(merge, (1, 1, 0), [(1, "new"), (2, "b"), (3, None), (9, "new")], id="merge a frame"),
])  # fmt: skip
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
def test_a_table_is_written_from_a_frame(
    session: Session, letters: Table, write: Callable[..., Any], answer: tuple, after: list, inside: bool
) -> None:
    source = session.create_dataframe([(1, "new"), (9, "new")], schema=["id", "v"])
    if inside:
        session.sql("BEGIN").collect()

    assert tuple(write(letters, source)) == answer
    if inside:
        session.sql("COMMIT").collect()
    assert plain(session.table("letters")) == sorted(after, key=repr)


@pytest.mark.parametrize(("mode", "count"), [("append", 6), ("overwrite", 3), ("truncate", 3), ("ignore", 3)])
def test_a_frame_is_saved(session: Session, letters: Table, mode: str, count: int) -> None:
    rows = session.create_dataframe([(7, "x"), (8, "y"), (9, "z")], schema=["id", "v"])
    rows.write.mode(mode).save_as_table("letters")

    assert session.table("letters").count() == count


def test_windows_aggregates_and_functions_of_snowpark(session: Session, letters: Table) -> None:
    by_age = Window.order_by(F.col("id").desc())
    found = letters.select(
        "id",
        F.row_number().over(by_age).as_("age_rank"),
        F.coalesce(F.col("v"), F.lit("?")).as_("filled"),
        F.iff(F.col("v").is_null(), F.lit(0), F.lit(1)).as_("has_v"),
        F.col("v").equal_null(F.lit(None)).as_("same"),
        F.last_value("v", ignore_nulls=True).over(Window.order_by("id").rows_between(Window.UNBOUNDED_PRECEDING, 0)).as_("last_v"),
        F.array_construct_compact(F.when(F.col("id") > 1, F.lit("late")), F.lit(None)).as_("failed"),
    )  # fmt: skip

    assert plain(found) == [
        (1, 3, "a", 1, False, "a", "[]"),
        (2, 2, "b", 1, False, "b", '["late"]'),
        (3, 1, "?", 0, True, "b", '["late"]'),
    ]
    assert plain(letters.agg(F.sum("id"), F.avg("id"), F.count("v"))) == [(6, Decimal("2.000000"), 2)]
    assert [row[0] for row in session.range(3).collect()] == [0, 1, 2]
    assert letters.cache_result().count() == 3
    letters.show()


def test_a_client_whose_telemetry_is_refused_collects_none_and_says_nothing(connection_parameters, caplog):
    with Session.builder.configs(connection_parameters).create() as session, caplog.at_level("WARNING"):
        telemetry = session._conn._telemetry_client.telemetry
        for _ in range(60):
            session.sql("SELECT 1").collect()

        assert not telemetry.is_enabled() and telemetry.buffer_size() == 0
    assert caplog.records == []
