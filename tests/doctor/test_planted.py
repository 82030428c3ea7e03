"""Faults planted on a running local account: each is found, alone, and what the doctor says to do puts it right."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from local import doctor_facts
from local.tasks import history
from tests.doctor.world import SHOP, World

HUNG = "INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at, detail) SELECT 'run-9', 'retail', 'begin', 'begun', {0}, {0}, PARSE_JSON('{{\"what\": \"run\"}}')"
AGO = "DATEADD('hour', -3, SYSDATE())"
FAILED = "INSERT INTO firn.control.pipeline_log (run_id, pipeline, step, status, started_at, ended_at, error) SELECT 'run-8', 'retail', 'load orders', 'failed', SYSDATE(), SYSDATE(), 'ValueError: no'"
GRANT = "TO APPLICATION firn"


@dataclass(frozen=True)
class Case:
    """`plant` and `undo` are statements or functions of the world; `found` is (check, part of subject, part of what was found).

    `by_itself`: the commands the doctor prints put it right, as they stand; else `undo` does, and they show more.
    """

    name: str
    plant: Sequence[str | Callable[[World], object]]
    found: tuple[str, str, str]
    undo: Sequence[str | Callable[[World], object]] = ()
    by_itself: bool = True


def drop_events(world: World) -> None:
    world.store.s3.client("s3").put_bucket_notification_configuration(Bucket="firn-landing", NotificationConfiguration={})


def broken_file(world: World) -> None:
    world.put({"shop/orders/broken.csv": 'order_id,customer_id,ordered_at\n"1,1,2024\n'})


def forget_file(world: World) -> None:
    world.rig.duck("DELETE FROM FIRN_LANDING._fs_information_schema._firn_load_history WHERE path LIKE '%broken.csv'")


def fail_task(world: World) -> None:
    history(world.account).db.execute("UPDATE history SET state = 'FAILED', error_message = 'no' WHERE name = 'RETAIL_LOAD_ORDERS'")


def never_ran(world: World) -> None:
    world.forget_runs("RETAIL_BEGIN")
    world.rig.duck("UPDATE firn.control.pipeline_spec SET applied_at = applied_at - INTERVAL 1 DAY")


def stale(world: World) -> None:
    stream = world.account.catalog.get("stream", "VISITS_STREAM", database="FIRN_LANDING", schema="BRONZE")
    world.account.catalog.change(stream, consumed_at="2024-01-01T00:00:00")


def soon_stale(world: World) -> None:
    stream = world.account.catalog.get("stream", "VISITS_STREAM", database="FIRN_LANDING", schema="BRONZE")
    world.account.catalog.change(stream, consumed_at=(world.account.clock() - dt.timedelta(days=13)).isoformat())


def consume(world: World) -> None:
    stream = world.account.catalog.get("stream", "VISITS_STREAM", database="FIRN_LANDING", schema="BRONZE")
    world.account.catalog.change(stream, consumed_at=world.account.clock().isoformat())


LETS = "UPDATE firn.control.parameter_control SET lets = {} WHERE step = 'load orders'"
BACK = LETS.format("(SELECT MAX(loaded_at) FROM firn.control.ledger WHERE source = 'orders')")
LOG = "DELETE FROM firn.control.pipeline_log WHERE run_id IN ('run-8', 'run-9')"

CASES = [
    Case("a suspended root", ["ALTER TASK firn.tasks.retail_begin SUSPEND"], ("tasks", "retail_begin", "suspended")),
    Case("a suspended task within the graph", ["ALTER TASK firn.tasks.retail_load_orders SUSPEND"], ("tasks", "retail_load_orders", "suspended")),
    Case("a task that is gone", ["ALTER TASK firn.tasks.retail_begin SUSPEND", "DROP TASK firn.tasks.retail_sweep", "ALTER TASK firn.tasks.retail_begin RESUME"], ("tasks", "retail", "no task retail_sweep")),
    Case("another schedule than the file's", ["ALTER TASK firn.tasks.retail_begin SUSPEND", "ALTER TASK firn.tasks.retail_begin SET SCHEDULE = '5 HOURS'", "ALTER TASK firn.tasks.retail_begin RESUME"], ("tasks", "retail_begin", "5 HOURS")),
    Case("a task whose newest run failed", [fail_task], ("tasks", "retail_load_orders", "newest run failed"), [World.go], by_itself=False),
    Case("a root that never ran", [never_ran], ("tasks", "retail_begin", "never"), [World.go], by_itself=False),
    Case("a paused pipe", ["ALTER PIPE firn_landing.bronze.orders_pipe SET PIPE_EXECUTION_PAUSED = TRUE"], ("pipes", "orders_pipe", "paused")),
    Case("a file that did not load", [broken_file], ("files", "bronze.orders", "broken.csv"), [forget_file], by_itself=False),
    Case("events that go nowhere", [drop_events], ("bucket", "wiring", "crm/customers/")),
    Case("a disabled integration", ["ALTER STORAGE INTEGRATION firn_landing_s3 SET ENABLED = FALSE"], ("integration", "firn_landing_s3", "disabled")),
    Case("an integration for another bucket", ["ALTER STORAGE INTEGRATION firn_landing_s3 SET STORAGE_ALLOWED_LOCATIONS = ('s3://firn-landing/crm/')"], ("integration", "firn_landing_s3", "allows s3://firn-landing/crm/")),
    Case("no SELECT on a landing table", [f"REVOKE SELECT ON TABLE firn_landing.bronze.orders {GRANT.replace('TO', 'FROM')}"], ("privileges", "firn_landing.bronze.orders", "no SELECT")),
    Case("no DELETE on a landing table", [f"REVOKE DELETE ON TABLE firn_landing.bronze.orders {GRANT.replace('TO', 'FROM')}"], ("privileges", "firn_landing.bronze.orders", "no DELETE")),
    Case("no SELECT on a stream", [f"REVOKE SELECT ON STREAM firn_landing.bronze.visits_stream {GRANT.replace('TO', 'FROM')}"], ("privileges", "visits_stream", "no SELECT")),
    Case("no EXECUTE TASK", ["REVOKE EXECUTE TASK ON ACCOUNT FROM APPLICATION firn"], ("privileges", "firn", "EXECUTE TASK")),
    Case("a reader role of nobody", ["REVOKE APPLICATION ROLE firn.app_reader FROM ROLE firn_reader"], ("roles", "app_reader", "nobody")),
    Case("an admin role of nobody", ["REVOKE APPLICATION ROLE firn.app_admin FROM ROLE firn_transformer"], ("roles", "app_admin", "nobody")),
    Case("a reader who sees the log", ["GRANT SELECT ON TABLE firn.control.pipeline_log TO APPLICATION ROLE firn.app_reader"], ("roles", "app_reader", "control.pipeline_log"), ["REVOKE SELECT ON TABLE firn.control.pipeline_log FROM APPLICATION ROLE firn.app_reader"], by_itself=False),
    Case("a reader who does not see a fact", ["REVOKE SELECT ON TABLE firn.gold.fact_orders FROM APPLICATION ROLE firn.app_reader"], ("roles", "app_reader", "gold.fact_orders")),
    Case("a stale stream", [stale], ("streams", "visits_stream", "stale")),
    Case("a stream soon stale", [soon_stale], ("streams", "visits_stream", "goes stale at"), [consume], by_itself=False),
    Case("a binding to another place", ["UPDATE firn.control.binding SET schema_name = 'bronce'"], ("bindings", "bronce", "no such"), ["UPDATE firn.control.binding SET schema_name = 'bronze'"], by_itself=False),
    Case("a landing table without a column", ["ALTER TABLE firn_landing.bronze.orders DROP COLUMN customer_id"], ("bindings", "bronze.orders", "customer_id")),
    Case("a packaged file that was changed", [lambda world: world.package(SHOP.replace("2 hours", "3 hours"))], ("specs", "retail", "differs from version 1"), [lambda world: world.package(SHOP)], by_itself=False),
    Case("LETS in the future", [LETS.format("DATEADD('day', 30, SYSDATE())")], ("marks", "load orders", "later than now"), [BACK]),
    Case("LETS ahead of bronze", [LETS.format("DATEADD('second', 30, lets)")], ("marks", "load orders", "ahead of"), [BACK]),
    Case("a source that is late", ["UPDATE firn.control.parameter_control SET lets = DATEADD('hour', -3, SYSDATE()) WHERE step = 'load orders'"], ("freshness", "orders", "newest arrival"), [BACK], by_itself=False),
    Case("rows that the sweep left", ["UPDATE firn_landing.bronze.orders SET _loaded_at = '2024-01-01'::TIMESTAMP_NTZ"], ("retention", "orders", "2024-01-01"), ["UPDATE firn_landing.bronze.orders SET _loaded_at = (SELECT MAX(_loaded_at) FROM firn_landing.bronze.customers)"], by_itself=False),
    Case("a run that hangs", [HUNG.format(AGO)], ("runs", "retail", "run-9"), [LOG], by_itself=False),
    Case("a step that failed", [FAILED], ("runs", "load orders", "failed"), [LOG], by_itself=False),
    Case("a resumed step that failed again", [FAILED, FAILED], ("runs", "load orders", "for the 2th time"), [LOG], by_itself=False),
    Case("rows that do not add up", ["UPDATE firn.control.pipeline_log SET rows_read = rows_read + 1 WHERE step = 'load orders' AND status = 'succeeded'"], ("accounts", "load orders", "1 are unexplained"), ["UPDATE firn.control.pipeline_log SET rows_read = rows_read - 1 WHERE step = 'load orders' AND status = 'succeeded'"], by_itself=False),
    Case("an open alert", ["INSERT INTO firn.control.alerts (alert_id, pipeline, kind, subject, state, severity, message, run_id, happened_at) SELECT 'a', 'retail', 'failure', 'load orders', 'raised', 'error', 'it failed', 'r', SYSDATE()"], ("alerts", "load orders", "it failed"), ["DELETE FROM firn.control.alerts"], by_itself=False),
    Case("rows that wait for weeks", ["UPDATE firn.control.quarantine SET quarantined_at = '2024-01-01'::TIMESTAMP_NTZ"], ("quarantine", "customers", "1 row"), ["UPDATE firn.control.quarantine SET quarantined_at = SYSDATE()"], by_itself=False),
]  # fmt: skip


def carry_out(world: World, what: Sequence[str | Callable[[World], object]]) -> None:
    for one in what:
        if callable(one):
            one(world)
        elif re.match(r"(UPDATE|INSERT INTO|DELETE FROM) firn\.", one):
            sql(world, one)
        else:
            world.rig.answer(one)


def sql(world: World, statement: str) -> None:
    """With the application's own rights: no role of the consumer may write its tables."""
    session = world.account.session("FIRN", "CONTROL", role="FIRN", app="FIRN")
    try:
        world.account.execute(session, statement)
    finally:
        world.account.forget(session)


# Of two that go the same way through account and doctor one is in every run; test_checks.py holds each check on facts in memory.
NIGHTLY = {
    "a suspended task within the graph", "another schedule than the file's", "a task whose newest run failed", "a root that never ran",
    "an integration for another bucket", "no DELETE on a landing table", "no SELECT on a stream", "an admin role of nobody",
    "a reader who does not see a fact", "a stream soon stale", "a binding to another place", "LETS ahead of bronze", "a source that is late",
    "a resumed step that failed again", "an open alert", "rows that do not add up",
}  # fmt: skip


def test_there_are_fifteen_and_more_in_every_run():
    assert {case.name for case in CASES} >= NIGHTLY
    assert len(CASES) - len(NIGHTLY) >= 15


def test_nothing_is_wrong_with_a_healthy_account(world):
    code, out, errors = world.doctor()

    assert code == 0, out + errors
    assert errors == ""
    assert out.splitlines()[-1].endswith("0 findings, 1 note"), "a row waits in quarantine, which is no fault"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=[pytest.mark.nightly] if case.name in NIGHTLY else []) for case in CASES])
def test_a_planted_fault_is_found_and_what_it_says_puts_it_right(world, case):
    carry_out(world, case.plant)
    try:
        found = world.look(bucket=case.found[0] == "bucket")
        check, subject, said = case.found
        assert [f for f in found if f.check == check and subject in f.subject and said in f.found], [str(f) for f in found]
        assert {f.check for f in found} <= {check, *ALONG.get(case.name, ())}, [str(f) for f in found]
        if case.by_itself:
            for command in found[0].todo:
                world.type(command)
    finally:
        carry_out(world, case.undo)

    assert [str(f) for f in world.look(bucket=case.found[0] == "bucket")] == []


# What a fault brings with it: a landing schema that is not there has no tables, pipes and grants either.
ALONG = {
    "a binding to another place": ("privileges", "pipes", "streams", "integration"),
    "a source that is late": ("alerts",),
}


def test_it_only_looks(world, monkeypatch):
    asked = []
    rows = doctor_facts.rows
    monkeypatch.setattr(doctor_facts, "rows", lambda connection, sql: asked.append(sql) or rows(connection, sql))

    world.look()

    assert len(asked) > 20
    assert {sql.split()[0] for sql in asked} <= {"SHOW", "SELECT", "DESC", "WITH"}


def test_what_it_says_can_be_read_by_programs(world):
    world.rig.answer("ALTER TASK firn.tasks.retail_begin SUSPEND")
    try:
        code, out, _ = world.doctor("--json")
    finally:
        world.rig.answer("ALTER TASK firn.tasks.retail_begin RESUME")

    said = json.loads(out)
    assert (code, said["exit_code"], said["not_looked_at"]) == (1, 1, {})
    assert [(f["check"], f["level"]) for f in said["findings"] if f["level"] == "wrong"] == [("tasks", "wrong")]


def test_what_one_may_not_see_is_said_and_no_finding(world):
    with world.place.connect() as connection:
        connection.cursor().execute("USE ROLE firn_reader")
        facts = doctor_facts.ask(connection, "firn")

    assert {"binding", "pipelines", "run log"} <= set(facts.blind)
    assert "not authorized" in facts.blind["binding"]
