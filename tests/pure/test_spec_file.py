"""A pipeline file is read whole, and refused whole with everything that is wrong with it."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
import spec_file

PIPELINES = Path(__file__).resolve().parents[2] / "app" / "pipelines"
SMALL = """
pipeline: small
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: changed_at
    columns:
      id: {type: integer}
      country: {type: text, map: {NO: Norway}}
      changed_at: {type: timestamp}
    checks:
      is_named: country is not null
facts:
  fact_people:
    from: people
    grain: [id]
kpis:
  people_by_country:
    from: fact_people
    by: [id]
    measures: {people: count(*)}
"""


@pytest.mark.parametrize("file", sorted(PIPELINES.glob("*.yml")), ids=lambda file: file.stem)
def test_packaged_pipelines_parse(file):
    assert spec_file.parse(file.read_text(), file.name).name == file.stem


def test_words_stay_words():
    mapping = spec_file.parse(SMALL).source("people").columns[1].mapping

    assert mapping == {"NO": "Norway"}, "NO is a country, not False"


def test_a_budget_is_a_time_a_day():
    assert spec_file.parse(SMALL + "budget: 90 minutes a day\n").budget == timedelta(minutes=90)
    assert spec_file.parse(SMALL).budget is None


def test_what_is_not_said_has_a_default():
    source = spec_file.parse(SMALL).source("people")

    assert (source.overlap, source.stop_if, source.delete_when) == (timedelta(hours=24), None, "")


@pytest.mark.parametrize(
    ("found", "put", "line", "message"),
    [
        pytest.param("format: csv", "format: cvs", 5, "did you mean `csv`", id="a word nearly right"),
        pytest.param("key: [id]", "key: [idd]", 6, "unknown column `idd`; did you mean `id`", id="a column nobody declared"),
        pytest.param("type: integer", "type: int", 9, "unknown type `int`", id="a type of another system"),
        pytest.param("is_named: country", "is_named: land", 13, "unknown column `land`", id="a check on no column"),
        pytest.param("country is not null", "(select 1) > 0", 13, "`select` is not allowed", id="a subquery"),
        pytest.param("country is not null", "id > 0; drop table x", 13, "`; drop tab` does not belong", id="a second statement"),
        pytest.param("from: people", "from: persons", 16, "unknown source `persons`", id="a fact from nowhere"),
        pytest.param("by: [id]", "by: []", 19, "expected a `period`, columns in `by`, or both", id="a KPI of nothing"),
        pytest.param("pipeline: small", "pipeline: 'x y'", 2, "`x y` cannot be a name", id="a name that needs quotes"),
        pytest.param("      id: {", "      batch_no: {type: text}\n      id: {", 9, "a column Firn adds itself", id="a reserved column"),
        pytest.param("      id: {", "      new_id: {type: text}\n      id: {", 9, "and say `from: new_id`", id="a key's copy"),
        pytest.param("      id: {", "      named_id: {type: text}\n      id: {", 9, "its own copy of `id`", id="a column's copy"),
        pytest.param("pipeline: small", "pipeline: small\nbudget: 10 minutes", 3, "a duration and `a day`", id="a budget of no time"),
        pytest.param("pipeline: small", "pipeline: small\nbudget: 2 days a day", 3, "a duration and `a day`", id="days a day"),
        pytest.param("pipeline: small", "pipeline: small\nbudget: 0 hours a day", 3, "for ever", id="a budget of nothing"),
        pytest.param("pipeline: small", "pipeline: small\nbudget: 2401 hours a day", 3, "at most 2400 hours", id="more than a day can hold"),
        pytest.param("pipeline: small", "pipeline: small\nbudget: [10]", 3, "budget", id="a budget that is a list"),
        pytest.param("    checks:", "    chekcs:", 13, "unknown key `chekcs`; did you mean `checks`", id="a key nearly right"),
    ],
)
def test_an_error_names_its_line_and_the_way_out(found, put, line, message):
    with pytest.raises(spec_file.SpecRefused) as refused:
        spec_file.parse(SMALL.replace(found, put, 1), "small.yml")

    assert any(message in problem.message and abs(problem.line - line) <= 1 for problem in refused.value.problems), str(
        refused.value
    )


def test_all_errors_come_at_once():
    broken = SMALL.replace("format: csv", "format: cvs").replace("key: [id]", "key: [idd]").replace("from: people", "from: x")

    with pytest.raises(spec_file.SpecRefused) as refused:
        spec_file.parse(broken, "small.yml")

    assert len(refused.value.problems) == 3
    assert str(refused.value).startswith("small.yml:5: sources.people.files.format: ")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &a [1]\nb: [*a, *a]", id="aliases, of which a few lines stand for gigabytes"),
        pytest.param("pipeline: [", id="no YAML"),
        pytest.param("- a list", id="a list"),
        pytest.param("", id="nothing"),
        pytest.param("pipeline: x\npipeline: y\nsources: {}", id="a key twice"),
        pytest.param("pipeline: !!python/object:os.system x", id="a tag"),
        pytest.param("pipeline: {a: b}\nsources: 5\nkpis: [1]", id="shapes nobody expects"),
    ],
)
def test_strange_files_are_refused_politely(text):
    with pytest.raises(spec_file.SpecRefused):
        spec_file.parse(textwrap.dedent(text))
