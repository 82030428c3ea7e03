"""Each check on facts in memory: silent on healthy ones, and on the one that is wrong it says where, what, and what to do."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from local import doctor, doctor_checks, doctor_landing, doctor_machine
from local.doctor_checks import planned
from local.doctor_facts import Applied, Facts
from local.doctor_findings import Hand
from local.doctor_machine import Machine
from local.rig import spec_file
from tests.doctor.world import SHOP, SITE

NOW = dt.datetime(2024, 3, 1, 12)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
SHOP_1 = Applied("retail", 1, hashlib.sha256(SHOP.encode()).hexdigest(), NOW - DAY, spec_file.parse(SHOP))
SITE_1 = Applied("site", 1, "of site", NOW - DAY, spec_file.parse(SITE))
LANDING = "FIRN_LANDING.BRONZE"
PROVENANCE = {"_file_name", "_row_number", "_content_key", "_loaded_at"}
BRONZE = {
    "customers": frozenset({"customer_id", "city", "updated_at"} | PROVENANCE),
    "orders": frozenset({"order_id", "customer_id", "ordered_at"} | PROVENANCE),
    "visits": frozenset({"visit_id", "visited_at"} | PROVENANCE),
}


def task(name: str, **said: object) -> dict:
    schedule = "1 HOUR" if name in ("retail_begin", "site_look") else None
    return {"name": name.upper(), "state": "started", "schedule": schedule, **said}


TASKS = tuple(task(name) for one in (SHOP_1, SITE_1) for name in planned(one))


def pipe(source: str, state: str = "RUNNING", channel: str = "arn", **said: str) -> dict:
    return {"name": f"{source}_pipe".upper(), "notification_channel": channel, "status": {"executionState": state, **said}}


def mark(source: str, **said: object) -> dict:
    at = NOW - HOUR
    return {"pipeline": "retail", "step": f"load {source}", "source": source, "lets": at, "newest_taken": at, "newest_in_bronze": at, "oldest_in_bronze": at, **said}


def run(state: str = "SUCCEEDED", at: dt.datetime = NOW - MINUTE) -> dict:
    return {"state": state, "error_message": "Traceback\n  File\nValueError: no\n", "completed_time": at.replace(tzinfo=dt.UTC)}


STREAM = {"name": "VISITS_STREAM", "table_name": f"{LANDING}.VISITS", "stale": "false", "stale_after": (NOW + 14 * DAY).replace(tzinfo=dt.UTC)}
HEALTHY = Facts(
    now=NOW,
    machine_now=NOW,
    application={"name": "FIRN", "upgrade_state": "COMPLETE"},
    binding=("firn_landing", "bronze"),
    applied=(SHOP_1, SITE_1),
    packaged={"retail": SHOP_1.sha256},
    bronze=BRONZE,
    app_grants=frozenset(
        {("USAGE", "FIRN_LANDING"), ("USAGE", LANDING), ("SELECT", f"{LANDING}.VISITS_STREAM")}
        | {(privilege, f"{LANDING}.{table.upper()}") for privilege in ("SELECT", "DELETE") for table in BRONZE}
    ),
    app_privileges={"EXECUTE TASK": True, "EXECUTE MANAGED TASK": True},
    role_holders={"app_admin": ("FIRN_TRANSFORMER",), "app_reader": ("FIRN_READER",)},
    reader_grants=frozenset({("USAGE", "SCHEMA", "FIRN.GOLD"), ("SELECT", "TABLE", "FIRN.GOLD.DIM_CUSTOMER")}),
    gold=frozenset({"dim_customer"}),
    tasks=TASKS,
    task_runs={"RETAIL_BEGIN": run()},
    pipes=(pipe("customers"), pipe("orders"), pipe("visits")),
    streams=(STREAM,),
    integration={"NAME": "firn_landing_s3", "ENABLED": "true", "STORAGE_ALLOWED_LOCATIONS": "s3://landing/"},
    stage_url="s3://landing/",
    marks=(mark("customers"), mark("orders")),
)
WELL = Machine(python=(3, 12, 0), folder=Path("/a"), locked={"duckdb": "2.0.0", "snowflake-cli": "3"}, installed={"duckdb": "2.0.0", "snowflake-cli": "3"})


def without(items: frozenset, gone: object) -> frozenset:
    return items - {gone}


def spec(**said: object) -> tuple[Applied, ...]:
    return (replace(SHOP_1, **said), SITE_1)


# check, what is otherwise, a part of what it says is there, a part of what it says to do
ACCOUNT = [
    ("application_is_installed", {"application": None}, "no application", "snow app run"),
    ("application_is_whole", {"application": {"upgrade_state": "FAILED"}}, "FAILED", "snow app run"),
    ("a_pipeline_is_applied", {"applied": ()}, "no pipeline", "apply_packaged('retail')"),
    ("applied_files_are_those_of_this_clone", {"packaged": {"retail": "another"}}, "differs from version 1", "apply_packaged('retail')"),
    ("applied_files_are_those_of_this_clone", {"packaged": {"retail": "old"}, "applied": spec(earlier=frozenset({"old"}))}, "an earlier one", "export_spec('retail')"),
    ("applied_files_can_be_read", {"applied": spec(spec=None, fault="line 3: no")}, "line 3: no", "export_spec('retail')"),
    ("bronze_is_bound", {"binding": None}, "no row", "bind_bronze("),
    ("bronze_tables_are_there", {"bronze": {k: v for k, v in BRONZE.items() if k != "orders"}}, "no such table", "05_sources_retail.sql"),
    ("bronze_tables_are_there", {"bronze": {**BRONZE, "orders": BRONZE["orders"] - {"order_id"}}}, "no column order_id", "ADD COLUMN order_id VARCHAR"),
    ("application_may_read_bronze", {"app_grants": without(HEALTHY.app_grants, ("DELETE", f"{LANDING}.ORDERS"))}, "no DELETE", "GRANT DELETE ON TABLE firn_landing.bronze.orders TO APPLICATION firn"),
    ("application_may_read_bronze", {"app_grants": without(HEALTHY.app_grants, ("USAGE", LANDING))}, "no USAGE", "GRANT USAGE ON SCHEMA firn_landing.bronze"),
    ("application_may_read_bronze", {"app_grants": without(HEALTHY.app_grants, ("SELECT", f"{LANDING}.VISITS_STREAM"))}, "no SELECT", "ON STREAM firn_landing.bronze.visits_stream"),
    ("manifest_privileges_are_granted", {"app_privileges": {"EXECUTE TASK": False}}, "EXECUTE TASK is not granted", "GRANT EXECUTE TASK ON ACCOUNT TO APPLICATION firn"),
    ("application_roles_are_granted", {"role_holders": {"app_admin": (), "app_reader": ("R",)}}, "nobody", "firn.app_admin TO ROLE firn_transformer"),
    ("reader_reaches_gold", {"gold": frozenset({"dim_customer", "fact_orders"})}, "cannot read gold.fact_orders", "apply_packaged('retail')"),
    ("reader_reaches_no_more", {"reader_grants": HEALTHY.reader_grants | {("SELECT", "TABLE", "FIRN.CONTROL.QUARANTINE")}}, "table firn.control.quarantine", "SHOW GRANTS TO APPLICATION ROLE"),
    ("reader_reaches_no_more", {"reader_grants": HEALTHY.reader_grants | {("DELETE", "TABLE", "FIRN.GOLD.DIM_CUSTOMER")}}, "DELETE on table", "SHOW GRANTS"),
    ("tasks_are_there", {"tasks": TASKS[1:]}, "no task retail_begin", "apply_packaged('retail')"),
    ("tasks_are_started", {"tasks": (task("retail_begin", state="suspended"), *TASKS[1:])}, "suspended", "ALTER TASK firn.tasks.retail_begin RESUME"),
    ("tasks_are_started", {"tasks": (*[t for t in TASKS if t["name"] != "RETAIL_SWEEP"], task("retail_sweep", state="suspended"))}, "suspended", "ALTER TASK firn.tasks.retail_begin SUSPEND"),
    ("schedules_are_those_of_the_file", {"tasks": (task("retail_begin", schedule="5 MINUTES"), *TASKS[1:])}, "5 MINUTES", "apply_packaged('retail')"),
    ("newest_task_runs_did_not_fail", {"task_runs": {"RETAIL_BEGIN": run("FAILED")}}, "ValueError: no", "pipeline_log"),
    ("roots_run", {"task_runs": {}}, "never", "EXECUTE TASK firn.tasks.retail_begin"),
    ("roots_run", {"task_runs": {"RETAIL_BEGIN": run(at=NOW - 4 * HOUR)}}, "last at 2024-03-01 08:00:00", "EXECUTE TASK"),
    ("runs_have_ended", {"open_runs": ({"pipeline": "retail", "run_id": "r", "what": "run", "begun_at": NOW - 3 * HOUR, "last_at": NOW - 2 * HOUR, "last_step": "begin"},)}, "2:00:00 ago", "resume('r')"),
    ("runs_have_ended", {"open_runs": ({"pipeline": "retail", "run_id": "r", "what": None, "begun_at": NOW - MINUTE, "last_at": NOW - MINUTE, "last_step": "begin"},)}, "has the turn", "run_id = 'r'"),
    ("steps_ended_well", {"failed_steps": ({"pipeline": "retail", "step": "load orders", "run_id": "r", "error": "ValueError: no", "ended_at": NOW, "tries": 1},)}, "ValueError: no", "resume('r')"),
    ("rows_add_up", {"unbalanced": ({"pipeline": "retail", "step": "load orders", "run_id": "r", "rows_read": 9, "rows_unexplained": -2},)}, "2 are unexplained", "reconcile('retail')"),
    ("alerts_are_over", {"alerts": ({"pipeline": "retail", "kind": "failure", "subject": "load orders", "severity": "error", "message": "it failed", "happened_at": NOW},)}, "it failed", "control.alerts"),
    ("rows_do_not_wait_for_ever", {"waiting": ({"pipeline": "retail", "source": "orders", "row_count": 1200, "oldest_at": NOW - 8 * DAY},)}, "1 200 rows", "replay_quarantine('orders', dry_run => TRUE)"),
    ("targets_are_fresh", {"late": ({"pipeline": "retail", "target": "orders", "source": "orders", "lets": NOW - DAY, "allowed_seconds": 7200},)}, "2024-02-29 12:00:00", "pipes status orders"),
    ("targets_are_fresh", {"late": ({"pipeline": "retail", "target": "orders", "source": "orders", "lets": None, "allowed_seconds": 7200},)}, "nothing of orders has ever arrived", "pipes status"),
    ("marks_are_not_ahead", {"marks": (mark("orders", lets=NOW + DAY),)}, "later than now", "rewind('orders', '2024-03-01 11:00:00'"),
    ("marks_are_not_ahead", {"marks": (mark("orders", lets=NOW - MINUTE),)}, "ahead of the newest row", "rewind('orders'"),
    ("bronze_is_swept", {"marks": (mark("orders", oldest_in_bronze=NOW - 9 * DAY),)}, "2024-02-21 12:00", "run_step('retail', 'sweep', '')"),
    ("clocks_agree", {"machine_now": NOW + 2 * MINUTE}, "0:02:00 apart", "timedatectl"),
    ("pipes_are_there", {"pipes": HEALTHY.pipes[1:]}, "no such pipe", "05_sources_retail.sql"),
    ("pipes_run", {"pipes": (pipe("customers", "PAUSED"), *HEALTHY.pipes[1:])}, "paused", "SET PIPE_EXECUTION_PAUSED = FALSE"),
    ("pipes_run", {"pipes": (pipe("customers", "STALLED_EXECUTION_ERROR", error="no table"), *HEALTHY.pipes[1:])}, "STALLED_EXECUTION_ERROR", "PIPE_FORCE_RESUME"),
    ("pipes_run", {"pipes": (pipe("customers", "STOPPED_MISSING_TABLE"), *HEALTHY.pipes[1:])}, "STOPPED_MISSING_TABLE", "PIPE_STATUS"),
    ("pipes_run", {"pipes": (pipe("customers", error="no right to list"), *HEALTHY.pipes[1:])}, "no right to list", "pipes status customers"),
    ("pipes_are_told_of_files", {"pipes": (pipe("customers", channel=""), *HEALTHY.pipes[1:])}, "no notification channel", "pipes status customers"),
    ("files_were_loaded", {"failed_files": ({"source": "orders", "file_name": "a.csv", "status": "Load failed", "first_error_message": "no end", "first_error_line_number": 2},)}, "a.csv: load failed: no end (line 2)", "pipes status orders"),
    ("streams_are_there", {"streams": ()}, "no such stream", "07_grants_site.sql"),
    ("streams_are_not_stale", {"streams": ({**STREAM, "stale": "true"},)}, "stale", "CREATE OR REPLACE STREAM firn_landing.bronze.visits_stream"),
    ("streams_are_not_stale", {"streams": ({**STREAM, "stale_after": NOW + DAY},)}, "goes stale at 2024-03-02", "STREAM_HAS_DATA"),
    ("integration_covers_the_stage", {"stage_url": ""}, "no such stage", "04_file_formats_and_stage.sql"),
    ("integration_covers_the_stage", {"integration": {"NAME": "i"}}, "no such integration", "03_storage_integration.sql"),
    ("integration_covers_the_stage", {"integration": {**HEALTHY.integration, "ENABLED": "false"}}, "disabled", "SET ENABLED = TRUE"),
    ("integration_covers_the_stage", {"integration": {**HEALTHY.integration, "STORAGE_ALLOWED_LOCATIONS": "s3://landing/crm/"}}, "allows s3://landing/crm/", "STORAGE_ALLOWED_LOCATIONS = ('s3://landing/')"),
    ("bucket_is_wired", {"wiring": ("no event of crm/customers/",)}, "crm/customers/", "aws apply --from-account"),
]  # fmt: skip
MACHINE = [
    ("python_is_new_enough", {"python": (3, 10, 1)}, "3.10.1", "make install"),
    ("packages_are_those_of_the_lock", {"installed": {"duckdb": "1.9.0", "snowflake-cli": "3"}}, "duckdb 1.9.0 (not 2.0.0)", "make install"),
    ("packages_are_those_of_the_lock", {"installed": {"duckdb": "2.0.0"}}, "not installed: snowflake-cli", "make install"),
    ("snow_is_there", {"has_snow": False}, "no such program", "make install"),
    ("disk_is_not_full", {"free_bytes": 2**29}, "0.5 GB free", "du -sh"),
    ("nothing_is_left_of_a_killed_account", {"state": {"pid": 7}, "is_alive": False}, "has ended without", "firn up"),
    ("nothing_is_left_of_a_killed_account", {"state": {"pid": 7}, "is_alive": True, "is_up": True, "servers": (7, 8)}, "is not the account that running.json names", "kill 8"),
    ("nothing_is_left_of_a_killed_account", {"state": {"pid": 7}, "is_alive": True, "servers": (7,)}, "does not answer", "firn down"),
    ("ports_are_free", {"taken_ports": (18765,)}, "used by another program", "firn up --port"),
    ("nothing_listens_beyond_this_machine", {"listening": ("0.0.0.0:18765",)}, "other machines", "firn down"),
    ("logins_are_private", {"open_secrets": ("/a/config.toml",)}, "others on this machine", "chmod 600"),
]  # fmt: skip
CHECKS = {check.__name__: check for module in (doctor_checks, doctor_landing, doctor_machine) for check in module.CHECKS}


def test_healthy_facts_give_no_finding():
    assert [str(f) for f in doctor.judged(HEALTHY, Hand())] == []
    assert [str(f) for check in doctor_machine.CHECKS for f in check(WELL, Hand())] == []


def test_every_check_has_a_fault_that_it_finds():
    assert {name for name, *_ in (*ACCOUNT, *MACHINE)} == set(CHECKS)


@pytest.mark.parametrize(("check", "otherwise", "found", "todo"), [*ACCOUNT, *MACHINE], ids=lambda value: value if isinstance(value, str) and "_" in value else "")
def test_a_check_says_what_is_there_and_what_to_do(check, otherwise, found, todo):
    facts = replace(WELL if check in {c.__name__ for c in doctor_machine.CHECKS} else HEALTHY, **otherwise)

    findings = list(CHECKS[check](facts, Hand()))

    assert len(findings) == 1, [str(f) for f in findings]
    assert found in findings[0].found
    assert any(todo in command for command in findings[0].todo), findings[0].todo
    assert findings[0].expected


def test_what_could_not_be_looked_at_is_no_fault():
    """No right to see anything: nothing is known, so nothing is said to be missing."""
    blind = dict.fromkeys(("application", "binding", "pipelines", "bronze tables", "grants to the application", "application roles", "gold", "tasks", "task history", "pipes", "streams", "stage and integration"), "not authorized")

    assert [str(f) for f in doctor.judged(Facts(now=NOW, machine_now=NOW, blind=blind), Hand())] == []


def test_a_note_is_no_fault(capsys):
    waiting = ({"pipeline": "retail", "source": "orders", "row_count": 1, "oldest_at": NOW},)

    assert doctor.told(doctor.judged(replace(HEALTHY, waiting=waiting), Hand()), {}, as_json=False) == 0
    assert doctor.told(doctor.judged(HEALTHY, Hand()), {"pipes": "not authorized"}, as_json=False) == 2
    assert doctor.told(doctor.judged(replace(HEALTHY, pipes=()), Hand()), {"bucket": "no"}, as_json=False) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{len(CHECKS)} checks: 3 findings, 0 notes, 1 not looked at")


def test_on_a_real_account_the_commands_go_there():
    paused = replace(HEALTHY, pipes=(pipe("customers", "PAUSED"), *HEALTHY.pipes[1:]), streams=())

    said = [command for finding in doctor.judged(paused, Hand(connection="prod")) for command in finding.todo]

    assert said[0] == 'snow sql --connection prod -q "ALTER PIPE firn_landing.bronze.customers_pipe SET PIPE_EXECUTION_PAUSED = FALSE"'
    assert all("--connection prod" in command for command in said)
