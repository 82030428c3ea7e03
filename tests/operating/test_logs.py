"""What handlers log is in the account's event table, by run and step, in numbers: no value of a row and no text of a statement."""

from __future__ import annotations

import json

import pytest
from snowflake.connector.errors import ProgrammingError

from local.rig import Rig
from local.stages import stage_folder

SECRET = "hunter2"
ORDERS = f"order_id,id,amount,ordered_at\n71,1,5.00,2024-01-01 00:00:00\n72,{SECRET},-1,2024-01-01 00:00:00\n"


def events(rig: Rig, run_id: str | None = None) -> list[dict]:
    rig.account.usage.flush()
    rows = rig.query("SELECT record['severity_text']::VARCHAR AS level, scope['name']::VARCHAR AS logger, record_attributes, resource_attributes, value::VARCHAR AS message FROM SNOWFLAKE.TELEMETRY.EVENTS WHERE record_type = 'LOG' ORDER BY timestamp")
    told = [{**row, "attributes": json.loads(row["record_attributes"]), "resource": json.loads(row["resource_attributes"])} for row in rows]
    return [row for row in told if run_id in (None, row["attributes"].get("run_id"))]


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.admin.connection.use("FIRN", "CONTROL")
    return rig


def test_each_step_of_a_run_is_a_record_with_its_ids_and_counts(rig):
    rig.load("orders", ORDERS)
    run = rig.run()

    told = events(rig, run["run_id"])

    assert {row["level"] for row in told} == {"INFO"} and {row["logger"] for row in told} == {"firn"}
    by_step = {row["attributes"]["step"]: row for row in told}
    assert {"begin", "load orders", "fact fact_orders", "sweep", "finish"} <= set(by_step)
    load = by_step["load orders"]["attributes"]
    assert (load["pipeline"], load["status"], load["rows_read"], load["rows_written"], load["rows_quarantined"]) == ("shop", "succeeded", 2, 1, 1)
    assert by_step["load orders"]["message"] == "load orders: succeeded" and load["seconds"] > 0
    assert by_step["load orders"]["resource"]["snow.executable.name"] == "RUN_PIPELINE"


def test_no_value_of_a_row_and_no_text_of_an_error_is_in_it(rig):
    rig.load("orders", ORDERS.replace("71", "73").replace("72", "74"))
    run = rig.run()
    rig.answer("REVOKE SELECT ON TABLE firn_landing.bronze.orders FROM APPLICATION firn")
    try:
        with pytest.raises(ProgrammingError):
            rig.run()
    finally:
        rig.answer("GRANT SELECT ON TABLE firn_landing.bronze.orders TO APPLICATION firn")

    assert rig.query("SELECT COUNT(*) AS n FROM control.quarantine WHERE row_values::VARCHAR LIKE ?", [f"%{SECRET}%"])[0]["n"] > 0
    ours = [row for row in events(rig) if row["logger"] == "firn"]
    assert [row for row in ours if row["attributes"]["run_id"] == run["run_id"]]
    assert not [row for row in ours if SECRET in str(row) or "SELECT" in str(row["attributes"])]
    failed = [row["attributes"] for row in ours if row["level"] == "ERROR"]
    assert {(row["step"], row["status"]) for row in failed} == {("load orders", "failed")}
    assert set(failed[0]) >= {"error_type", "error_class"} and "authorized" not in str(failed)


def test_an_exception_that_leaves_a_handler_is_recorded_by_the_account(rig):
    with pytest.raises(ProgrammingError):
        rig.call("core.run_pipeline", "nothing_of_this_name")

    fatal = [row["attributes"] for row in events(rig) if row["level"] == "FATAL"][-1]
    assert fatal["exception.type"] == "LookupError" and "nothing_of_this_name" in fatal["exception.message"]


@pytest.mark.parametrize(("level", "is_told"), [pytest.param("WARN", False, id="INFO is below WARN"), pytest.param("DEBUG", True, id="and above DEBUG")])
def test_the_manifest_says_from_which_level_on(rig, level, is_told):
    manifest = stage_folder(rig.account, "FIRN_PKG", "APP_SRC", "STAGE") / "manifest.yml"
    text = manifest.read_text()
    manifest.write_text(text.replace("log_level: INFO", f"log_level: {level}"))
    try:
        rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")
        run = rig.run()
        assert bool(events(rig, run["run_id"])) == is_told
    finally:
        manifest.write_text(text)
        rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")


def test_a_level_that_does_not_exist_is_refused(rig):
    manifest = stage_folder(rig.account, "FIRN_PKG", "APP_SRC", "STAGE") / "manifest.yml"
    text = manifest.read_text()
    manifest.write_text(text.replace("log_level: INFO", "log_level: LOUD"))
    try:
        with pytest.raises(ProgrammingError, match="LOUD"):
            rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")
    finally:
        manifest.write_text(text)


def test_only_who_may_see_telemetry_reads_it(rig):
    rig.answer("CREATE ROLE IF NOT EXISTS watcher")
    session = rig.account.session("FIRN", "CONTROL", role="WATCHER")
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        rig.account.execute(session, "SELECT * FROM SNOWFLAKE.TELEMETRY.EVENTS")

    rig.answer("GRANT DATABASE ROLE SNOWFLAKE.EVENTS_VIEWER TO ROLE watcher")

    assert rig.account.execute(session, "SELECT value FROM SNOWFLAKE.TELEMETRY.EVENTS")["returned"] > 0
