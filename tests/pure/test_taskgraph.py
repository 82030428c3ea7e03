"""The plan of a pipeline, from which both Snowflake's tasks and the local scheduler come."""

from __future__ import annotations

from pathlib import Path

import ddl
import spec_file
from taskgraph import plan

RETAIL = spec_file.parse((Path(__file__).resolve().parents[2] / "app/pipelines/retail.yml").read_text())


def test_every_task_comes_after_those_it_waits_for():
    seen: set[str] = set()
    for task in plan(RETAIL):
        assert set(task.after) <= seen, f"{task.name} stands before {set(task.after) - seen}"
        seen.add(task.name)


def test_a_fact_waits_for_its_source_and_its_dimensions():
    after = {task.name: set(task.after) for task in plan(RETAIL)}

    assert after["retail_fact_fact_orders"] == {
        "retail_load_orders",
        "retail_dimension_dim_customer",
        "retail_dimension_dim_product",
    }


def test_one_root_one_finalizer():
    graph = plan(RETAIL)

    assert [task.name for task in graph if task.schedule] == ["retail_begin"]
    assert [task.name for task in graph if task.is_finalizer] == ["retail_finish"]


def test_the_root_is_suspended_first_and_resumed_last():
    statements = list(ddl.task_statements(RETAIL))

    assert statements[0] == "ALTER TASK IF EXISTS tasks.retail_begin SUSPEND"
    assert statements[-1] == "ALTER TASK tasks.retail_begin RESUME"
    assert sum("RESUME" in statement for statement in statements) == len(plan(RETAIL))


def test_a_task_the_plan_no_longer_has_is_dropped():
    smaller = spec_file.parse(
        (Path(__file__).resolve().parents[2] / "app/pipelines/retail.yml").read_text().split("  monthly_active_users:")[0]
    )

    assert "DROP TASK IF EXISTS tasks.retail_measure_monthly_active_users" in list(ddl.task_statements(smaller, RETAIL))


def test_a_new_column_is_added_and_nothing_is_replaced():
    text = (Path(__file__).resolve().parents[2] / "app/pipelines/retail.yml").read_text()
    wider = spec_file.parse(text.replace("      city:  ", "      phone: {type: text}\n      city:  "))

    statements = list(ddl.table_statements(wider, RETAIL))

    assert "ALTER TABLE silver.customers ADD COLUMN IF NOT EXISTS phone VARCHAR" in statements
    assert not any("OR REPLACE" in statement for statement in statements)
