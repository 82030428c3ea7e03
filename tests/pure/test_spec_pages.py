"""The JSON Schema and the reference page say what the parser does: both are made from the same table of keys."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import spec_file
import spec_keys
import spec_nodes
import yaml

from local import spec_pages

ROOT = Path(__file__).resolve().parents[2]

# A file with every part; examples of keys are put into it one at a time.
WHOLE = """
pipeline: shop
retention: {bronze: 1 day}
sources:
  cities:
    files: {prefix: cities/, format: csv}
    key: [city]
    effective_at: seen_at
    columns: {city: {type: text}, seen_at: {type: timestamp}}
  customers:
    files: {prefix: customers/, format: json}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      email: {type: text}
      age: {type: integer}
      city: {type: text}
      kind: {type: text}
      country: {type: text}
      quantity: {type: integer}
      unit_price: {type: "number(12,2)"}
      op: {type: text}
      revision: {type: integer}
      born_on: {type: date}
      updated_at: {type: timestamp}
    checks:
      is_fine: {expect: age > 0}
  orders:
    files: {prefix: orders/, format: csv}
    key: [order_id]
    effective_at: ordered_at
    columns:
      order_id: {type: text}
      customer_id: {type: integer}
      quantity: {type: integer}
      unit_price: {type: "number(12,2)"}
      ordered_at: {type: timestamp}
dimensions:
  dim_customer: {from: customers, tracked: [country]}
facts:
  fact_orders:
    from: orders
    lookups: {customer: {dimension: dim_customer, by: customer_id}}
    keep: [quantity]
    measures: {amount: {expression: quantity * 2}}
kpis:
  orders_by_day:
    from: fact_orders
    period: day
    measures: {orders: {expression: count(*)}}
tests:
  - name: nothing comes of nothing
    given: {customers: []}
    expect: {silver.customers: []}
"""
CUSTOMERS = ("sources", "customers")
PLACES: dict[str, tuple[Any, ...]] = {
    "pipeline": (),
    "retention": ("retention",),
    "source": CUSTOMERS,
    "files": (*CUSTOMERS, "files"),
    "snapshot": (*CUSTOMERS, "snapshot"),
    "column": (*CUSTOMERS, "columns", "email"),
    "cleaning": (*CUSTOMERS, "columns", "email", "clean"),
    "check": (*CUSTOMERS, "checks", "is_fine"),
    "dimension": ("dimensions", "dim_customer"),
    "fact": ("facts", "fact_orders"),
    "lookup": ("facts", "fact_orders", "lookups", "customer"),
    "measure": ("facts", "fact_orders", "measures", "amount"),
    "kpi": ("kpis", "orders_by_day"),
    "test": ("tests", 0),
}
# Where an example needs a column of another type than the others.
AT = {("column", "formats"): "born_on", ("column", "zone"): "updated_at", ("column", "bounds"): "age"}
# What cannot stand beside it, or must.
WITHOUT = {("source", "snapshot"): ["effective_at"], ("snapshot", "scope"): [], ("column", "from"): ["path"]}
BESIDE = {("column", "otherwise"): {"map": {"R": "Regular"}}, ("snapshot", "scope"): {"as_of": "updated_at"}, ("dimension", "current"): {"tracked": ["city"]}}
EXAMPLES = [
    pytest.param(part, key, id=f"{part}.{key.name}") for part, (_, keys) in spec_keys.PARTS.items() for key in keys if key.example
]


def read(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


def with_example(part: str, key: spec_keys.Key) -> str:
    """The whole file, with the example of one key in its place."""
    if part in ("split", "replace"):
        sample = {"by": "-"} if part == "split" else {"pattern": "x"}
        part, key = "cleaning", spec_keys.Key(part, "part", "", json.dumps({**sample, key.name: read(key.example)}))
    file = copy.deepcopy(read(WHOLE))
    place: Any = file
    for step in PLACES[part][:-1] if part == "cleaning" else PLACES[part]:
        if step == "snapshot":
            place.pop("effective_at", None)
            place.setdefault("snapshot", {"as_of": "updated_at"})
        place = place[AT.get((part, key.name), step) if step == "email" else step]
    if part == "cleaning":
        place["clean"] = [key.name if key.kind == "bare" else {key.name: read(key.example)}]
        return yaml.safe_dump(file)
    if part == "check" and key.name != "otherwise":
        place.clear()
    for gone in WITHOUT.get((part, key.name), []):
        place.pop(gone, None)
    place |= BESIDE.get((part, key.name), {})
    place[key.name] = None if key.example == "null" else read(key.example)
    return yaml.safe_dump(file).replace("'null'", "null").replace("?: ''", "?: null")


@pytest.mark.parametrize(("part", "key"), EXAMPLES)
def test_the_example_of_a_key_is_one(part, key):
    assert spec_file.parse(with_example(part, key), "example.yml").name == "shop"


def test_the_whole_file_has_every_part():
    assert spec_file.parse(WHOLE).name == "shop"
    assert PLACES.keys() | {"split", "replace"} == spec_keys.PARTS.keys()


@pytest.mark.parametrize("path", spec_pages.pages(), ids=lambda path: path.name)
def test_the_generated_page_is_current(path):
    assert path.read_text(encoding="utf-8") == spec_pages.pages()[path], "make reference"


def test_every_key_has_a_meaning_and_a_form():
    for part, (meaning, keys) in spec_keys.PARTS.items():
        assert meaning
        for key in keys:
            assert key.meaning and (key.kind in spec_keys.KINDS), (part, key.name)
            assert key.example or key.kind in ("parts", "list"), (part, key.name)
            assert not (key.needed and key.default), (part, key.name)


def test_the_parser_knows_no_key_that_the_table_does_not_and_the_other_way_round():
    """Entries are read by the table: asking for another key is an error, and so is a key nobody reads."""
    asked: dict[str, set[str]] = {}
    present = spec_nodes.Entries.present

    def noting(self: spec_nodes.Entries, key: str) -> Any:
        asked.setdefault(self.part, set()).add(key)
        return present(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_nodes.Entries, "present", noting)
        for part, (_, keys) in spec_keys.PARTS.items():
            for key in keys:
                if key.example:
                    spec_file.parse(with_example(part, key))

    read_elsewhere = {"pipeline": {"version"}, "check": {*spec_keys.keys_of("check")}, "cleaning": {*spec_keys.keys_of("cleaning")}}
    for part in spec_keys.PARTS:
        assert asked.get(part, set()) | read_elsewhere.get(part, set()) >= set(spec_keys.keys_of(part)), part


@pytest.mark.parametrize("file", sorted((ROOT / "app/pipelines").glob("*.yml")), ids=lambda file: file.stem)
def test_packaged_files_name_the_schema_and_follow_it(file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../../docs/pipeline.schema.json\n")
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(yaml.safe_load(text), spec_pages.schema())


def test_an_editor_would_underline_a_wrong_word():
    jsonschema = pytest.importorskip("jsonschema")
    broken = yaml.safe_load(WHOLE.replace("format: csv", "format: cvs"))
    with pytest.raises(jsonschema.ValidationError, match="cvs"):
        jsonschema.validate(broken, spec_pages.schema())
