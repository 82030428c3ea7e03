"""Statements on the account's databases: DML and its counts, DDL, transactions, and the errors clients look at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError
from test_dialect_duck import Run, duck, run, runner  # noqa: F401

from local.duck import Duck


@pytest.fixture
def t(run: Run) -> Iterator[Run]:  # noqa: F811
    """A table `t (id, v)` with rows 1 a, 2 b, 3 NULL."""
    run("ROLLBACK")
    run("CREATE OR REPLACE TABLE t (id NUMBER NOT NULL, v VARCHAR)")
    run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)")
    yield run
    run("ROLLBACK")


def content(rows: Run) -> list[tuple[Any, ...]]:
    return rows("SELECT id, v FROM t ORDER BY id, v")


ABC = [(1, "a"), (2, "b"), (3, None)]


@pytest.mark.parametrize(("sql", "answer", "after"), [
    pytest.param("INSERT INTO t (id) SELECT 4 UNION ALL SELECT 5", [(2,)], [*ABC, (4, None), (5, None)], id="insert"),
    pytest.param("INSERT OVERWRITE INTO t SELECT 9, 'z'", [(1,)], [(9, "z")], id="insert overwrite empties first"),
    pytest.param("INSERT INTO t WITH q AS (SELECT 4 AS id) SELECT id, 'w' FROM q", [(1,)], [*ABC, (4, "w")], id="insert with"),
    pytest.param("UPDATE t SET t.v = 'x' WHERE t.id > 1", [(2, 0)], [(1, "a"), (2, "x"), (3, "x")], id="update"),
    pytest.param("UPDATE t SET v = q.w || '!' FROM (SELECT 2 AS id, 'k' AS w) AS q WHERE t.id = q.id", [(1, 0)],
                 [(1, "a"), (2, "k!"), (3, None)], id="update from a query"),
    pytest.param("DELETE FROM t USING (SELECT 1 AS id) AS q WHERE t.id = q.id", [(1,)], ABC[1:], id="delete using a query"),
    pytest.param("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE v IS NULL)", [(1,)], ABC[:2], id="delete by a subquery"),
    pytest.param("TRUNCATE TABLE t", [("Statement executed successfully.",)], [], id="truncate"),
    pytest.param("MERGE INTO t USING (SELECT 1 AS id, 'm' AS v UNION ALL SELECT 7, 'n') AS s ON t.id = s.id"
                 " WHEN MATCHED THEN UPDATE SET t.v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)",
                 [(1, 1)], [(1, "m"), (2, "b"), (3, None), (7, "n")], id="merge updates and inserts"),
    pytest.param("MERGE INTO t USING (SELECT 2 AS id) AS s ON t.id = s.id WHEN MATCHED AND t.v = 'b' THEN DELETE", [(1,)],
                 [(1, "a"), (3, None)], id="merge deletes"),
    pytest.param("MERGE INTO t USING (SELECT 8 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE", [(0,)], ABC, id="merge of nothing"),
])  # fmt: skip
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
def test_dml_counts_and_changes_rows(t: Run, sql: str, answer: list, after: list, inside: bool) -> None:
    if inside:
        t("BEGIN")

    assert t(sql) == answer
    assert content(t) == after

    if inside:
        t("ROLLBACK")
        assert content(t) == ABC


@pytest.mark.parametrize(("sql", "code", "state", "words"), [
    pytest.param("SELECT * FROM nope", 2003, "42S02", "Object 'NOPE' does not exist or not authorized", id="table"),
    pytest.param("SELECT * FROM db.nope.t", 2003, None, "does not exist or not authorized", id="schema"),
    pytest.param("SELECT * FROM nope.s.t", 2003, None, "does not exist or not authorized", id="database"),
    pytest.param("DROP TABLE nope", 2003, "42S02", "does not exist or not authorized", id="drop"),
    pytest.param("USE SCHEMA nope", 2043, "02000", "does not exist, or operation cannot be performed", id="use"),
    pytest.param("SELECT nope FROM t", 904, "42000", "invalid identifier 'NOPE'", id="column"),
    pytest.param("SELECT x.nope FROM t AS x", 904, "42000", "invalid identifier", id="column of an alias"),
    pytest.param("SELECT id FROM t AS one, t AS two", 2028, None, "ambiguous column name 'ID'", id="ambiguous"),
    pytest.param("SELECT nofunc(1)", 2140, "42601", "Unknown function NOFUNC", id="function"),
    pytest.param("SELECT list_sum([1])", 2140, "42601", "Unknown function LIST_SUM", id="a function of DuckDB"),
    pytest.param("SELECT core.nofunc(1)", 2140, "42601", "Unknown function CORE.NOFUNC", id="a function of a schema"),
    pytest.param("SELECT sum(v) FROM t", 1044, "42P13", "Invalid argument types for function 'SUM'", id="argument types"),
    pytest.param("SELECT id, count(*) FROM t", 979, "42601", "not a valid group by expression", id="group by"),
    pytest.param("INSERT INTO t VALUES (1, 'a', 2)", 2020, "21S01", "expecting 2 but got 3", id="number of values"),
    pytest.param("INSERT INTO t VALUES (NULL, 'a')", 100072, "22000", "NULL result in a non-nullable column", id="not null"),
    pytest.param("CREATE TABLE t (a INT)", 2002, "42710", "already exists", id="exists"),
    pytest.param("SELECT 1 / 0", 100051, "22012", "Division by zero", id="division by zero"),
    pytest.param("SELECT 'x'::INT", 100038, "22018", "Numeric value 'x' is not recognized", id="no number"),
    pytest.param("SELECT v::INT FROM t", 100038, "22018", "Numeric value", id="no number in a column"),
    pytest.param("SELECT 'x'::DATE", 100040, "22007", "Date 'x' is not recognized", id="no date"),
    pytest.param("SELECT 'x'::TIMESTAMP_NTZ", 100035, "22007", "Timestamp 'x' is not recognized", id="no timestamp"),
    pytest.param("SELECT to_boolean('x')", 100037, "22018", "Boolean value 'x' is not recognized", id="no boolean"),
    pytest.param("SELECT parse_json('{x')", 100069, "22P02", "Error parsing JSON", id="no JSON"),
    pytest.param("MERGE INTO t USING (SELECT 1 AS id UNION ALL SELECT 1) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = 'm'",
                 100090, "42P18", "Duplicate row detected during DML action", id="merge by two rows"),
    pytest.param("SELECT FROM WHERE", 1003, "42000", "syntax error", id="syntax"),
    pytest.param("INSERT INTO t VALUES (1", 1003, "42000", "syntax error", id="a missing parenthesis"),
    pytest.param("gibberish", 1003, "42000", "gibberish", id="gibberish", marks=pytest.mark.filterwarnings("ignore")),
    pytest.param("CREATE MATERIALIZED VIEW m AS SELECT 1", 1003, "42000", "MATERIALIZED VIEW", id="materialized view"),
    pytest.param("CREATE DYNAMIC TABLE d TARGET_LAG = '1 minute' WAREHOUSE = w AS SELECT 1", 1003, "42000", "DYNAMIC TABLE", id="dynamic table"),
    pytest.param("PRAGMA database_list", 1003, "42000", "unsupported on the local account: PRAGMA", id="a statement of DuckDB"),
    pytest.param("ATTACH 'x' AS y", 1003, "42000", "", id="attach"),
    pytest.param("SELECT * FROM read_csv('/etc/passwd')", 2141, "42601", "Unknown table function", id="a file by a function"),
    pytest.param("SELECT * FROM '/etc/passwd'", 1003, "42000", "unsupported on the local account", id="a file by its name"),
    pytest.param("SELECT * FROM \"/etc/passwd\"", 2003, "42S02", "does not exist", id="a file by a quoted name"),
    pytest.param("SELECT 1; SELECT 2", 1003, "42000", "", id="two statements"),
])  # fmt: skip
def test_an_error_has_snowflakes_code_state_and_words(t: Run, sql: str, code: int, state: str | None, words: str) -> None:
    with pytest.raises(ProgrammingError) as raised:
        t(sql)

    assert raised.value.errno == code
    assert state is None or raised.value.sqlstate == state
    assert words in str(raised.value.msg)


# --- transactions


@pytest.mark.parametrize("mistake", ["SELECT nope FROM t", "SELECT * FROM nope", "SELECT sum(v) FROM t", "SELECT FROM", "SELECT nofunc(1)"])
def test_a_transaction_goes_on_after_a_statement_that_does_not_compile(t: Run, mistake: str) -> None:
    t("BEGIN TRANSACTION")
    t("INSERT INTO t VALUES (4, 'd')")
    with pytest.raises(ProgrammingError):
        t(mistake)
    t("COMMIT")

    assert content(t) == [*ABC, (4, "d")]


def test_after_an_error_in_the_rows_a_transaction_can_only_be_rolled_back(t: Run) -> None:
    """Differs: on Snowflake the transaction would go on. DuckDB has no statement to undo alone."""
    t("BEGIN")
    t("INSERT INTO t VALUES (4, 'd')")
    with pytest.raises(ProgrammingError, match="is not recognized"):
        t("SELECT v::INT FROM t")
    with pytest.raises(ProgrammingError, match="Call ROLLBACK"):
        t("SELECT 1")
    with pytest.raises(ProgrammingError, match="Nothing was committed"):
        t("COMMIT")

    assert content(t) == ABC


def test_ddl_in_a_transaction_commits_what_went_before(t: Run) -> None:
    t("BEGIN")
    t("INSERT INTO t VALUES (4, 'd')")
    t("CREATE OR REPLACE TABLE other (a INT)")
    t("ROLLBACK")

    assert content(t) == [*ABC, (4, "d")]


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK"])
def test_an_end_without_a_beginning_does_nothing(t: Run, sql: str) -> None:
    assert t(sql) == [("Statement executed successfully.",)]


def test_an_update_waits_for_the_transaction_that_changed_the_row(t: Run, duck: Duck) -> None:  # noqa: F811
    other = runner(duck)
    t("BEGIN")
    t("UPDATE t SET v = 'first' WHERE id = 1")
    waiting = threading.Thread(target=lambda: other("UPDATE t SET v = v || ', second' WHERE id = 1"))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()

    t("COMMIT")
    waiting.join(10)

    assert content(t)[0] == (1, "first, second")


def test_the_time_is_one_within_a_statement_and_moves_on_within_a_transaction(t: Run) -> None:
    t("BEGIN")
    [(one, same)] = t("SELECT current_timestamp(), current_timestamp()")
    [(later,)] = t("SELECT current_timestamp()")

    assert one == same < later


# --- tables and views


@pytest.mark.parametrize("sql", [
    pytest.param("CREATE TABLE new_one IF NOT EXISTS (a BIGINT)", id="IF NOT EXISTS after the name, as Snowpark writes it"),
    pytest.param("CREATE SCOPED TEMPORARY TABLE db.s.new_one (a INT)", id="scoped temporary"),
    pytest.param("CREATE OR REPLACE TRANSIENT TABLE new_one (a INT) CLUSTER BY (a) DATA_RETENTION_TIME_IN_DAYS = 1", id="properties"),
    pytest.param("CREATE TABLE new_one AS SELECT 1 AS a", id="as select"),
    pytest.param("CREATE TABLE new_one (a NUMBER(10, 2)) AS SELECT 1", id="as select with types"),
    pytest.param("CREATE TABLE new_one (a INT, b INT REFERENCES t (id), CONSTRAINT k PRIMARY KEY (a), UNIQUE (b))", id="constraints"),
    pytest.param("CREATE TABLE new_one CLONE t", id="clone"),
    pytest.param("CREATE TABLE new_one LIKE t", id="like"),
    pytest.param("CREATE SECURE VIEW new_one COMMENT = 'c' AS SELECT id AS a FROM t", id="secure view"),
])  # fmt: skip
def test_a_table_or_view_is_made(t: Run, sql: str) -> None:
    kind = "View" if "VIEW" in sql else "Table"
    assert t(sql) == [(f"{kind} NEW_ONE successfully created.",)]
    assert t("SELECT count(*) FROM new_one")[0][0] in (0, 1, 3)

    t(f"DROP {kind} new_one")


def test_keys_are_remembered_and_not_enforced_but_not_null_is(t: Run) -> None:
    t("CREATE OR REPLACE TABLE k (a INT PRIMARY KEY, b INT UNIQUE)")
    t("INSERT INTO k VALUES (1, 1), (1, 1)")

    assert [row[4] for row in t("SHOW PRIMARY KEYS IN TABLE k")] == ["A"]
    with pytest.raises(ProgrammingError, match="NULL result"):
        t("INSERT INTO k VALUES (NULL, 1)")


def test_foreign_keys_are_shown_with_the_keys_they_name_as_drivers_read_them(t: Run) -> None:
    t("CREATE OR REPLACE TABLE parent (a INT, b INT, CONSTRAINT parent_pk PRIMARY KEY (a, b) NOT ENFORCED RELY)")
    t("CREATE OR REPLACE TABLE child (x INT, y INT, CONSTRAINT child_fk FOREIGN KEY (x, y) REFERENCES parent (a, b) NOT ENFORCED RELY)")

    found = t("SHOW IMPORTED KEYS IN TABLE child")

    assert [(row[3], row[4], row[7], row[8], row[9], row[12], row[15]) for row in found] == [
        ("PARENT", "A", "CHILD", "X", 1, "CHILD_FK", "true"),
        ("PARENT", "B", "CHILD", "Y", 2, "CHILD_FK", "true"),
    ]
    assert [row[7] for row in t("SHOW PRIMARY KEYS IN TABLE parent")] == ["true", "true"]


@pytest.mark.parametrize(("change", "columns"), [
    pytest.param("ALTER TABLE a ADD COLUMN IF NOT EXISTS c VARCHAR(5) NOT NULL DEFAULT 'x'", {"ID": "N", "V": "Y", "C": "N"}, id="add"),
    pytest.param("ALTER TABLE a ADD COLUMN c INT, d INT", {"ID": "N", "V": "Y", "C": "Y", "D": "Y"}, id="add two"),
    pytest.param("ALTER TABLE a DROP COLUMN v", {"ID": "N"}, id="drop"),
    pytest.param("ALTER TABLE a RENAME COLUMN v TO w", {"ID": "N", "W": "Y"}, id="rename"),
    pytest.param("ALTER TABLE a ALTER COLUMN id DROP NOT NULL", {"ID": "Y", "V": "Y"}, id="drop not null"),
    pytest.param("ALTER TABLE a SET COMMENT = 'c'", {"ID": "N", "V": "Y"}, id="comment"),
    pytest.param("ALTER TABLE a CLUSTER BY (id)", {"ID": "N", "V": "Y"}, id="cluster by"),
])  # fmt: skip
def test_a_table_is_altered(t: Run, change: str, columns: dict[str, str]) -> None:
    t("CREATE OR REPLACE TABLE a CLONE t")

    t(change)

    assert {row[0]: row[3] for row in t("DESCRIBE TABLE a")} == columns


def test_a_temporary_table_hides_the_table_of_its_name_from_its_session_only(t: Run, duck: Duck) -> None:  # noqa: F811
    t("CREATE TEMPORARY TABLE t (other INT)")
    try:
        assert t("SELECT count(*) FROM db.s.t") == [(0,)]
        assert len(content(runner(duck))) == 3
    finally:
        t("DROP TABLE t")
    assert content(t) == ABC


@pytest.mark.parametrize(("sql", "names"), [
    pytest.param("SELECT count(*), id + 1, 'a' FROM t GROUP BY id", ["COUNT(*)", "ID + 1", "'A'"], id="the text, in upper case"),
    pytest.param('SELECT id, v AS "Low", v AS up FROM t', ["ID", "Low", "UP"], id="names and aliases"),
    pytest.param("SELECT * FROM t", ["ID", "V"], id="star"),
    pytest.param("SELECT * EXCLUDE (id) RENAME (v AS w) FROM t", ["W"], id="exclude and rename"),
    pytest.param("SELECT * ILIKE 'v%' FROM t", ["V"], id="ilike"),
    pytest.param("SELECT $1 AS a, $2 AS b FROM VALUES (1, 'x'), (2, NULL)", ["A", "B"], id="positions in VALUES"),
    pytest.param("SELECT column1 FROM VALUES (1), (NULL)", ["COLUMN1"], id="unnamed columns of VALUES"),
    pytest.param("SELECT index, value FROM TABLE(FLATTEN(INPUT => parse_json('[1]')))", ["INDEX", "VALUE"], id="flatten"),
])  # fmt: skip
def test_columns_have_snowflakes_names_described_and_run(t: Run, sql: str, names: list[str]) -> None:
    cursor = t.session.cursor()  # type: ignore[attr-defined]

    assert [c["name"] for c in cursor.describe_only(sql)["rowtype"]] == names
    assert [c["name"] for c in cursor.execute(sql).columns] == names


@pytest.mark.parametrize(("sql", "names"), [
    pytest.param("SHOW TABLES LIKE 't' IN SCHEMA db.s", ["T"], id="tables like, whatever the case"),
    pytest.param("SHOW TERSE TABLES LIKE 'T' IN DATABASE db", ["T"], id="terse, in a database"),
    pytest.param("SHOW TABLES LIKE 'nope'", [], id="none"),
    pytest.param("SHOW DATABASES LIKE 'd%'", ["DB"], id="databases"),
    pytest.param("SHOW SCHEMAS LIKE 's' IN DATABASE db", ["S"], id="schemas"),
    pytest.param("SHOW OBJECTS LIKE 't' IN SCHEMA s", ["T"], id="objects"),
])  # fmt: skip
def test_show_lists(t: Run, sql: str, names: list[str]) -> None:
    assert [row[1] for row in t(sql)] == names


def test_a_result_can_be_read_again(t: Run) -> None:
    t("SHOW TABLES LIKE 'T'")

    assert t('SELECT "name" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))') == [("T",)]
