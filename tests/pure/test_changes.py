"""What applying another file would do to tables: what is safe is done, what would lose data is refused."""

from __future__ import annotations

import changes
import ddl
import pytest
import spec_file

SHOP = """
pipeline: shop
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: at
    columns:
      id: {type: integer}
      city: {type: text}
      spent: {type: "number(12,2)"}
      at: {type: timestamp}
  visits:
    files: {prefix: visits/, format: csv}
    key: [visit]
    effective_at: at
    columns: {visit: {type: text}, id: {type: integer}, at: {type: timestamp}}
dimensions:
  dim_person: {from: people, tracked: [city]}
facts:
  fact_visits:
    from: visits
    lookups: {person: {dimension: dim_person, by: id}}
    measures: {weight: {expression: id * 2, type: integer}}
kpis:
  visits_by_day: {from: fact_visits, period: day, measures: {visits: {expression: count(*), type: integer}}}
"""


def there(spec):
    return {table: {name: changes.type_of(kind) for name, kind in columns.items()} for table, (columns, _, _) in ddl.tables(spec).items()}


def found(old: str, new: str):
    before, after = spec_file.parse(old), spec_file.parse(new)
    return {(change.kind, change.object) for change in changes.table_changes(after, before, there(before))}


def test_the_same_file_changes_nothing():
    assert found(SHOP, SHOP) == set()


def test_everything_is_created_the_first_time():
    spec = spec_file.parse(SHOP)
    made = changes.table_changes(spec, None, {})
    assert {change.object for change in made} == set(ddl.tables(spec)) and {change.kind for change in made} == {"create"}


@pytest.mark.parametrize(("put", "instead", "expected"), [
    pytest.param("      at: {type: timestamp}\n  visits", "      phone: {type: text}\n      at: {type: timestamp}\n  visits", ("add column", "silver.people.phone"), id="a column more"),
    pytest.param("number(12,2)", "number(18,2)", ("widen", "silver.people.spent"), id="more digits"),
    pytest.param('      spent: {type: "number(12,2)"}\n', "", ("keep", "silver.people.spent"), id="a column less"),
    pytest.param("id * 2, type: integer", "id / 2, type: number", ("make anew", "gold.fact_visits"), id="a measure of another type"),
    pytest.param("from: fact_visits, period: day", "from: fact_visits, period: week", ("make anew", "gold.visits_by_day"), id="a KPI by other periods"),
    pytest.param("kpis:\n  visits_by_day", "kpis:\n  visits_each_day", ("keep", "gold.visits_by_day"), id="a KPI that is gone"),
])  # fmt: skip
def test_what_is_safe_is_done(put, instead, expected):
    assert put in SHOP
    assert expected in found(SHOP, SHOP.replace(put, instead, 1))


@pytest.mark.parametrize(("put", "instead", "told"), [
    pytest.param("city: {type: text}", "city: {type: integer}", r"silver.people.city is TEXT and would be NUMBER\(38,0\)", id="text to number"),
    pytest.param("number(12,2)", "number(12,4)", r"is NUMBER\(12,2\) and would be NUMBER\(12,4\)", id="other decimals"),
    pytest.param("number(12,2)", "number(10,2)", "would be NUMBER", id="fewer digits"),
    pytest.param("key: [visit]", "key: [visit, id]", r"the key of visits is \(visit\) and would be \(visit, id\)", id="another key"),
    pytest.param("dim_person: {from: people,", "dim_person: {from: people, key: [city, id],", "the key of dim_person", id="another key of a dimension"),
])  # fmt: skip
def test_what_would_lose_data_is_refused_with_the_way_out(put, instead, told):
    before, text = spec_file.parse(SHOP), SHOP.replace(put, instead, 1)
    if "dim_person" in put:
        text = text.split("facts:")[0].replace("tracked: [city]", "tracked: [spent]")
    after = spec_file.parse(text)
    with pytest.raises(changes.LosesData, match=told) as refused:
        changes.table_changes(after, before, there(before))
    assert "config.drop_pipeline('shop', TRUE)" in str(refused.value)


def test_tasks_and_grants_follow_the_file():
    before, after = spec_file.parse(SHOP), spec_file.parse(SHOP.replace("visits_by_day", "visits_each_day"))
    kinds = {(change.kind, change.object) for change in changes.task_changes(after, before)}
    assert {("create", "tasks.shop_measure_visits_each_day"), ("drop", "tasks.shop_measure_visits_by_day")} <= kinds
    grants = {change.object for change in changes.grant_changes(after, there(before))}
    assert "SELECT on gold.visits_each_day to app_reader" in grants
