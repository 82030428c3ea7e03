"""The views of schema control, each over data that was planted for it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from local.place import ROOT
from local.rig import Rig
from local.stages import stage_folder
from tests.conftest import alone
from tests.operating.conftest import SHOP
from tests.quarantine.rig import Shop

VIEWS = ("freshness", "last_runs", "pipe_health", "quarantine_summary", "row_accounts", "slow_steps")
NOW = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)


def ago(**span: float) -> dt.datetime:
    return NOW - dt.timedelta(**span)


@pytest.fixture
def plant(rig: Rig) -> Any:
    """Rows into a table of control, by column; the tables are empty before."""
    for table in ("pipeline_log", "ledger", "quarantine"):
        rig.duck(f"DELETE FROM firn.control.{table}")

    def put(table: str, **values: Any) -> None:
        marks = ", ".join("?" for _ in values)
        rig.duck(f"INSERT INTO firn.control.{table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))

    return put


def step(plant: Any, name: str, status: str = "succeeded", **values: Any) -> None:
    counts = dict.fromkeys(("rows_read", "rows_written", "rows_duplicate", "rows_superseded", "rows_quarantined", "rows_held"), 0)
    started = values.pop("started_at", ago(minutes=5))
    seconds = values.pop("seconds", 2)
    row = {"run_id": "r1", "pipeline": "shop", "step": name, "status": status, "started_at": started, "ended_at": started + dt.timedelta(seconds=seconds)}
    plant("pipeline_log", **{**row, **counts, **values})


def test_last_runs_says_how_each_run_ended_by_the_newest_try_of_each_step(rig, plant):
    step(plant, "begin", "begun", seconds=0)
    step(plant, "load orders", rows_read=10, rows_written=7, rows_quarantined=3)
    step(plant, "fact fact_orders", "failed", error="no disk")
    step(plant, "fact fact_orders", started_at=ago(minutes=4), rows_read=7, rows_written=7)
    step(plant, "finish", "ended", started_at=ago(minutes=3), seconds=0)
    step(plant, "begin", "begun", run_id="r2", started_at=ago(minutes=2), seconds=0)
    step(plant, "load orders", "failed", run_id="r3", error="no net", started_at=ago(minutes=1))
    step(plant, "sweep", "nothing new", run_id="r4")

    found = {row["run_id"]: row for row in rig.query("SELECT * FROM control.last_runs")}

    assert {run: row["status"] for run, row in found.items()} == {"r1": "succeeded", "r2": "running", "r3": "failed", "r4": "nothing new"}
    assert [found["r1"][name] for name in ("step_count", "rows_read", "rows_written", "rows_quarantined", "failed_steps", "seconds")] == [2, 10, 7, 3, None, 120]
    assert (found["r3"]["failed_steps"], found["r3"]["error"]) == ("load orders", "no net")


@pytest.mark.parametrize(("lets", "lag", "is_late"), [
    pytest.param(None, None, True, id="nothing ever arrived"),
    pytest.param(dt.timedelta(minutes=10), 600, False, id="as fresh as allowed"),
    pytest.param(dt.timedelta(minutes=16), 960, True, id="a minute over the allowed quarter of an hour"),
])  # fmt: skip
def test_freshness_is_the_age_of_the_newest_arrival_against_the_pipeline_file(rig, lets, lag, is_late):
    rig.duck("UPDATE firn.control.parameter_control SET lets = ? WHERE source = 'orders'", [lets and dt.datetime.now(dt.UTC).replace(tzinfo=None) - lets])

    row = rig.query("SELECT * FROM control.freshness")[0]

    assert (row["target"], row["source"], row["allowed_seconds"], row["is_late"]) == ("fact_orders", "orders", 900, is_late)
    assert row["lag_seconds"] == lag or abs(row["lag_seconds"] - lag) < 30


def test_freshness_follows_the_pipeline_file(rig):
    rig.call("config.apply_spec", SHOP.replace("{fact_orders: 15 minutes}", "{orders: 2 hours}"))
    try:
        assert rig.query("SELECT target, source, allowed_seconds FROM control.freshness") == [{"target": "orders", "source": "orders", "allowed_seconds": 7200}]
    finally:
        rig.call("config.apply_spec", SHOP)


def test_row_accounts_show_what_nobody_explains(rig, plant):
    step(plant, "load orders", rows_read=10, rows_written=6, rows_duplicate=1, rows_quarantined=2)
    step(plant, "fact fact_orders", "failed", rows_read=6)
    step(plant, "fact fact_orders", run_id="r2", rows_read=6, rows_written=5, rows_superseded=1)

    assert rig.query("SELECT step, rows_unexplained FROM control.row_accounts ORDER BY run_id") == [
        {"step": "load orders", "rows_unexplained": 1},
        {"step": "fact fact_orders", "rows_unexplained": 0},
    ]


def test_quarantine_by_check_counts_a_row_for_every_check_it_failed(rig, plant):
    def waits(number: int, status: str, first: str, newest: str | None = None, days: int = 0) -> None:
        plant(
            "quarantine", quarantine_id=str(number), pipeline="shop", source="orders", run_id="r1", batch_no=1, spec_version=1, file_name="f",
            row_number=number, loaded_at=NOW, failed_checks=first, newest_checks=newest, quarantined_at=ago(days=days), status=status,
        )  # fmt: skip

    waits(1, "waiting", '["a","b"]', days=3)
    waits(2, "waiting", '["a","b"]', '["b"]', days=1)
    waits(3, "released", '["a"]', "[]")
    waits(4, "discarded", '["b"]')

    assert rig.query("SELECT * FROM control.quarantine_summary ORDER BY check_name") == [
        {"pipeline": "shop", "source": "orders", "check_name": "a", "waiting_count": 1, "released_count": 1, "discarded_count": 0,
         "oldest_waiting_at": ago(days=3), "newest_waiting_at": ago(days=3)},
        {"pipeline": "shop", "source": "orders", "check_name": "b", "waiting_count": 2, "released_count": 0, "discarded_count": 1,
         "oldest_waiting_at": ago(days=3), "newest_waiting_at": ago(days=1)},
    ]  # fmt: skip


def test_pipe_health_is_what_arrived_of_late_beside_what_usually_does(rig, plant):
    def arrived(file: str, rows: int, hours: float, is_duplicate: bool = False) -> None:
        plant(
            "ledger", pipeline="shop", source="orders", file_name=file, content_key=file, loaded_at=ago(hours=hours), first_row=1, last_row=rows,
            row_count=rows, is_duplicate=is_duplicate, batch_no=1, taken_at=NOW,
        )  # fmt: skip

    arrived("new", 10, 1)
    arrived("new again", 10, 2, is_duplicate=True)
    for day in range(2, 9):
        arrived(f"day {day}", 5, 24 * day - 1)
    arrived("long ago", 1000, 24 * 30)

    row = rig.query("SELECT * FROM control.pipe_health")[0]

    assert (row["newest_file"], row["newest_arrival_at"]) == ("new", ago(hours=1))
    assert (row["files_last_day"], row["rows_last_day"], row["rows_repeated_last_day"], row["files_per_day"]) == (2, 20, 10, 1)


def test_slow_steps_say_what_is_usual_and_how_long_the_newest_took(rig, plant):
    for hours, seconds in ((1, 30), (2, 1), (3, 2), (4, 3), (24 * 20, 500)):
        step(plant, "load orders", started_at=ago(hours=hours), seconds=seconds, rows_read=90)
    step(plant, "load orders", "failed", started_at=ago(minutes=1), seconds=900)

    row = rig.query("SELECT * FROM control.slow_steps")[0]

    assert (row["run_count"], float(row["median_seconds"]), row["longest_seconds"], row["newest_seconds"], row["rows_per_second"]) == (4, 2.5, 30, 30, 10)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_and_every_column_says_what_it_is(opened: Shop, view):
    with alone(opened.session):
        columns = {row["name"]: row["comment"] for row in opened.rows(f"DESCRIBE VIEW control.{view}")}
        shown = {row["name"]: row["comment"] for row in opened.rows("SHOW VIEWS IN SCHEMA firn.control")}

    assert columns and all(columns.values()), columns
    assert shown[view.upper()]


def test_all_views_are_here():
    made = re.findall(r"CREATE OR REPLACE VIEW control\.(\w+)", (ROOT / "app/sql/views.sql").read_text())
    assert sorted(made) == list(VIEWS)


def test_after_a_failed_upgrade_the_views_answer_as_before(rig, plant):
    """They stand in a plain schema; those of a versioned one would be gone until the next good upgrade."""
    step(plant, "load orders", rows_read=1, rows_written=1)
    before = rig.query("SELECT * FROM control.row_accounts")
    broken = stage_folder(rig.account, "FIRN_PKG", "APP_SRC", "STAGE") / "sql" / "pipelines.sql"
    text = broken.read_text()
    broken.write_text("SELECT no_such_column FROM control.binding;\n")
    try:
        with pytest.raises(Exception, match="(?i)no_such_column"):
            rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")
    finally:
        broken.write_text(text)

    assert rig.query("SELECT * FROM control.row_accounts") == before
    rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")
    assert rig.query("SELECT * FROM control.row_accounts") == before
