"""A statement that differs from an earlier one in its constants is not translated again, and is none the worse for it."""

from __future__ import annotations

import pytest

from local import dialect, dialect_moulds
from local.duck import Duck


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    duck = Duck(tmp_path_factory.mktemp("moulds"))
    session = duck.session()
    for sql in (
        "CREATE DATABASE d", "CREATE TABLE t (n NUMBER, at TIMESTAMP_NTZ, word VARCHAR)",
        "INSERT INTO t VALUES (1, '2024-01-01', 'a'), (2, '2024-01-02', '2 :: INT AS \"x\"'), (3, '2024-01-03 12:00:00', 'TIMESTAMP ')",
    ):  # fmt: skip
        session.cursor().execute(sql)
    yield session
    session.close()
    duck.close()


def translated(connection, sql: str) -> str:
    """From the text alone, as if no other had come before."""
    connection.duck.forget_plans()
    tree = dialect.parse(sql)
    dialect.upper_case(tree)
    return dialect.Cursor(conn=connection, duck_conn=connection._duck_conn, use_dict_result=False)._translated(tree, sql).sql


def moulds(connection) -> list[dialect_moulds.Mould | None]:
    return [plan for key, plan in connection.duck.plans.items() if key[0] == "mould"]


ALIKE = [
    "SELECT n FROM t WHERE n > 1 :: INT ORDER BY n",
    "SELECT n FROM t WHERE (n >= 1 :: INT) AND at < TIMESTAMP '2024-01-03 00:00:00'",
    'SELECT 7 :: INT AS "A", n, TIMESTAMP \'2024-01-01 00:00:00\' AS "B" FROM t',
    "SELECT n = 1 :: INT, word FROM t WHERE word = '2 :: INT AS \"x\"' OR n > 2 :: INT",
    "SELECT n FROM t WHERE n != 1 :: INT AND word <> 'five'",
    "SELECT count(*) FROM t WHERE at = TIMESTAMP '2024-01-02 00:00:00.000000' HAVING count(*) = 1 :: INT",
    "SELECT n FROM t WHERE (at >= DATE '2024-01-01') AND (at < dateadd('month', 1, CAST (DATE '2024-01-01' AS TIMESTAMP_NTZ)))",
    "SELECT n FROM t WHERE at::DATE = DATE '2024-01-02' AND at > TIMESTAMP '2024-01-01 00:00:00' AND word <> '2024-01-02'",
]


def others(sql: str) -> str:
    return sql.replace("1 :: INT", "2 :: INT").replace("7 :: INT", "11 :: INT").replace("TIMESTAMP '2024-01-0", "TIMESTAMP '2023-12-0").replace("DATE '2024-01-0", "DATE '2023-12-0")


@pytest.mark.parametrize("sql", ALIKE)
def test_other_constants_give_what_a_translation_of_their_own_gives(connection, sql):
    expected = {text: (translated(connection, text), connection.cursor().execute(text).fetchall()) for text in (sql, others(sql))}
    connection.duck.forget_plans()

    for text, (duck_sql, rows) in expected.items():
        cursor = connection.cursor().execute(text)
        assert (cursor._last_sql, cursor.fetchall()) == (duck_sql, rows)
    assert len(moulds(connection)) == 1, "one translation for both"
    assert moulds(connection)[0] is not None


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT ROUND(n, 1), word = 'n > 5 :: INT' FROM t", "digits, and a text"),
        ("SELECT LAG(n, 1) OVER (ORDER BY n) FROM t LIMIT 2", "an offset, a limit"),
        ("SELECT n FROM t ORDER BY 1", "a position"),
        ("SELECT TO_CHAR(at, 'YYYY-MM-DD'), n::NUMBER(10, 2) FROM t WHERE word = 'a'", "a format, a type, a text"),
        ("SELECT seq4() FROM TABLE(GENERATOR(ROWCOUNT => 2 :: INT))", "an argument"),
        ("SELECT CAST(0 :: INT AS NUMBER(38, 0))", "a cast"),
        ("SELECT DATE '2024-01-01', CAST (DATE '2024-01-01' AS VARCHAR) FROM t WHERE word = 'x > DATE '", "a day that becomes a text"),
        ("SELECT 'x > 7 :: INT' FROM t -- n > 1 :: INT", "texts and comments"),
        ("SELECT word || ' = 7 :: INT AS \"x\"' FROM t", "a text"),
    ],
)
def test_constants_that_matter_stay_in_the_statement(connection, sql, why):
    connection.duck.forget_plans()
    connection.cursor().execute(sql)

    assert [mould for mould in moulds(connection) if mould is not None] == [], why


def test_a_statement_that_cannot_be_translated_names_its_own_constants(connection):
    for n in (17, 18):
        with pytest.raises(Exception, match="NO_SUCH"):
            connection.cursor().execute(f"SELECT no_such(n) FROM t WHERE n > {n} :: INT")
    assert not [mould for mould in moulds(connection) if mould is not None]


def test_ddl_forgets_what_was_translated_before(connection):
    sql = "SELECT * FROM t WHERE n > {} :: INT ORDER BY n"
    connection.cursor().execute(sql.format(1))
    connection.cursor().execute("ALTER TABLE t ADD COLUMN more VARCHAR")

    assert [len(row) for row in connection.cursor().execute(sql.format(2)).fetchall()] == [4]
    connection.cursor().execute("ALTER TABLE t DROP COLUMN more")
