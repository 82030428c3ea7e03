"""Statements that make a pipeline's tables and tasks, from its spec.  Besides `names`, the only module of SQL text."""

from collections.abc import Iterator, Mapping

import catalogue
import names
from catalogue import GoldTable, sequence
from facts import STANDING_MEMBERS
from specs import Dimension, Fact, Kpi, Pipeline, Source, sql_type
from taskgraph import Task, plan

PROVENANCE = {
    "file_name": "VARCHAR NOT NULL",
    "row_number": "NUMBER NOT NULL",
    "content_key": "VARCHAR",
    "loaded_at": "TIMESTAMP_NTZ NOT NULL",
}
# Steps of one graph wait for each other's turn.  Snowflake's own limit is 12 hours, which is silence, not waiting.
LOCK_SECONDS = 3600
READER, ADMIN = "app_reader", "app_admin"


def create_table(table: str, columns: Mapping[str, str], key: tuple[str, ...] = (), comment: str = "") -> str:
    """A table that outlives upgrades.  The key informs readers and BI tools; Snowflake does not enforce it.

    >>> print(create_table("gold.dim_city", {"city": "VARCHAR", "valid_from": "TIMESTAMP_NTZ"}, ("city",), "Cities"))
    CREATE TABLE IF NOT EXISTS gold.dim_city (
        city VARCHAR,
        valid_from TIMESTAMP_NTZ,
        PRIMARY KEY (city)
    )
    COMMENT = 'Cities'
    """
    lines = [f"{names.identifier(column)} {type_name}" for column, type_name in columns.items()]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(names.identifier(column) for column in key)})")
    body = ",\n    ".join(lines)
    return f"CREATE TABLE IF NOT EXISTS {names.qualified(*table.split('.'))} (\n    {body}\n)" + (
        f"\nCOMMENT = {names.text(comment)}" if comment else ""
    )


def create_gold(table: GoldTable) -> str:
    """A table of gold: every column with its comment, and keys by which BI tools join.

    RELY makes the keys known to the optimiser as well; a procedure keeps them, not Snowflake:
    https://docs.snowflake.com/en/sql-reference/constraints-properties

    >>> city = catalogue.GoldColumn("city", "VARCHAR", "Where it is", True)
    >>> country = catalogue.Reference("country_key", "gold.dim_country", "country_key")
    >>> number = catalogue.GoldColumn("country_key", "NUMBER", "The country's number")
    >>> print(create_gold(GoldTable("dim_city", "dimension", "Cities", (city, number), ("city",), (country,))))
    CREATE TABLE IF NOT EXISTS gold.dim_city (
        city VARCHAR NOT NULL COMMENT 'Where it is',
        country_key NUMBER COMMENT 'The country''s number',
        CONSTRAINT dim_city_pk PRIMARY KEY (city) NOT ENFORCED RELY,
        CONSTRAINT dim_city_country_key_fk FOREIGN KEY (country_key) REFERENCES gold.dim_country (country_key) NOT ENFORCED RELY
    )
    COMMENT = 'Cities'
    """
    lines = [
        f"{names.identifier(column.name)} {column.declared} COMMENT {names.text(column.comment)}" for column in table.columns
    ]
    if table.key:
        key = ", ".join(names.identifier(column) for column in table.key)
        lines.append(f"CONSTRAINT {names.identifier(f'{table.name}_pk')} PRIMARY KEY ({key}) NOT ENFORCED RELY")
    for reference in table.references:
        constraint = names.identifier(f"{table.name}_{reference.column}_fk")
        there = f"{names.qualified(*reference.table.split('.'))} ({names.identifier(reference.key)})"
        lines.append(
            f"CONSTRAINT {constraint} FOREIGN KEY ({names.identifier(reference.column)}) REFERENCES {there} NOT ENFORCED RELY"
        )
    body = ",\n    ".join(lines)
    made = names.qualified(*table.table.split("."))
    return f"CREATE TABLE IF NOT EXISTS {made} (\n    {body}\n)\nCOMMENT = {names.text(table.comment)}"


def comment_column(table: str, column: str, comment: str) -> str:
    """What a column means, said anew.

    >>> comment_column("gold.dim_city", "city", "Where it is")
    "COMMENT ON COLUMN gold.dim_city.city IS 'Where it is'"
    """
    return f"COMMENT ON COLUMN {names.qualified(*table.split('.'), column)} IS {names.text(comment)}"


def add_column(table: str, column: str, type_name: str) -> str:
    """A column for what a spec declares since; rows that are there have no value in it.

    >>> add_column("silver.customers", "phone", "VARCHAR")
    'ALTER TABLE silver.customers ADD COLUMN IF NOT EXISTS phone VARCHAR'
    """
    plain_type = type_name.removesuffix(" NOT NULL")
    altered = names.qualified(*table.split("."))
    return f"ALTER TABLE {altered} ADD COLUMN IF NOT EXISTS {names.identifier(column)} {plain_type}"


def grant_select(table: str, role: str) -> str:
    """Reading for an application role.

    >>> grant_select("gold.dim_city", "app_reader")
    'GRANT SELECT ON TABLE gold.dim_city TO APPLICATION ROLE app_reader'
    """
    return f"GRANT SELECT ON TABLE {names.qualified(*table.split('.'))} TO APPLICATION ROLE {names.identifier(role)}"


def silver_columns(source: Source) -> dict[str, str]:
    declared = {column.name: sql_type(column.type) for column in source.columns}
    return {
        **declared,
        "is_deleted": "BOOLEAN NOT NULL",
        "effective_at": f"{sql_type(source.sequence_type)} NOT NULL",
        **marks(source),
        **PROVENANCE,
        "batch_no": "NUMBER NOT NULL",
    }


def marks(source: Source) -> dict[str, str]:
    return {name: sql_type(type_name) for name, type_name in source.marks.items()}


def batch_columns(source: Source) -> dict[str, str]:
    declared = {column.name: sql_type(column.type) for column in source.columns}
    return {
        **declared,
        "is_deleted": "BOOLEAN",
        "effective_at": sql_type(source.sequence_type),
        **marks(source),
        **PROVENANCE,
        "is_repeat": "BOOLEAN",
        "row_values": "VARIANT",
        "failed_checks": "VARCHAR",
        "warned_checks": "VARCHAR",
        "stops": "BOOLEAN",
        "outcome": "VARCHAR",
    }


def version_columns(pipeline: Pipeline, dimension: Dimension) -> dict[str, str]:
    types = pipeline.source(dimension.source).types()
    own = {**{column: types[column] for column in dimension.key}, **dimension.attribute_types(types)}
    return {column: sql_type(type_name) for column, type_name in own.items()}


def dimension_stage_columns(pipeline: Pipeline, dimension: Dimension) -> dict[str, str]:
    return {
        **version_columns(pipeline, dimension),
        "valid_from": sequence(pipeline, dimension),
        "valid_to": sequence(pipeline, dimension),
        "opens": "BOOLEAN",
        "is_new": "BOOLEAN",
        "shows": "BOOLEAN",
        "is_last": "BOOLEAN",
        "is_gone": "BOOLEAN",
        "known_from": sequence(pipeline, dimension),
    }


def dimension_change_columns(pipeline: Pipeline, dimension: Dimension) -> dict[str, str]:
    moments = ("valid_from", "valid_to", "old_from", "old_to")
    numbers = ("version_key", "durable_key", "next_version_key")
    flags = ("is_current", "is_inferred", "is_added", "is_gone", "is_known")
    return {
        **version_columns(pipeline, dimension),
        **{column: sequence(pipeline, dimension) for column in moments},
        **{column: "NUMBER" for column in numbers},
        **{column: "BOOLEAN" for column in flags},
    }


def fact_columns(pipeline: Pipeline, fact: Fact) -> dict[str, str]:
    return {column: sql_type(type_name) for column, type_name in pipeline.fact_types(fact).items()}


def kpi_columns(pipeline: Pipeline, kpi: Kpi) -> dict[str, str]:
    return {column: sql_type(type_name) for column, type_name in pipeline.kpi_types(kpi).items()}


def tables(pipeline: Pipeline) -> dict[str, tuple[dict[str, str], tuple[str, ...], str]]:
    """Every table of a pipeline: its columns, its key and its comment.  Those of gold come from the catalogue."""
    made: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {}
    gold = {table.table: (table.types, table.key, table.comment) for table in catalogue.gold(pipeline)}
    for source in pipeline.sources:
        made[source.stage] = (batch_columns(source), (), "The batch in hand; empty between loads")
        comment = source.comment or f"Change log of {source.name}: one row per event that passed the checks"
        made[source.silver] = (silver_columns(source), (), comment)
    for dimension in pipeline.dimensions:
        made[dimension.stage] = (dimension_stage_columns(pipeline, dimension), (), "The history in hand; empty between runs")
        made[dimension.changes] = (dimension_change_columns(pipeline, dimension), (), "The changes in hand; empty between runs")
    for fact in pipeline.facts:
        columns = fact_columns(pipeline, fact)
        grain = {f"touched_{name}": columns[name] for name in fact.grain}
        made[f"{fact.stage}_touched"] = (grain, (), "The grains in hand; empty between runs")
        marks = {"is_gone": "BOOLEAN", "is_new": "BOOLEAN"}
        made[fact.stage] = ({**columns, **marks}, (), "The facts in hand; empty between runs")
    for kpi in pipeline.kpis:
        columns = kpi_columns(pipeline, kpi)
        scope = {name: columns[name] for name in kpi.scope}
        made[kpi.touched] = ({**scope, "batch_no": "NUMBER NOT NULL"}, (), f"Where {kpi.name} is to be computed again")
        made[kpi.stage] = (columns, (), "The numbers in hand; empty between runs")
    return made | gold


def table_statements(pipeline: Pipeline, before: Pipeline | None = None) -> Iterator[str]:
    """Creates what is missing, adds columns that the spec `before` did not have, grants gold to readers."""
    known = tables(before) if before else {}
    gold = {table.table: table for table in catalogue.gold(pipeline)}
    for table, (columns, key, comment) in tables(pipeline).items():
        yield create_gold(gold[table]) if table in gold else create_table(table, columns, key, comment)
        if table in known:
            for column in columns.keys() - known[table][0].keys():
                yield add_column(table, column, columns[column])
        yield grant_select(table, ADMIN)
        if table in gold:
            yield grant_select(table, READER)
    if before:
        yield from changed_comments(pipeline, before)


def changed_comments(pipeline: Pipeline, before: Pipeline) -> Iterator[str]:
    """Says again what columns of gold mean, where the pipeline file now says something else."""
    old = {(table.table, column.name): column.comment for table in catalogue.gold(before) for column in table.columns}
    tables_before = {table for table, _ in old}
    for table in catalogue.gold(pipeline):
        for column in table.columns if table.table in tables_before else ():
            if old.get((table.table, column.name)) != column.comment:
                yield comment_column(table.table, column.name, column.comment)


def unknown_day(pipeline: Pipeline) -> str:
    """Inserts the calendar's day for facts without one."""
    table = names.qualified("gold", pipeline.calendar)
    return f"INSERT INTO {table} (date_key)\nSELECT -1 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE date_key = -1)"


def standing_members(pipeline: Pipeline, dimension: Dimension) -> str:
    """Inserts the members that facts point to when no version fits: unknown, gap and early."""
    table = names.qualified(*dimension.table.split("."))
    durable, version = names.identifier(dimension.durable_key), names.identifier(dimension.version_key)
    keys = ", ".join(f"({key})" for key in STANDING_MEMBERS)
    beginning = "0" if sequence(pipeline, dimension) != "TIMESTAMP_NTZ" else "'1900-01-01'::TIMESTAMP_NTZ"
    return (
        f"INSERT INTO {table} ({durable}, {version}, valid_from, is_current, is_inferred, batch_no)\n"
        f"SELECT member.member_key, member.member_key, {beginning}, TRUE, FALSE, 0\n"
        f"FROM (VALUES {keys}) AS member (member_key)\n"
        f"WHERE member.member_key NOT IN (SELECT {version} FROM {table})"
    )


def suspend_task(name: str) -> str:
    """Stops a task from starting, if there is one.

    >>> suspend_task("retail_begin")
    'ALTER TASK IF EXISTS tasks.retail_begin SUSPEND'
    """
    return f"ALTER TASK IF EXISTS {names.qualified('tasks', name)} SUSPEND"


def resume_task(name: str) -> str:
    return f"ALTER TASK {names.qualified('tasks', name)} RESUME"


def drop_task(name: str) -> str:
    return f"DROP TASK IF EXISTS {names.qualified('tasks', name)}"


def create_task(task: Task, pipeline: str, root: str) -> str:
    """A task whose body is one call; serverless, as no warehouse is named.

    >>> print(create_task(Task("shop_load_orders", "load", "orders", ("shop_begin",)), "shop", "shop_begin"))
    CREATE OR REPLACE TASK tasks.shop_load_orders
        LOCK_TIMEOUT = 3600
        AFTER tasks.shop_begin
    AS
        CALL core.run_step('shop', 'load', 'orders')
    """
    if task.schedule:
        # A failing step is in the log and its alert; a graph that suspends itself would only add silence.  The one retry
        # is for what passes by itself: it starts at the tasks that failed, and steps do nothing twice.
        when = (
            f"SCHEDULE = {names.text(task.schedule.upper())}\n    SUSPEND_TASK_AFTER_NUM_FAILURES = 0\n    TASK_AUTO_RETRY_ATTEMPTS = 1"
        )
    elif task.is_finalizer:
        when = f"FINALIZE = {names.qualified('tasks', root)}"
    else:
        when = "AFTER " + ", ".join(names.qualified("tasks", name) for name in task.after)
    call = ", ".join(names.text(value) for value in (pipeline, task.step, task.target))
    return (
        f"CREATE OR REPLACE TASK {names.qualified('tasks', task.name)}\n    LOCK_TIMEOUT = {LOCK_SECONDS}\n    {when}\n"
        f"AS\n    CALL core.run_step({call})"
    )


def task_statements(pipeline: Pipeline, before: Pipeline | None = None, resume: bool = True) -> Iterator[str]:
    """The graph: its root suspended, tasks dropped that the plan no longer has, all replaced, all resumed.

    A replaced task is suspended; the root is resumed last, when its graph is complete, and only with `resume`.
    """
    graph = plan(pipeline)
    root = graph[0]
    yield suspend_task(root.name)
    for task in graph:
        yield create_task(task, pipeline.name, root.name)
    # After the others no longer wait for them: a task whose predecessor is dropped is a root, and not a suspended one.
    for gone in sorted({task.name for task in plan(before)} - {task.name for task in graph}) if before else ():
        yield drop_task(gone)
    for task in reversed(graph):
        if resume or task is not root:
            yield resume_task(task.name)
