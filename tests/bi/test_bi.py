"""What app/bi says is what gold is: tables, columns, types, keys and numbers; and its parts have the shape their formats ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import catalogue
import ddl
import pytest
import spec_file
import sqlglot
from sqlglot import exp

from local import bi, bi_power

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = {path.stem: spec_file.parse(path.read_text(), path.name) for path in sorted((ROOT / "app" / "pipelines").glob("*.yml"))}
FOLDER = ROOT / "app" / "bi"


def text(path: str) -> str:
    return (FOLDER / path).read_text(encoding="utf-8")


def test_app_bi_is_what_the_pipeline_files_make():
    found = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*") if path.is_file()}

    assert found == bi.wanted(), "python -m local.bi"


def test_nothing_of_it_ships_with_the_application():
    assert "app/bi" not in (ROOT / "snowflake.yml").read_text()


# --- the catalogue and the tables


@pytest.mark.parametrize("name", PIPELINES)
def test_the_catalogue_is_what_create_table_says(name):
    """Read back from the statements by sqlglot: columns, types, comments, primary and foreign keys."""
    pipeline = PIPELINES[name]
    made = {}
    for statement in ddl.table_statements(pipeline):
        if statement.startswith("CREATE TABLE IF NOT EXISTS gold."):
            tree = sqlglot.parse_one(statement, dialect="snowflake")
            made[tree.this.this.name] = tree.this
    assert list(made) == [table.name for table in catalogue.gold(pipeline)]
    for table in catalogue.gold(pipeline):
        columns = {column.name: column for column in made[table.name].find_all(exp.ColumnDef)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            said = [item.kind.this.this for item in columns[column.name].constraints if isinstance(item.kind, exp.CommentColumnConstraint)]
            assert columns[column.name].args["kind"] == exp.DataType.build(column.type, dialect="snowflake"), column
            assert said == [column.comment] and column.comment
        assert [item.name for key in made[table.name].find_all(exp.PrimaryKey) for item in key.expressions] == list(table.key)
        foreign = {key.expressions[0].name: key.args["reference"].this.this.name for key in made[table.name].find_all(exp.ForeignKey)}
        assert foreign == {link.column: link.table.removeprefix("gold.") for link in table.references}


# --- the semantic view

CLAUSES = ["TABLES", "RELATIONSHIPS", "FACTS", "DIMENSIONS", "METRICS"]


def clauses(name: str) -> dict[str, list[str]]:
    """The lines of each clause, in the order of the statement."""
    body = text(f"{name}/semantic_view.sql")
    return {word: [line.strip().rstrip(",") for line in lines.splitlines() if line.strip()] for word, lines in re.findall(r"^    ([A-Z]+) \(\n(.*?)\n    \)", body, re.M | re.S)}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_clauses_stand_in_snowflakes_order(name):
    """https://docs.snowflake.com/en/sql-reference/sql/create-semantic-view: the order of the clauses is important."""
    body = text(f"{name}/semantic_view.sql")

    assert list(clauses(name)) == [word for word in CLAUSES if word in clauses(name)] and {"TABLES", "METRICS"} <= set(clauses(name))
    assert re.search(r"\n    \)\n    COMMENT = '[^\n]*';\n$", body)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_table_key_and_column_the_view_names_is_golds(name):
    tables = {table.name: table for table in catalogue.gold(PIPELINES[name])}
    found = clauses(name)
    aliases = {}
    for line in found["TABLES"]:
        alias, place, key = re.match(r"(\w+) AS firn\.gold\.(\w+)(?: PRIMARY KEY \(([^)]*)\))? COMMENT = '", line).groups()
        aliases[alias] = place
        assert place in tables and tuple((key or "").split(", ")) == (tables[place].key or ("",))
    for line in found.get("RELATIONSHIPS", []):
        one, column, other, key = re.match(r"\w+ AS (\w+) \((\w+)\) REFERENCES (\w+) \((\w+)\)$", line).groups()
        assert catalogue.Reference(column, f"gold.{aliases[other]}", key) in tables[aliases[one]].references
        assert tables[aliases[other]].key == (key,)
    named = set()
    for line in [*found["FACTS"], *found["DIMENSIONS"]]:
        alias, expression, column = re.match(r"(\w+)\.(\w+) AS (\w+) COMMENT = '", line).groups()
        assert column in tables[aliases[alias]].types and (alias, expression) not in named
        named.add((alias, expression))
    for line in found["METRICS"]:
        alias, metric, expression = re.match(r"(\w+)\.(\w+) AS (.*) COMMENT = '(?:[^']|'')*'$", line).groups()
        tree = sqlglot.parse_one(expression, dialect="snowflake")
        assert {column.name for column in tree.find_all(exp.Column)} <= tables[aliases[alias]].types.keys()
        assert tree.find(exp.AggFunc) and (alias, metric) not in named and metric not in tables[aliases[alias]].types
        named.add((alias, metric))


# --- the Power BI project

# Required and permitted keys, as the published schemas of https://github.com/microsoft/json-schemas say.
SHAPES = {
    "pbip/pbipProperties/1.0.0": ({"$schema", "version", "artifacts"}, {"settings"}),
    "item/semanticModel/definitionProperties/1.0.0": ({"$schema", "version"}, {"settings"}),
    "item/report/definitionProperties/2.0.0": ({"$schema", "version", "datasetReference"}, set()),
    "item/report/definition/versionMetadata/1.0.0": ({"$schema", "version"}, set()),
    "item/report/definition/report/1.0.0": ({"$schema", "layoutOptimization", "themeCollection"}, set()),
    "item/report/definition/pagesMetadata/1.0.0": ({"$schema"}, {"pageOrder", "activePageName"}),
    "item/report/definition/page/1.0.0": ({"$schema", "name", "displayName", "displayOption"}, {"height", "width"}),
    "gitIntegration/platformProperties/2.0.0": ({"$schema", "metadata", "config"}, set()),
}
PARTS = sorted(path for path in bi.wanted() if Path(path).suffix in (".json", ".pbip", ".pbism", ".pbir") or path.endswith(".platform"))


@pytest.mark.parametrize("path", PARTS)
def test_a_json_part_has_the_keys_its_schema_asks_for_and_no_others(path):
    content = json.loads(text(path))
    schema = re.fullmatch(r"https://developer\.microsoft\.com/json-schemas/fabric/(.+)/schema\.json", content["$schema"])[1]
    required, permitted = SHAPES[schema]

    assert required <= content.keys() <= required | permitted


@pytest.mark.parametrize("name", PIPELINES)
def test_the_parts_of_a_project_find_one_another(name):
    project = json.loads(text(f"{name}/firn_{name}.pbip"))
    report = project["artifacts"][0]["report"]["path"]
    pages = json.loads(text(f"{name}/{report}/definition/pages/pages.json"))
    model = json.loads(text(f"{name}/{report}/definition.pbir"))["datasetReference"]["byPath"]["path"]

    assert (FOLDER / name / report / model / "definition" / "model.tmdl").resolve().is_file()
    for page in pages["pageOrder"]:
        assert json.loads(text(f"{name}/{report}/definition/pages/{page}/page.json"))["name"] == page


def tmdl(path: str) -> dict[str, dict[str, str]]:
    """The columns of a table's TMDL with their properties; indentation is by tabs, one for each level."""
    lines = text(path).splitlines()
    assert not [line for line in lines if re.match(r"\t* +\S", line) and not line.startswith("\t\t\t\t")], "blanks for tabs"
    columns: dict[str, dict[str, str]] = {}
    for line in lines:
        if begins := re.fullmatch(r"\tcolumn (\w+)", line):
            columns[begins[1]] = {}
        elif columns and (said := re.fullmatch(r"\t\t(\w+)(?:: (.*))?", line)) and said[1] != "source":
            list(columns.values())[-1][said[1]] = said[2] or "true"
    return columns


@pytest.mark.parametrize("name", PIPELINES)
def test_the_model_has_golds_tables_columns_types_and_joins(name):
    folder = f"{name}/firn_{name}.SemanticModel/definition"
    tables = list(catalogue.gold(PIPELINES[name]))

    assert sorted(path.stem for path in (FOLDER / folder / "tables").iterdir()) == sorted(table.name for table in tables)
    assert re.findall(r"^ref table (\w+)$", text(f"{folder}/model.tmdl"), re.M) == [table.name for table in tables]
    for table in tables:
        path = f"{folder}/tables/{table.name}.tmdl"
        found = tmdl(path)
        assert {column: said["sourceColumn"] for column, said in found.items()} == {column.name: column.name.upper() for column in table.columns}
        assert {column: said["dataType"] for column, said in found.items()} == {column.name: bi_power.data_type(column.type) for column in table.columns}
        assert {column for column, said in found.items() if said["summarizeBy"] == "sum"} == {column.name for column in table.columns if column.adds_up}
        assert f'[Name = "{table.name.upper()}", Kind = "Table"]' in text(path) and "\t\tmode: directQuery\n" in text(path)
    joins = re.findall(r"fromColumn: (\w+)\.(\w+)\n\ttoColumn: (\w+)\.(\w+)", text(f"{folder}/relationships.tmdl"))
    assert joins == [(table.name, link.column, link.table.removeprefix("gold."), link.key) for table in tables for link in table.references]


@pytest.mark.parametrize("name", PIPELINES)
def test_server_warehouse_and_database_are_parameters(name):
    found = re.findall(r'^expression (\w+) = "([^"]+)" meta \[IsParameterQuery=true', text(f"{name}/firn_{name}.SemanticModel/definition/expressions.tmdl"), re.M)

    assert [word for word, _ in found] == ["Server", "Warehouse", "Database"]
