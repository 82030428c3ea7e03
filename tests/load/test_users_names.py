"""A user's columns may have the names that the engine gives to columns of its own on the way."""

from __future__ import annotations

import re

import pytest

from local.place import ROOT
from tests.rig import rigged

import names  # isort: skip  (procedures/, through tests.rig)

ALIAS = re.compile(r'(?:alias|with_column)\("([a-z_]+)"|\bAS ([a-z_]+)\b')

SPEC = """
pipeline: shop
sources:
  items:
    files: {{prefix: items/, format: csv}}
    key: [{key}]
    effective_at: {at}
    delete_when: {first} = 'gone'
    columns:
      {at}: {{type: timestamp}}
{columns}
    checks:
      first_is_short: length({first}) < 6
  sales:
    files: {{prefix: sales/, format: csv}}
    key: [sale_id]
    effective_at: {at}
    columns:
      sale_id: {{type: integer}}
      {at}: {{type: timestamp}}
{columns}
dimensions:
  dim_item: {{from: items, tracked: [{tracked}], overwritten: [{overwritten}]}}
facts:
  fact_sales:
    from: sales
    grain: [sale_id]
    keep: [{degenerate}]
    lookups:
      {lookup}: {{dimension: dim_item, by: {key}, as_of: {at}}}
    measures: {{{measure}: sale_id * 2}}
kpis:
  totals: {{from: fact_sales, by: [{first}], measures: {{{total}: "sum({measure})"}}}}
"""


def aliases() -> list[str]:
    found = {name for path in (ROOT / "procedures").glob("*.py") for pair in ALIAS.findall(path.read_text(encoding="utf-8")) for name in pair if name}
    return sorted(name for name in found if names.plain(name) and name not in names.RESERVED_BY_FIRN and not name.endswith("_") and not name.endswith("_key"))


def spec_of(columns: list[str], at: str, lookup: str, measure: str, total: str) -> str:
    key, first, *rest = columns
    return SPEC.format(
        key=key, at=at, first=first, lookup=lookup, measure=measure, total=total,
        columns="\n".join(f"      {name}: {{type: text}}" for name in columns),
        tracked=", ".join([first, *rest[::2]]), overwritten=", ".join(rest[1::2]), degenerate=", ".join(columns),
    )  # fmt: skip


def fill(rig, columns: list[str], at: str) -> None:
    """Three batches: new, a change twice and a repeat; a late change and a tombstone; a row that fails."""
    rest = len(columns) - 2

    def rows(*given):
        """(key, first, minute) → a line; the other columns say what the first says."""
        return "\n".join([",".join([*columns, at]), *(",".join([key, first, *[first] * rest, f"2024-01-01 00:{minute:02}:00"]) for key, first, minute in given)])

    def sold(*given):
        header, *lines = rows(*((key, "sold", minute) for _, key, minute in given)).splitlines()
        return "\n".join([f"sale_id,{header}", *(f"{number},{line}" for (number, *_), line in zip(given, lines, strict=True))])

    rig.load("items", rows(("a", "red", 10), ("b", "blue", 10), ("a", "red", 10), ("a", "green", 30)))
    rig.load("sales", sold((1, "a", 20), (2, "b", 20), (3, "c", 20)))
    rig.run()
    rig.load("items", rows(("a", "blue", 15), ("b", "gone", 40), ("b", "blue", 10), ("c", "too long to pass", 5)))
    rig.load("sales", sold((2, "b", 20), (4, "b", 50)))
    rig.run()


def contents(rig) -> dict[str, list[tuple]]:
    tables = ("silver.items", "silver.sales", "gold.dim_item", "gold.fact_sales", "gold.totals")
    found = {  # the content key of a file whose header differs is another, and keys are numbered as rows come
        table: [tuple(value for name, value in row.items() if name not in names.PROVENANCE and not name.endswith("_key")) for row in rig.query(f"SELECT * FROM {table}")]
        for table in tables
    }
    found["log"] = [tuple(row.values()) for row in rig.query(
        "SELECT step, rows_read, rows_written, rows_duplicate, rows_superseded, rows_quarantined FROM control.pipeline_log "
        "WHERE rows_read > 0 ORDER BY started_at")]  # fmt: skip
    return {table: sorted((tuple(value for value in row if not hasattr(value, "year") or value.year == 2024) for row in rows), key=repr) for table, rows in found.items()}


@pytest.mark.parametrize("part", [0, 1])
def test_a_pipeline_whose_columns_have_the_engines_names_gives_what_any_other_gives(tmp_path, part):
    # given: every name the engine uses for a column of its own, half of them at a time, and plain names
    taken = aliases()
    taken = taken[part::2]
    assert len(taken) > 30
    plain = [f"c_{number:03}" for number in range(len(taken))]
    specials = (taken[-1], taken[-2], taken[-3])
    results = []
    for columns, at, own in ((taken[:-4], taken[-4], specials), (plain[:-4], plain[-4], plain[-3:])):
        with rigged(tmp_path / columns[0], spec_of(columns, at, *own)) as rig:
            # when the same rows go through both
            fill(rig, columns, at)
            # then their tables are the same, value by value
            results.append(contents(rig))
    assert results[0] == results[1]
    assert [row[3] for row in results[0]["log"] if row[0] == "load items"] == [1, 1]
