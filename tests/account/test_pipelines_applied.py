"""A pipeline file in the account: applied, changed, exported, dropped; what is there is never lost by the way."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.rig import Rig

SHOP = """
pipeline: shop
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: at
    columns:
      id: {type: integer}
      city: {type: text, clean: [trim, {strip_prefix: 'c-'}]}
      spent: {type: "number(12,2)", formats: ['1.234,56']}
      at: {type: timestamp, formats: [DD.MM.YYYY]}
    checks:
      spent_something: {between: {spent: [0, null]}}
dimensions:
  dim_person: {from: people, tracked: [city]}
facts:
  fact_spent: {from: people, keep: [spent], lookups: {person: {dimension: dim_person, by: id}}}
kpis:
  spent_by_month:
    from: fact_spent
    period: month
    measures: {spent: {expression: sum(spent), type: "number(38,2)"}}
"""
ROWS = """
    id,city,spent,at
    1,c-Oslo,"1.000,50",1.2.2024
    2,Rome,"2,5",3.2.2024
    3,Rome,"-1",4.2.2024
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("applied") / "account", spec=SHOP) as opened:
        opened.load("people", ROWS)
        opened.run()
        yield opened


def numbers(rig: Rig) -> list[tuple[str, str]]:
    return [(str(row["month"]), str(row["spent"])) for row in rig.query("SELECT month, spent FROM gold.spent_by_month ORDER BY month")]


def states(rig: Rig) -> dict[str, str]:
    return {task.name: task["state"] for task in rig.account.catalog.find("task") if task.database == "FIRN"}


def test_the_file_gives_numbers(rig):
    assert numbers(rig) == [("2024-02-01", "1003.00")]
    assert rig.query("SELECT failed_checks FROM control.quarantine")[0]["failed_checks"] == '["spent_something"]'


def test_a_dry_run_says_what_would_change_and_changes_nothing(rig):
    more = SHOP.replace("      at: {", "      phone: {type: text}\n      at: {", 1).replace("period: month", "period: week")
    before = (states(rig), rig.call("config.export_spec", "shop"), numbers(rig))

    found = rig.call("config.apply_spec", more, True)

    told = {(change["kind"], change["object"]) for change in found["changes"]}
    assert {("add column", "silver.people.phone"), ("make anew", "gold.spent_by_month")} <= told
    assert found["dry_run"] and found["changed"] and found["computed_again"] == ["measure spent_by_month"]
    assert (states(rig), rig.call("config.export_spec", "shop"), numbers(rig)) == before


def test_a_changed_kpi_is_computed_again_and_the_file_has_a_version(rig):
    by_day = SHOP.replace("period: month", "period: day").replace("spent_by_month", "spent_by_day").replace("sum(spent)", "sum(spent) * 2")

    found = rig.call("config.apply_spec", by_day)
    rig.run()

    assert found["version"] == 2
    assert [str(row["spent"]) for row in rig.query("SELECT spent FROM gold.spent_by_day ORDER BY day")] == ["2001.00", "5.00"]
    assert numbers(rig) == [("2024-02-01", "1003.00")], "what the file does not name any more stays"
    assert rig.call("config.export_spec", "shop", 1) == SHOP and rig.call("config.export_spec", "shop") == by_day
    assert rig.call("config.apply_spec", by_day)["changed"] is False, "the same file again is no version"
    assert rig.call("config.apply_spec", SHOP)["version"] == 3


def test_what_would_lose_data_is_refused_before_the_first_change(rig):
    before = (states(rig), rig.query("SELECT COUNT(*) AS n FROM silver.people"))

    with pytest.raises(ProgrammingError, match=r"silver.people.city is TEXT and would be DATE(.|\n)*config.drop_pipeline"):
        rig.call("config.apply_spec", SHOP.replace("city: {type: text, clean: [trim, {strip_prefix: 'c-'}]}", "city: {type: date}"))

    assert (states(rig), rig.query("SELECT COUNT(*) AS n FROM silver.people")) == before


def test_a_graph_somebody_suspended_stays_suspended(rig):
    rig.answer("ALTER TASK firn.tasks.shop_begin SUSPEND")
    rig.call("config.apply_spec", SHOP)
    assert states(rig)["SHOP_BEGIN"] == "suspended"
    assert {state for name, state in states(rig).items() if name != "SHOP_BEGIN"} == {"started"}

    rig.answer("ALTER TASK firn.tasks.shop_begin RESUME")
    rig.call("config.apply_spec", SHOP)
    assert set(states(rig).values()) == {"started"}


def test_another_pipeline_may_stand_beside_it_and_not_take_its_tables(rig):
    with pytest.raises(ProgrammingError, match="belongs to pipeline `shop`"):
        rig.call("config.apply_spec", SHOP.replace("pipeline: shop", "pipeline: other"))

    other = SHOP.replace("pipeline: shop", "pipeline: other").replace("people", "others").replace("dim_person", "dim_other")
    rig.call("config.apply_spec", other.replace("fact_spent", "fact_other").replace("spent_by_month", "other_by_month"))
    assert {"SHOP_BEGIN", "OTHER_BEGIN"} <= states(rig).keys()
    assert rig.call("config.drop_pipeline", "other", True)["tables_dropped"]
    assert "OTHER_BEGIN" not in states(rig)


@pytest.mark.parametrize(("columns", "kept"), [("month DATE, spent NUMBER(38, 2)", 0), ("month DATE, file_name VARCHAR", 1)], ids=["its columns", "others"])
def test_a_stage_table_that_earlier_releases_made_for_a_kpi_goes(rig, columns, kept):
    rig.answer(f"CREATE TABLE firn.stage.spent_by_month ({columns})")

    planned = rig.call("config.apply_spec", SHOP)["changes"]

    assert [change["object"] for change in planned if change["kind"] == "drop"] == ["stage.spent_by_month"] * (1 - kept)
    there = "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_schema = 'STAGE' AND table_name = 'SPENT_BY_MONTH'"
    assert rig.query(there)[0]["n"] == kept
    rig.answer("DROP TABLE IF EXISTS firn.stage.spent_by_month")


def test_dropped_it_keeps_its_data_unless_told(rig):
    found = rig.call("config.drop_pipeline", "shop")

    assert states(rig) == {} and "gold.dim_person" in found["tables_kept"]
    assert numbers(rig) == [("2024-02-01", "1003.00")]
    with pytest.raises(ProgrammingError, match="belongs to pipeline `shop`"):
        rig.call("config.apply_spec", SHOP.replace("pipeline: shop", "pipeline: thief"))

    rig.call("config.apply_spec", SHOP)
    rig.load("people", 'id,city,spent,at\n4,Oslo,"7",5.2.2024\n')
    rig.run()
    assert numbers(rig) == [("2024-02-01", "1010.00")], "it goes on where it stood; nothing is loaded twice"

    rig.call("config.drop_pipeline", "shop", True)
    assert not rig.query("SELECT table_name FROM information_schema.tables WHERE table_schema IN ('SILVER', 'GOLD', 'STAGE')")
    assert rig.query("SELECT COUNT(*) AS n FROM control.ledger")[0]["n"] == 0
    assert rig.query("SELECT COUNT(*) AS n FROM control.pipeline_spec WHERE pipeline = 'shop'")[0]["n"] >= 3, "versions stay"


def wide(columns: int) -> str:
    """A source with so many columns, each with a cleaning and a check."""
    named = "\n".join(f"      c{n}: {{type: text, clean: [trim, lower]}}" for n in range(columns))
    checks = "\n".join(f"      ok_{n}: {{length: {{c{n}: [0, 9]}}}}" for n in range(columns))
    return (
        f"pipeline: wide{columns}\nsources:\n  wide{columns}:\n    files: {{prefix: w/, format: csv}}\n    key: [id]\n    effective_at: seen_at\n"
        f"    columns:\n      id: {{type: integer}}\n      seen_at: {{type: timestamp}}\n{named}\n    checks:\n{checks}\n"
    )


def statements_of_a_load(rig: Rig, columns: int) -> int:
    """Statements that one load of one file sends to the account."""
    import spec_file
    from runs import utc_now

    from local import setup_sql

    spec = spec_file.parse(wide(columns))
    rig.answer(
        setup_sql.table_sql(spec.sources[0]),
        f"GRANT SELECT, DELETE ON TABLE firn_landing.bronze.{spec.name} TO APPLICATION firn",
    )
    rig.call("config.apply_spec", wide(columns))
    rig.duck(
        f"INSERT INTO firn_landing.bronze.{spec.name} (id, seen_at, _file_name, _row_number, _content_key, _loaded_at) VALUES ('1', '2024-01-01', 'a', 1, 'a', ?)",
        [utc_now()],
    )
    before = rig.account.counted["run"]
    found = rig.call("core.run_step", spec.name, "load", spec.name)
    assert found["read"] == 1
    return rig.account.counted["run"] - before


def test_statements_do_not_grow_with_columns_and_checks(rig):
    assert statements_of_a_load(rig, 60) == statements_of_a_load(rig, 3)
