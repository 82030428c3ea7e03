"""A pipeline file that cannot be used is refused whole, with the line and the way out of each fault in it."""

from __future__ import annotations

import pytest
import spec_file

SHOP = """\
pipeline: shop
schedule: 1 minute
retention: {bronze: 7 days}
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: changed_at
    stop_if: quarantined > 20%
    columns:
      id: {type: integer}
      name: {type: text, clean: [trim]}
      country: {type: text, map: {NO: Norway}, otherwise: Other}
      changed_at: {type: timestamp}
    checks:
      is_named: {expect: name is not null, otherwise: warn}
  visits:
    files: {prefix: visits/, format: json}
    key: [visit]
    effective_at: seen_at
    columns:
      visit: {type: text}
      id: {type: integer}
      seen_at: {type: timestamp}
dimensions:
  dim_person:
    from: people
    tracked: [country]
    overwritten: [name]
    on_delete: close
facts:
  fact_visits:
    from: visits
    lookups:
      person: {dimension: dim_person, by: id}
    measures:
      weight: {expression: id * 2, type: integer}
kpis:
  visits_by_day:
    from: fact_visits
    period: day
    measures: {visits: count(*)}
"""


def problems_of(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(spec_file.SpecRefused) as refused:
        spec_file.parse(text, "shop.yml")
    return [(problem.line, problem.path, problem.message) for problem in refused.value.problems]


def test_the_file_the_faults_are_put_into_has_none():
    assert spec_file.parse(SHOP).name == "shop"


@pytest.mark.parametrize(
    ("found", "put", "line", "path", "message"),
    [
        pytest.param("pipeline: shop\n", "", 1, "pipeline", "`pipeline` is missing", id="no name"),
        pytest.param("pipeline: shop", "pipeline: [shop]", 1, "pipeline", "expected a text", id="a list for a name"),
        pytest.param("1 minute", "5 seconds", 2, "schedule", "the shortest schedule of a task is 10 seconds", id="too often"),
        pytest.param("1 minute", "0 seconds", 2, "schedule", "the shortest schedule of a task is 10 seconds", id="never"),
        pytest.param("1 minute", "hourly", 2, "schedule", "expected a duration such as", id="a schedule in a word"),
        pytest.param("bronze: 7 days", "bronze: long", 3, "retention.bronze", "found `long`, expected a duration", id="no duration"),
        pytest.param("bronze: 7", "silver: 7", 3, "retention.silver", "unknown key `silver`", id="retention of silver"),
        pytest.param("  people:\n    files", "  select:\n    files", 5, "sources.select", "`select` cannot be a name", id="an SQL word for a source"),
        pytest.param("prefix: people/, ", "", 6, "sources.people.files", "`prefix` is missing", id="no prefix"),
        pytest.param("format: csv", "format: xml", 6, "sources.people.files.format", "unknown word `xml`", id="another format"),
        pytest.param("    key: [id]\n", "", 5, "sources.people", "`key` is missing", id="no key"),
        pytest.param("key: [id]", "key: [ids]", 7, "sources.people.key", "unknown column `ids`; did you mean `id`?", id="a key nobody declared"),
        pytest.param("effective_at: changed_at", "effective_at: name", 8, "sources.people.effective_at", "must be a timestamp, a date or an integer", id="a name for a time"),
        pytest.param("effective_at: changed_at", "effective_at: changed", 8, "sources.people.effective_at", "did you mean `changed_at`?", id="a time nobody declared"),
        pytest.param("quarantined > 20%", "20%", 9, "sources.people.stop_if", "expected `quarantined > 20%`", id="a share of what"),
        pytest.param("id: {type: integer}\n      name", "id: {type: int}\n      name", 11, "sources.people.columns.id.type", "unknown type `int`; did you mean `integer`", id="another system's type"),
        pytest.param("type: integer}\n      name", "type: 'number(2,12)'}\n      name", 11, "sources.people.columns.id.type", "unknown type `number(2,12)`", id="more decimals than digits"),
        pytest.param("clean: [trim]", "clean: [strip]", 12, "sources.people.columns.name.clean[0]", "unknown cleaning `strip`", id="a cleaning nobody knows"),
        pytest.param("clean: [trim]", "required: maybe", 12, "sources.people.columns.name.required", "unknown value `maybe`", id="neither true nor false"),
        pytest.param("map: {NO: Norway}, ", "", 13, "sources.people.columns.country", "there is no `map`", id="otherwise without a map"),
        pytest.param("map: {NO: Norway}", "map: Norway", 13, "sources.people.columns.country.map", "expected `name: value` entries", id="a map of one word"),
        pytest.param("      name: {", "      loaded_at: {", 12, "sources.people.columns.loaded_at", "a column Firn adds itself", id="a column of Firn's"),
        pytest.param("name is not null", "nam is not null", 16, "sources.people.checks.is_named.expect", "unknown column `nam`", id="a check on no column"),
        pytest.param("name is not null", "name in (select 1)", 16, "sources.people.checks.is_named.expect", "`select` is not allowed", id="a subquery"),
        pytest.param("name is not null", "name is not null -- ok", 16, "sources.people.checks.is_named.expect", "does not belong in an expression", id="a comment"),
        pytest.param("name is not null", "(name is not null", 16, "sources.people.checks.is_named.expect", "a `(` is not closed", id="a bracket left open"),
        pytest.param("name is not null", "name is not null)", 16, "sources.people.checks.is_named.expect", "a `)` closes nothing", id="a bracket too many"),
        pytest.param("otherwise: warn", "otherwise: drop", 16, "sources.people.checks.is_named.otherwise", "unknown word `drop`", id="rows are never dropped"),
        pytest.param("from: people", "from: persons", 27, "dimensions.dim_person.from", "unknown source `persons`", id="a dimension from nowhere"),
        pytest.param("overwritten: [name]", "overwritten: [country]", 26, "dimensions.dim_person", "`country` is named twice", id="two policies for a column"),
        pytest.param("on_delete: close", "on_delete: remove", 30, "dimensions.dim_person.on_delete", "unknown word `remove`", id="a mode nobody knows"),
        pytest.param("dimension: dim_person", "dimension: dim_people", 35, "facts.fact_visits.lookups.person.dimension", "did you mean `dim_person`?", id="a lookup into nothing"),
        pytest.param("by: id}", "by: [id, visit]}", 35, "facts.fact_visits.lookups.person", "`by` has 2 columns, the key of dim_person 1: id", id="a lookup by too much"),
        pytest.param("id * 2", "sum(amount)", 37, "facts.fact_visits.measures.weight.expression", "unknown column `amount`", id="a measure of no column"),
        pytest.param("from: fact_visits", "from: visits", 40, "kpis.visits_by_day.from", "unknown fact `visits`", id="a KPI from a source"),
        pytest.param("period: day", "period: hour", 41, "kpis.visits_by_day.period", "unknown word `hour`", id="a period nobody knows"),
        pytest.param("    period: day\n", "", 39, "kpis.visits_by_day", "expected a `period`, columns in `by`, or both", id="a KPI of nothing"),
        pytest.param("kpis:", "kpi:", 38, "kpi", "unknown key `kpi`; did you mean `kpis`?", id="a part nearly right"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line_its_place_and_the_way_out(found, put, line, path, message):
    assert found in SHOP
    told = problems_of(SHOP.replace(found, put, 1))

    assert [(at, where) for at, where, what in told if message in what] == [(line, path)], told


def test_a_file_with_many_faults_is_told_all_of_them_by_line():
    faults = {"1 minute": "hourly", "format: csv": "format: xml", "key: [visit]": "key: [visitor]", "period: day": "period: hour"}
    broken = SHOP
    for found, put in faults.items():
        broken = broken.replace(found, put, 1)

    assert [line for line, _, _ in problems_of(broken)] == [2, 6, 19, 41]


def test_one_fault_is_told_once_not_again_wherever_it_is_felt():
    no_source = problems_of(SHOP.replace("from: visits", "from: visit", 1))
    no_key = problems_of(SHOP.replace("    key: [id]\n", "", 1))

    assert [path for _, path, _ in no_source] == ["facts.fact_visits.from"]
    assert [path for _, path, _ in no_key] == ["sources.people"]
