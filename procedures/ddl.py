"""Statements that make a pipeline's tables and tasks, from its spec.  Besides `names`, the only module of SQL text."""

from collections.abc import Iterator, Mapping, Sequence

import catalogue
import names
from catalogue import GoldTable, sequence
from expressions import resolved
from facts import STANDING_MEMBERS
from history import CHANGE, MET
from specs import Dimension, Fact, Kpi, Measure, Pipeline, Source, sql_type
from taskgraph import Task, look, plan, query_tag

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

    Those of stage are transient: what is deleted again with every step would otherwise be kept, and paid for, a week
    in Fail-safe.  https://docs.snowflake.com/en/user-guide/tables-temp-transient

    >>> print(create_table("gold.dim_city", {"city": "VARCHAR", "valid_from": "TIMESTAMP_NTZ"}, ("city",), "Cities"))
    CREATE TABLE IF NOT EXISTS gold.dim_city (
        city VARCHAR,
        valid_from TIMESTAMP_NTZ,
        PRIMARY KEY (city)
    )
    COMMENT = 'Cities'
    >>> print(create_table("stage.dim_city", {"city": "VARCHAR"}))
    CREATE TRANSIENT TABLE IF NOT EXISTS stage.dim_city (
        city VARCHAR
    )
    """
    kind = "TRANSIENT TABLE" if table.startswith("stage.") else "TABLE"
    lines = [f"{names.identifier(column)} {type_name}" for column, type_name in columns.items()]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(names.identifier(column) for column in key)})")
    body = ",\n    ".join(lines)
    return f"CREATE {kind} IF NOT EXISTS {names.qualified(*table.split('.'))} (\n    {body}\n)" + (
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
        "old_to": sequence(pipeline, dimension),
        **{column: sql_type(type_name) for column, type_name in {**MET, **CHANGE}.items()},
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
        made[dimension.stage] = (dimension_stage_columns(pipeline, dimension), (), "The history in hand, and what changes; empty between runs")
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


def view_name(kpi: Kpi) -> str:
    return names.qualified("gold", f"{kpi.name}_mv")


def materialized_view(kpi: Kpi, fact: Fact, measures: Sequence[Measure]) -> Iterator[str]:
    """Some numbers of a KPI as a materialized view, and its grant; it holds what the fact holds, at every moment.

    >>> from specs import Measure
    >>> kpi = Kpi("monthly", "fact_orders", (), period="month", by=("region",), where="status <> 'cancelled'")
    >>> for sql in materialized_view(kpi, Fact("fact_orders", "orders", ("order_id",), "ordered_at"), [Measure("revenue", "sum(amount)")]):
    ...     print(sql)
    CREATE MATERIALIZED VIEW IF NOT EXISTS gold.monthly_mv (month, region, revenue)
    COMMENT = 'monthly, kept by Snowflake'
    AS
    SELECT DATE_TRUNC('month', ordered_at), region, sum(amount)
    FROM gold.fact_orders
    WHERE status <> 'cancelled'
    GROUP BY DATE_TRUNC('month', ordered_at), region
    GRANT SELECT ON MATERIALIZED VIEW gold.monthly_mv TO APPLICATION ROLE app_reader
    """
    truncated = [f"DATE_TRUNC({names.text(kpi.period)}, {names.identifier(fact.at)})"] if kpi.period else []
    groups = [*truncated, *(names.identifier(column) for column in kpi.by)]
    columns = ", ".join(names.identifier(name) for name in (*kpi.groups, *(measure.name for measure in measures)))
    where = f"WHERE {resolved(kpi.where)}\n" if kpi.where else ""
    yield (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view_name(kpi)} ({columns})\n"
        f"COMMENT = {names.text(f'{kpi.name}, kept by Snowflake')}\nAS\n"
        f"SELECT {', '.join([*groups, *(resolved(measure.expression) for measure in measures)])}\n"
        f"FROM {names.qualified(*fact.table.split('.'))}\n{where}GROUP BY {', '.join(groups)}"
    )
    yield f"GRANT SELECT ON MATERIALIZED VIEW {view_name(kpi)} TO APPLICATION ROLE {names.identifier(READER)}"


def drop_materialized_view(kpi: Kpi) -> str:
    return f"DROP MATERIALIZED VIEW IF EXISTS {view_name(kpi)}"


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


LANDING = ("firn_landing", "bronze")


def create_task(task: Task, pipeline: str, root: str, bronze: tuple[str, str] = LANDING) -> str:
    """A task whose body is one call; serverless, as no warehouse is named.

    >>> print(create_task(Task("shop_load_orders", "load", "orders", ("shop_begin",)), "shop", "shop_begin"))
    CREATE OR REPLACE TASK tasks.shop_load_orders
        LOCK_TIMEOUT = 3600,
        QUERY_TAG = '{"app":"firn","pipeline":"shop","step":"load orders"}'
        AFTER tasks.shop_begin
    AS
        CALL core.run_step('shop', 'load', 'orders')
    """
    if task.streams:
        # Serverless tasks that wait for streams must say how long they may take; 10 seconds apart is the least there is.
        # https://docs.snowflake.com/en/user-guide/tasks-triggered
        has_data = [f"SYSTEM$STREAM_HAS_DATA({names.text(names.qualified(*bronze, stream))})" for stream in task.streams]
        when = (
            "TARGET_COMPLETION_INTERVAL = '1 MINUTE'\n    USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS = 10\n"
            "    SUSPEND_TASK_AFTER_NUM_FAILURES = 0\n    TASK_AUTO_RETRY_ATTEMPTS = 1\n    WHEN\n        " + "\n        OR ".join(has_data)
        )
    elif task.schedule:
        # A failing step is in the log and its alert; a graph that suspends itself would only add silence.  The one retry
        # is for what passes by itself: it starts at the tasks that failed, and steps do nothing twice.
        when = (
            f"SCHEDULE = {names.text(task.schedule.upper())}\n    SUSPEND_TASK_AFTER_NUM_FAILURES = 0\n    TASK_AUTO_RETRY_ATTEMPTS = 1"
        )
    elif task.is_finalizer:
        when = f"FINALIZE = {names.qualified('tasks', root)}"
    else:
        when = "AFTER " + ", ".join(names.qualified("tasks", name) for name in task.after)
    step = ", ".join(names.text(value) for value in (pipeline, task.step, task.target))
    call = f"core.run_pipeline({names.text(pipeline)})" if task.step == "look" else f"core.run_step({step})"
    tag = names.text(query_tag(pipeline, f"{task.step} {task.target}".strip()))
    return (
        f"CREATE OR REPLACE TASK {names.qualified('tasks', task.name)}\n    LOCK_TIMEOUT = {LOCK_SECONDS},\n    QUERY_TAG = {tag}\n    {when}\n"
        f"AS\n    CALL {call}"
    )


def task_statements(
    pipeline: Pipeline, before: Pipeline | None = None, bronze: tuple[str, str] = LANDING, resume: bool = True
) -> Iterator[str]:
    """The graph: its root suspended, tasks dropped that the plan no longer has, all replaced, all resumed.

    A replaced task is suspended; the root is resumed last, when its graph is complete, and only with `resume`.
    """
    graph = plan(pipeline)
    root = graph[0]
    watcher = look(pipeline)
    yield suspend_task(root.name)
    if known := watcher or (before and look(before)):
        yield suspend_task(known.name)
    if known and not watcher:
        yield drop_task(known.name)
    for task in [*graph, *([watcher] if watcher else [])]:
        yield create_task(task, pipeline.name, root.name, bronze)
    # After the others no longer wait for them: a task whose predecessor is dropped is a root, and not a suspended one.
    for gone in sorted({task.name for task in plan(before)} - {task.name for task in graph}) if before else ():
        yield drop_task(gone)
    # A replaced task has lost its grants; without them nobody but the app sees that a task is suspended, or may resume it.
    # https://docs.snowflake.com/en/sql-reference/sql/grant-privilege-application-role
    yield f"GRANT MONITOR, OPERATE ON ALL TASKS IN SCHEMA tasks TO APPLICATION ROLE {names.identifier(ADMIN)}"
    if watcher and resume:
        yield resume_task(watcher.name)
    for task in reversed(graph):
        if resume or task is not root:
            yield resume_task(task.name)
