"""A semantic view over gold: tables, how they join, and the KPIs of the pipeline file as metrics.

Clause order and rules: https://docs.snowflake.com/en/sql-reference/sql/create-semantic-view and
https://docs.snowflake.com/en/user-guide/views-semantic/validation-rules
"""

from __future__ import annotations

from catalogue import GoldTable, gold
from names import text
from specs import Kpi, Pipeline
from sqlglot import exp, parse_one

TECHNICAL = ("batch_no",)


def view(pipeline: Pipeline, application: str = "firn") -> str:
    """CREATE SEMANTIC VIEW; its place is given when it is run: snow sql -f … -D place=<database>.<schema>."""
    tables = {table.name: table for table in gold(pipeline) if table.kind != "kpi"}
    clauses = {
        "TABLES": [line for table in tables.values() if (line := logical_table(table, application))],
        "RELATIONSHIPS": [line for table in tables.values() for line in relationships(table)],
        "FACTS": [line for fact in pipeline.facts for line in rows(tables[fact.name], fact_columns(pipeline, fact.name))],
        "DIMENSIONS": [line for table in tables.values() for line in rows(table, dimension_columns(pipeline, table))],
        "METRICS": metrics(pipeline),
    }
    body = "\n".join(f"    {word} (\n        " + ",\n        ".join(lines) + "\n    )" for word, lines in clauses.items() if lines)
    return (
        f"-- Made by `python -m local.bi` from app/pipelines/{pipeline.name}.yml; changes here are lost.\n"
        "-- Never run here: the local account has no semantic views.  Who runs it needs app_reader and CREATE SEMANTIC VIEW on a schema:\n"
        f"-- snow sql -f app/bi/{pipeline.name}/semantic_view.sql -D place=analytics.public\n"
        f"CREATE OR REPLACE SEMANTIC VIEW <% place %>.firn_{pipeline.name}\n{body}\n"
        f"    COMMENT = {text(pipeline.comment or pipeline.name)};\n"
    )


def logical_table(table: GoldTable, application: str) -> str:
    key = f" PRIMARY KEY ({', '.join(table.key)})" if table.key else ""
    return f"{table.name} AS {application}.{table.table}{key} COMMENT = {text(table.comment)}"


def relationships(table: GoldTable) -> list[str]:
    """Facts join on the version key: the values that were true then."""
    return [
        f"{table.name}_{link.column.removesuffix('_key').removesuffix('_version')} AS {table.name} ({link.column}) "
        f"REFERENCES {link.table.removeprefix('gold.')} ({link.key})"
        for link in table.references
    ]


def keys(table: GoldTable) -> set[str]:
    """Columns that only join, or tell of batches: nobody groups by them."""
    linked = {link.column for link in table.references}
    durable = {column.removesuffix("_version_key") + "_key" for column in linked if column.endswith("_version_key")}
    return {*linked, *durable, *TECHNICAL, *(column.name for column in table.columns if column.name.endswith("_key"))}


def fact_columns(pipeline: Pipeline, name: str) -> list[str]:
    """Numbers of one row that may be added: measures, and kept columns that are numbers."""
    fact = pipeline.fact(name)
    types = pipeline.fact_types(fact)
    numbers = [column for column in fact.keep if types[column].startswith(("number", "integer")) and not column.endswith("_id")]
    return [*numbers, *(measure.name for measure in fact.measures)]


def dimension_columns(pipeline: Pipeline, table: GoldTable) -> list[str]:
    facts = fact_columns(pipeline, table.name) if table.kind == "fact" else []
    return [column.name for column in table.columns if column.name not in keys(table) and column.name not in facts]


def rows(table: GoldTable, wanted: list[str]) -> list[str]:
    comments = {column.name: column.comment for column in table.columns}
    return [f"{table.name}.{name} AS {name} COMMENT = {text(comments[name])}" for name in wanted]


def metrics(pipeline: Pipeline) -> list[str]:
    """The measures of the KPIs, each once; a name that another meaning has taken already gets the KPI's name before it."""
    made: dict[tuple[str, str], str] = {}
    lines = []
    for kpi in pipeline.kpis:
        taken = {column.name for table in gold(pipeline) if table.name == kpi.fact for column in table.columns}
        for measure in kpi.measures:
            expression = filtered(measure.expression, kpi, pipeline.fact(kpi.fact).grain[0])
            name = measure.name if measure.name not in taken else f"{kpi.name}_{measure.name}"
            if made.get((kpi.fact, name)) == expression:
                continue
            if (kpi.fact, name) in made:
                name = f"{kpi.name}_{measure.name}"
            made[kpi.fact, name] = expression
            lines.append(f"{kpi.fact}.{name} AS {expression} COMMENT = {text(measure.comment or measure.name)}")
    return lines


def filtered(expression: str, kpi: Kpi, named: str) -> str:
    """An aggregate with the KPI's filter inside, as a metric has no WHERE; rows are counted by `named`, never NULL.

    >>> filtered("count(distinct order_id)", Kpi("k", "f", (), where="status <> 'cancelled'"), "line")
    "COUNT(DISTINCT CASE WHEN status <> 'cancelled' THEN order_id END)"
    >>> filtered("count(*)", Kpi("k", "f", (), where="is_paid"), "line")
    'COUNT(CASE WHEN is_paid THEN line END)'
    >>> filtered("sum(amount)", Kpi("k", "f", ()), "line")
    'SUM(amount)'
    """
    tree = parse_one(expression, dialect="snowflake")
    for star in list(tree.find_all(exp.Star)):
        star.replace(exp.column(named))
    if kpi.where:
        for aggregate in list(tree.find_all(exp.AggFunc)):
            narrow(aggregate, kpi.where)
    return tree.sql("snowflake")


def narrow(aggregate: exp.AggFunc, where: str) -> None:
    condition = parse_one(where, dialect="snowflake")
    inner = aggregate.this
    if isinstance(inner, exp.Distinct):
        inner.set("expressions", [exp.Case().when(condition, item) for item in inner.expressions])
    else:
        aggregate.set("this", exp.Case().when(condition, inner))
