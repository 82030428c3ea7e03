"""What a stranger, a reader and an operator reach: derived from what the application has, not from a list."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

REFUSED = r"not authorized|nsufficient privileges|does not exist"


def refused(rig, role: str, sql: str) -> bool:
    session = rig.account.session("FIRN", "CONTROL", role=role)
    try:
        rig.account.execute(session, sql)
    except ProgrammingError as error:
        assert error.errno in (2003, 3001, 1003), error
        return True
    finally:
        rig.account.forget(session)
    return False


def tables(rig, schema: str = "") -> list[str]:
    where = f"AND schema_name = '{schema}'" if schema else "AND schema_name NOT LIKE '_fs%' AND schema_name <> 'INFORMATION_SCHEMA'"
    found = rig.duck(f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'FIRN' {where} UNION SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'FIRN' AND NOT internal {where}")
    return sorted(".".join(name) for name in found)


def procedures(rig) -> dict[str, int]:
    return {f"{p.schema}.{p.name.rpartition('/')[0]}": len(p["parameters"]) for p in rig.account.catalog.find("procedure", database="FIRN")}


def test_a_reader_reads_all_of_gold(rig):
    gold = tables(rig, "GOLD")
    assert len(gold) >= 3
    assert [name for name in gold if refused(rig, "ANALYST", f"SELECT * FROM firn.{name}")] == []


@pytest.mark.parametrize("role", ["ANALYST", "STRANGER"])
def test_a_reader_and_a_stranger_read_nothing_else(rig, role):
    others = [name for name in tables(rig) if role == "STRANGER" or not name.startswith("GOLD.")]
    assert {name.split(".")[0] for name in others} >= {"CONTROL", "SILVER", "STAGE"}
    assert any(name.startswith("CONTROL.FRESHNESS") for name in others), "views are tried too"

    reached = [name for name in others if not refused(rig, role, f"SELECT * FROM firn.{name}") or not refused(rig, role, f"DESCRIBE TABLE firn.{name}")]
    reached += [name for name in ("customers", "orders") if not refused(rig, role, f"SELECT * FROM firn_landing.bronze.{name}")]

    assert reached == []


@pytest.mark.parametrize("role", ["ANALYST", "STRANGER"])
def test_they_call_no_procedure(rig, role):
    calls = [f"CALL firn.{name}({', '.join(['NULL'] * count)})" for name, count in procedures(rig).items()]
    assert len(calls) >= 18
    assert [call for call in calls if not refused(rig, role, call)] == []


def test_an_operator_reads_control_and_writes_nothing_by_hand(rig):
    """What changes tables goes through procedures, which check and log it."""
    for name in tables(rig, "CONTROL"):
        assert not refused(rig, "OPERATOR", f"SELECT * FROM firn.{name}"), name
    for name in tables(rig):
        assert refused(rig, "OPERATOR", f"DELETE FROM firn.{name}"), name
        assert refused(rig, "OPERATOR", f"DROP TABLE firn.{name}"), name


def test_an_operator_stops_and_starts_the_graph_and_does_not_take_it_apart(rig):
    assert not refused(rig, "OPERATOR", "ALTER TASK firn.tasks.retail_begin SUSPEND")
    assert not refused(rig, "OPERATOR", "ALTER TASK firn.tasks.retail_begin RESUME")
    for sql in ("DROP TASK firn.tasks.retail_sweep", "CREATE OR REPLACE TASK firn.tasks.retail_sweep SCHEDULE = '1 MINUTE' AS SELECT 1"):
        assert refused(rig, "OPERATOR", sql), sql


CHANGES = [
    "DROP TABLE firn.control.ledger", "DROP TABLE IF EXISTS firn.control.ledger", "DROP VIEW IF EXISTS firn.control.freshness", "ALTER TABLE firn.control.ledger ADD COLUMN x NUMBER", "CREATE TABLE firn.control.mine (a NUMBER)",
    "CREATE OR REPLACE TABLE firn.gold.dim_customer (a NUMBER)", "CREATE TEMPORARY TABLE firn.gold.mine (a NUMBER)",
    "CREATE VIEW firn.gold.mine AS SELECT 1 AS one", "CREATE SCHEMA firn.mine", "DROP SCHEMA firn.control", "DROP VIEW firn.control.freshness",
    "ALTER TASK firn.tasks.retail_begin SUSPEND", "EXECUTE TASK firn.tasks.retail_begin", "DROP TASK firn.tasks.retail_begin",
    "SELECT SYSTEM$TASK_DEPENDENTS_ENABLE('firn.tasks.retail_begin')", "DROP PROCEDURE firn.core.run_step(VARCHAR, VARCHAR, VARCHAR)",
    "GRANT APPLICATION ROLE firn.app_admin TO ROLE {role}", "GRANT SELECT ON TABLE firn.control.ledger TO ROLE {role}",
    "REVOKE APPLICATION ROLE firn.app_admin FROM ROLE operator", "GRANT ROLE operator TO ROLE {role}", "DROP APPLICATION firn", "DROP ROLE operator",
    "ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage", "CREATE DATABASE mine", "DROP DATABASE firn_landing",
    "DROP TABLE firn_landing.bronze.orders", "INSERT INTO firn_landing.bronze.orders (order_id) SELECT '1'", "CREATE STAGE firn_landing.bronze.mine",
    "LIST @firn_pkg.app_src.stage", "REMOVE @firn_pkg.app_src.stage", "PUT file:///tmp/x.yml @firn_pkg.app_src.stage/pipelines",
    "GET @firn_pkg.app_src.stage file:///tmp/mine", "COPY INTO firn.control.alerts FROM @firn_pkg.app_src.stage", "COMMENT ON TABLE firn.control.ledger IS 'x'",
    "TRUNCATE TABLE firn.control.ledger", "MERGE INTO firn.gold.dim_customer t USING (SELECT 1 AS k) s ON FALSE WHEN NOT MATCHED THEN INSERT (city) VALUES ('x')",
]  # fmt: skip


@pytest.mark.parametrize("role", ["ANALYST", "STRANGER"])
@pytest.mark.parametrize("sql", CHANGES)
def test_a_reader_and_a_stranger_change_nothing(rig, role, sql):
    assert refused(rig, role, sql.format(role=role))


@pytest.mark.parametrize("kind", ["TABLE", "VIEW", "STAGE", "PIPE", "STREAM", "TASK", "ALERT"])
def test_what_is_not_there_may_be_dropped_by_anybody_who_says_if_exists(rig, kind):
    """Scripts that run twice begin so; the account says that it was dropped already."""
    assert not refused(rig, "STRANGER", f"DROP {kind} IF EXISTS firn_landing.bronze.nothing")


@pytest.mark.parametrize("sql", [
    "SELECT 1 FROM firn.gold.dim_customer WHERE EXISTS (SELECT 1 FROM firn.control.ledger)",
    "WITH l AS (SELECT * FROM firn.control.ledger) SELECT * FROM l",
    "SELECT (SELECT MAX(file_name) FROM firn.control.ledger)",
    "SELECT SYSTEM$STREAM_HAS_DATA((SELECT MAX(file_name) FROM firn.control.ledger))",
    "CALL SYSTEM$STREAM_HAS_DATA((SELECT MAX(file_name) FROM firn.control.ledger))",
    "CALL firn.core.explain_row((SELECT MAX(file_name) FROM firn.control.ledger), {})",
    "CREATE TEMPORARY TABLE firn_landing.public.mine AS SELECT * FROM firn.control.ledger",
    "SELECT * FROM firn.gold.dim_customer UNION ALL SELECT * FROM firn.gold.dim_customer WHERE city IN (SELECT file_name FROM firn.control.ledger)",
    "SELECT * FROM TABLE(firn_landing.INFORMATION_SCHEMA.COPY_HISTORY(TABLE_NAME => (SELECT MAX(file_name) FROM firn.control.ledger), START_TIME => SYSDATE()))",
    "EXPLAIN SELECT * FROM firn.control.ledger",
])  # fmt: skip
def test_no_way_round_leads_to_control(rig, sql):
    session = rig.account.session("FIRN", "GOLD", role="ANALYST")
    try:
        with pytest.raises(ProgrammingError) as raised:
            rig.account.execute(session, sql)
    finally:
        rig.account.forget(session)
    assert raised.value.errno in (2003, 3001, 1003), raised.value.msg
    assert "crm/" not in str(raised.value.msg), "nor does the error show what it says"
