"""A Power BI project (PBIP) over gold: a semantic model in TMDL that reads by DirectQuery, and a report with one empty page.

Formats: https://learn.microsoft.com/power-bi/developer/projects/projects-overview and the schemas each JSON part names.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from catalogue import GoldColumn, GoldTable, gold
from specs import Pipeline

SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric"
PARAMETERS = {
    "Server": ("account.snowflakecomputing.com", "Host name of the Snowflake account"),
    "Warehouse": ("REPORTING_WH", "Warehouse that answers the queries"),
    "Database": ("FIRN", "Name of the installed application"),
}


def project(pipeline: Pipeline) -> dict[str, str]:
    """Every file of the project: path → text."""
    name, tables = f"firn_{pipeline.name}", list(gold(pipeline))
    model, report = f"{name}.SemanticModel", f"{name}.Report"
    page = "gold"
    return {
        f"{name}.pbip": part("pbip/pbipProperties/1.0.0", version="1.0", artifacts=[{"report": {"path": report}}], settings={"enableAutoRecovery": True}),
        f"{model}/.platform": platform("SemanticModel", name),
        f"{model}/definition.pbism": part("item/semanticModel/definitionProperties/1.0.0", version="4.2", settings={}),
        f"{model}/definition/database.tmdl": "database\n\tcompatibilityLevel: 1567\n",
        f"{model}/definition/model.tmdl": model_tmdl(tables),
        f"{model}/definition/expressions.tmdl": expressions_tmdl(),
        f"{model}/definition/relationships.tmdl": relationships_tmdl(tables),
        **{f"{model}/definition/tables/{table.name}.tmdl": table_tmdl(table) for table in tables},
        f"{report}/.platform": platform("Report", name),
        f"{report}/definition.pbir": part("item/report/definitionProperties/2.0.0", version="4.0", datasetReference={"byPath": {"path": f"../{model}"}}),
        f"{report}/definition/version.json": part("item/report/definition/versionMetadata/1.0.0", version="1.0.0"),
        f"{report}/definition/report.json": part("item/report/definition/report/1.0.0", layoutOptimization="None", themeCollection={}),
        f"{report}/definition/pages/pages.json": part("item/report/definition/pagesMetadata/1.0.0", pageOrder=[page], activePageName=page),
        f"{report}/definition/pages/{page}/page.json": part(
            "item/report/definition/page/1.0.0", name=page, displayName="Gold", displayOption="FitToPage", height=720, width=1280
        ),
    }


def part(schema: str, **content: Any) -> str:
    return json.dumps({"$schema": f"{SCHEMAS}/{schema}/schema.json", **content}, indent=2, ensure_ascii=False) + "\n"


def platform(kind: str, name: str) -> str:
    """What tells the service which item this is; the id depends on the name only, so the text is the same each time."""
    logical_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"firn/{kind}/{name}"))
    return part("gitIntegration/platformProperties/2.0.0", metadata={"type": kind, "displayName": name}, config={"version": "2.0", "logicalId": logical_id})


def model_tmdl(tables: list[GoldTable]) -> str:
    references = "\n".join(f"ref table {table.name}" for table in tables)
    return (
        "model Model\n\tculture: en-US\n\tdefaultPowerBIDataSourceVersion: powerBI_V3\n\tsourceQueryCulture: en-US\n"
        f"\n{references}\n\nref expression " + "\nref expression ".join(PARAMETERS) + "\n"
    )


def expressions_tmdl() -> str:
    """Server, warehouse and database, asked for when the project is opened."""
    return "\n".join(
        f'/// {comment}\nexpression {name} = "{value}" meta [IsParameterQuery=true, Type="Text", IsParameterQueryRequired=true]\n'
        for name, (value, comment) in PARAMETERS.items()
    )


def relationships_tmdl(tables: list[GoldTable]) -> str:
    """Many to one, on the version key, so that a report shows what was true when the fact happened."""
    return "\n".join(
        f"relationship {table.name}_{link.column}\n\tfromColumn: {table.name}.{link.column}\n\ttoColumn: {link.table.removeprefix('gold.')}.{link.key}\n"
        for table in tables
        for link in table.references
    )


def table_tmdl(table: GoldTable) -> str:
    linked = {link.column for link in table.references}
    columns = "\n".join(column_tmdl(column, column.name in linked) for column in table.columns)
    return f"/// {one_line(table.comment)}\ntable {table.name}\n\n{columns}\n{partition_tmdl(table)}"


def column_tmdl(column: GoldColumn, is_linked: bool) -> str:
    """A column; keys and batches are hidden.  Only measures of facts are summed unasked: customers of two months are not their sum."""
    hidden = "\t\tisHidden\n" if is_linked or column.name == "batch_no" or column.name.endswith("_key") else ""
    return (
        f"\t/// {one_line(column.comment)}\n\tcolumn {column.name}\n\t\tdataType: {data_type(column.type)}\n{hidden}"
        f"\t\tsummarizeBy: {'sum' if column.adds_up else 'none'}\n\t\tsourceColumn: {column.name.upper()}\n"
    )


def data_type(snowflake_type: str) -> str:
    """Power BI's type for one of gold's.

    >>> data_type("NUMBER(38,0)"), data_type("NUMBER(18,2)"), data_type("NUMBER(38,6)"), data_type("TIMESTAMP_NTZ")
    ('int64', 'decimal', 'double', 'dateTime')
    """
    number = re.fullmatch(r"NUMBER(?:\(\d+,(\d+)\))?", snowflake_type)
    if number:
        scale = int(number[1] or 0)
        return "int64" if scale == 0 else "decimal" if scale <= 4 else "double"
    return {"BOOLEAN": "boolean", "DATE": "dateTime", "TIMESTAMP_NTZ": "dateTime"}.get(snowflake_type, "string")


def partition_tmdl(table: GoldTable) -> str:
    lines = (
        "let",
        "    Source = Snowflake.Databases(Server, Warehouse),",
        '    Application = Source{[Name = Database, Kind = "Database"]}[Data],',
        '    Gold = Application{[Name = "GOLD", Kind = "Schema"]}[Data],',
        f'    Rows = Gold{{[Name = "{table.name.upper()}", Kind = "Table"]}}[Data]',
        "in",
        "    Rows",
    )
    return f"\tpartition {table.name} = m\n\t\tmode: directQuery\n\t\tsource =\n" + "".join(f"\t\t\t\t{line}\n" for line in lines)


def one_line(text: str) -> str:
    return " ".join(text.split())
