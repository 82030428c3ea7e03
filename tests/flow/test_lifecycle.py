"""The application's life through the unmodified Snowflake CLI: bundle, deploy, run, upgrade, teardown."""

from __future__ import annotations

import json

from local.outbox import Outbox
from local.pipeline_runs import install, query, run_scripts, set_up, wait_until
from local.place import Place


def state_of_tasks(place: Place) -> dict[str, str]:
    return {row["name"]: row["state"] for row in query(place, "SHOW TASKS IN DATABASE firn")}


def test_the_bundle_holds_the_app_and_nothing_by_accident(empty_account: Place) -> None:
    from local.place import ROOT

    empty_account.snow("app", "bundle")

    bundled = {p.relative_to(ROOT / "output/deploy").as_posix() for p in (ROOT / "output/deploy").rglob("*") if not p.is_dir()}
    assert {"manifest.yml", "setup.sql", "procedures/pipeline.py", "pipelines/retail.yml"} <= bundled
    assert not [name for name in bundled if "__pycache__" in name or name.startswith(("local/", "ingest/", "tests/", "app/"))]


def test_deploy_run_upgrade_and_teardown_with_the_unmodified_cli(empty_account: Place) -> None:
    place = empty_account
    set_up(place)

    place.snow("app", "deploy", "--connection", "local")
    assert query_packages(place) == ["FIRN_PKG"]
    assert query_applications(place) == [], "deploy publishes the package and installs nothing"

    install(place)
    first = state_of_tasks(place)
    assert first and set(first.values()) == {"started"}, "the setup script resumes every task"
    place.snow("sql", "-q", "CALL firn.core.run_pipeline()")
    kept = query(place, "SELECT COUNT(*) AS n FROM firn.control.pipeline_log")[0]["n"]
    assert kept > 0

    place.snow("app", "run", "--connection", "local")
    assert state_of_tasks(place) == first, "an upgrade leaves the tasks running"
    assert query(place, "SELECT COUNT(*) AS n FROM firn.control.pipeline_log")[0]["n"] >= kept, "state survives an upgrade"
    assert query_versions(place) == [2]
    run_scripts(place, "90", "90")
    assert [(row["name"], row["state"]) for row in rows_of(place, "SHOW ALERTS")] == [("TELL", "started")]
    told = "INSERT INTO firn_landing.watch.stopped SELECT 'by hand', 'retail', 'stopped', 'retail', 'raised', 'error', 'a trial', NULL, SYSDATE(), NULL"
    for statement in (told, "EXECUTE ALERT firn_landing.watch.tell"):
        place.snow("sql", "-q", statement)
    outbox = Outbox(place.folder / "outbox.sqlite3")
    wait_until(lambda: [message.subject for message in outbox.messages()].count("Firn retail error: a trial") == 1, "the mail of an alert", seconds=60)
    outbox.close()

    place.snow("app", "teardown", "--connection", "local", "--force", "--cascade")
    assert query_applications(place) == []
    assert query_packages(place) == []
    run_scripts(place, "98", "99")
    assert "FIRN_LANDING" not in {row["name"] for row in rows_of(place, "SHOW DATABASES")}


def rows_of(place: Place, sql: str) -> list[dict]:
    return json.loads(place.snow("sql", "-q", sql, "--format", "json").stdout or "[]")


def query_packages(place: Place) -> list[str]:
    return [row["name"] for row in rows_of(place, "SHOW APPLICATION PACKAGES")]


def query_applications(place: Place) -> list[str]:
    return [row["name"] for row in rows_of(place, "SHOW APPLICATIONS")]


def query_versions(place: Place) -> list[int]:
    return [int(row["patch"]) for row in rows_of(place, "SHOW APPLICATIONS")]
