"""docs/upgrading.md: what an upgrade keeps, what it replaces, and what it does to the packaged pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.rig import ROOT, Rig
from local.stages import stage_folder
from tests.operating.conftest import SHOP
from tests.rig import rigged, state

PACKAGED = (ROOT / "app/sql/pipelines.sql").read_text(encoding="utf-8")
RETAIL = SHOP.replace("pipeline: shop", "pipeline: retail")
OURS = SHOP.replace("orders", "lines")  # names of tables that `retail` has not
KEPT = ("control.pipeline_log", "control.ledger", "silver.lines", "control.quarantine", "gold.fact_lines")


def upgrade(rig: Rig) -> None:
    """The next release: its setup script applies the packaged `retail`, here a small one."""
    stage = stage_folder(rig.account, "FIRN_PKG", "APP_SRC", "STAGE")
    (stage / "sql" / "pipelines.sql").write_text(PACKAGED, encoding="utf-8")
    (stage / "pipelines" / "retail.yml").write_text(RETAIL, encoding="utf-8")
    rig.answer("ALTER APPLICATION firn UPGRADE USING @firn_pkg.app_src.stage")


def states(rig: Rig) -> dict[str, str]:
    return {task.name.lower(): task["state"] for task in rig.account.catalog.find("task") if task.database == "FIRN"}


def versions(rig: Rig, pipeline: str) -> list[tuple[Any, ...]]:
    rows = rig.query("SELECT version, is_current FROM control.pipeline_spec WHERE pipeline = ? ORDER BY version", (pipeline,))
    return [(row["version"], row["is_current"]) for row in rows]


@pytest.fixture
def upgraded(rig: Rig) -> Rig:
    """The application with the packaged `retail`, whichever tests ran before."""
    if "retail_begin" not in states(rig):
        upgrade(rig)
    return rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A pipeline of one's own, after a run; the next release also packages `retail`."""
    with rigged(tmp_path_factory.mktemp("upgrade") / "rig", OURS) as made:
        made.load("lines", "order_id,id,amount,ordered_at\n1,1,5,2024-01-01 10:00:00\n2,2,-5,2024-01-01 10:00:00\n")
        made.run()
        yield made


def test_an_upgrade_keeps_rows_own_pipelines_and_the_rights_of_people_and_adds_the_packaged_pipeline(rig):
    rig.answer("CREATE ROLE analyst", "GRANT APPLICATION ROLE firn.app_reader TO ROLE analyst")
    before, own = state(rig, *KEPT), versions(rig, "shop")

    upgrade(rig)

    assert (state(rig, *KEPT), versions(rig, "shop")) == (before, own)
    assert len(before["gold.fact_lines"]) == len(before["control.quarantine"]) == 1
    assert states(rig)["retail_begin"] == states(rig)["shop_begin"] == "started"
    assert rig.run()["status"] == "nothing new", "the replaced procedures go on where the old ones stopped"
    rig.account.execute(rig.account.session(role="ANALYST"), "SELECT amount FROM firn.gold.fact_lines")  # or it raises


@pytest.mark.nightly
def test_a_suspended_graph_stays_suspended_and_the_packaged_pipeline_becomes_what_is_packaged(upgraded):
    rig = upgraded
    rig.answer("ALTER TASK firn.tasks.retail_begin SUSPEND", "ALTER TASK firn.tasks.shop_begin SUSPEND")
    rig.call("config.apply_spec", RETAIL.replace("schedule: 1 hour", "schedule: 1 day"))
    assert versions(rig, "retail") == [(1, False), (2, True)]

    upgrade(rig)

    assert states(rig)["retail_begin"] == states(rig)["shop_begin"] == "suspended"
    assert versions(rig, "retail") == [(1, False), (2, False), (3, True)]
    assert rig.call("config.export_spec", "retail") == RETAIL


@pytest.mark.nightly
def test_a_packaged_pipeline_that_was_dropped_stays_away_though_its_tables_are_another_s_by_now(upgraded):
    rig = upgraded
    rig.call("config.drop_pipeline", "retail", True)
    rig.call("config.apply_spec", RETAIL.replace("pipeline: retail", "pipeline: heir"))

    upgrade(rig)

    assert "retail_begin" not in states(rig) and states(rig)["heir_begin"] == "started"
    rig.call("config.drop_pipeline", "heir", True)
    assert rig.call("config.apply_packaged", "retail")["tasks"] > 0


def test_a_release_that_asks_for_one_more_table_finds_it_and_a_pipeline_it_refuses_holds_up_no_other(rig):
    rig.duck("DROP TABLE firn.stage.lines")  # as if the release before had not had it
    rig.duck(
        "INSERT INTO firn.control.pipeline_spec (pipeline, version, sha256, applied_at, spec, is_current) "
        "VALUES ('aged', 1, 'x', TIMESTAMP '2024-01-01', 'pipeline: aged', TRUE)"
    )
    own = versions(rig, "shop")

    outcomes = rig.call("config.renew_pipelines")

    assert outcomes.pop("aged").startswith("not renewed: ")
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "renewed"} == {} and "shop" in outcomes
    assert versions(rig, "shop") == own and rig.run()["status"] == "nothing new"
    assert rig.query("SELECT COUNT(*) AS n FROM firn.stage.lines")[0]["n"] == 0, "the table is there again"
    rig.duck("DELETE FROM firn.control.pipeline_spec WHERE pipeline = 'aged'")


def test_a_stage_table_of_the_release_before_goes_and_no_other(rig):
    before = state(rig, *KEPT)
    rig.duck('CREATE TABLE firn.stage."LINES_OF_OLD" (id INTEGER)')
    rig.duck('CREATE TABLE firn.gold."LINES_OF_OLD" (id INTEGER)')

    rig.call("config.renew_pipelines")

    left = rig.query("SELECT table_schema FROM firn.information_schema.tables WHERE table_name = 'LINES_OF_OLD'")
    assert [row["table_schema"] for row in left] == ["GOLD"]
    assert state(rig, *KEPT) == before
