"""What Snowflake refuses in a setup script, the local account refuses too."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.setup_rules import check_files, check_text


@pytest.mark.parametrize("sql", [
    pytest.param("USE SCHEMA core", id="use schema"),
    pytest.param("USE ROLE accountadmin", id="use role"),
    pytest.param("CREATE TEMPORARY TABLE control.t (a NUMBER)", id="temporary table"),
    pytest.param("CREATE OR REPLACE TEMP TABLE control.t (a NUMBER)", id="temp table"),
    pytest.param("CREATE TABLE t (a NUMBER)", id="table without schema"),
    pytest.param("CREATE TASK IF NOT EXISTS t AS SELECT 1", id="task without schema"),
    pytest.param("CREATE PIPE control.p AS COPY INTO x FROM @y", id="pipe inside"),
    pytest.param("CREATE STORAGE INTEGRATION s TYPE = EXTERNAL_STAGE", id="integration inside"),
    pytest.param("CREATE WAREHOUSE w", id="warehouse inside"),
    pytest.param("INSERT INTO control.t SELECT CURRENT_WAREHOUSE()", id="current_warehouse"),
    pytest.param("CREATE PROCEDURE core.p() RETURNS STRING LANGUAGE PYTHON EXECUTE AS CALLER", id="caller's rights"),
])
def test_refused(sql):
    with pytest.raises(ProgrammingError):
        check_text(sql)


@pytest.mark.parametrize("sql", [
    "CREATE TABLE IF NOT EXISTS control.t (a NUMBER)",
    "CREATE OR ALTER VERSIONED SCHEMA core",
    "CREATE APPLICATION ROLE IF NOT EXISTS app_admin",
    "GRANT USAGE ON SCHEMA core TO APPLICATION ROLE app_admin",
    "CREATE OR REPLACE TASK tasks.t SCHEDULE = '1 MINUTE' AS CALL core.p()",
])
def test_allowed(sql):
    check_text(sql)


def test_a_file_that_is_not_there_is_named(tmp_path):
    (tmp_path / "setup.sql").write_text("EXECUTE IMMEDIATE FROM './sql/gone.sql';")

    with pytest.raises(ProgrammingError, match=r"gone\.sql"):
        check_files(tmp_path, "setup.sql")
