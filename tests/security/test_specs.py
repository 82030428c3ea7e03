"""Pipeline files that are made to cost: each is read or refused in a moment, whatever it repeats, nests or names.

Injection through every field of a file: tests/pure/test_hostile_specs.py.
"""

from __future__ import annotations

import time

import pytest
import spec_file

from local import spec_new
from local.file_profile import read_tables
from local.rig import Rig
from tests.doctor.world import SHOP

CHECK = "city_is_given: city is not null"
FLOODS = [
    pytest.param("\n".join(f"k{i}: 1" for i in range(300_000)), id="three hundred thousand unknown keys"),
    pytest.param("\n".join("k: 1" for _ in range(300_000)), id="one key, three hundred thousand times"),
    pytest.param("a: " + "[" * 100_000, id="brackets"),
    pytest.param("a: " + "{a: " * 100_000, id="braces"),
    pytest.param("\n".join(" " * i + "a:" for i in range(2_000)), id="two thousand levels"),
    pytest.param("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]", id="aliases of aliases"),
    pytest.param("x" * 5_000_000, id="five million characters"),
    pytest.param("a: !!python/object/apply:os.system ['id']", id="a tag that would run something"),
    pytest.param(SHOP.replace(CHECK, "c: " + "(" * 200_000 + "city" + ")" * 200_000), id="an expression without end"),
    pytest.param(SHOP.replace(CHECK, "c: length(city) > " + "9" * 100_000), id="a number without end"),
    pytest.param(SHOP.replace("7 days", "9" * 4_000 + " days"), id="a retention of ages"),
    pytest.param(SHOP.replace("7 days", "999999999 days"), id="a retention that no date can hold"),
]


@pytest.mark.parametrize("text", FLOODS)
def test_a_flood_is_refused_in_a_moment(text):
    start = time.process_time()
    with pytest.raises(spec_file.SpecRefused) as raised:
        spec_file.parse(text, "flood.yml")

    assert time.process_time() - start < 5
    assert len(raised.value.problems) <= 501
    assert len(str(raised.value)) < 1_000_000


def test_a_deep_expression_breaks_nothing():
    """Taken or refused, but never a Python stack that overflows."""
    for depth in (100, 1_500, 4_900):
        text = SHOP.replace(CHECK, "c: " + "(" * depth + "city" + ")" * depth + " is not null")
        try:
            spec_file.parse(text)
        except spec_file.SpecRefused:
            pass


HEADERS = [
    "id", "updated_at", "x: {type: text}\n    evil", "a'; DROP TABLE t; --", '"quoted"', "#comment", "{{ jinja }}", "&anchor", "*alias", "!!python/name:os",
    "=cmd|' /C calc'!A0", "__import__('os')", "naïve", "select", "file_name", "a\tb", "-", "?", "|", ">", "%TAG", "null",
]  # fmt: skip


def test_headers_of_a_strangers_file_stay_words_in_the_file_that_is_proposed(tmp_path):
    """`firn new` reads unknown files: what their headers and values say becomes neither keys nor SQL."""
    file = tmp_path / "orders.csv"
    quoted = [f'"{header.replace(chr(34), chr(34) * 2)}"' for header in HEADERS]
    values = ["1", "2024-01-01 00:00:00", *["]}\n  evil: {type: text}" for _ in HEADERS[2:]]]
    file.write_text(",".join(quoted) + "\n" + ",".join(f'"{value}"' for value in values) + "\n")

    text = spec_new.proposal("shop", read_tables([file]))

    pipeline = spec_file.parse(text, "proposed.yml")
    assert [source.name for source in pipeline.sources] == ["orders"]
    assert "evil" not in {column.name for column in pipeline.sources[0].columns} - {"x_type_text_evil"}


def test_a_strangers_rows_stay_values(rig: Rig):
    """Who can only drop files: names of files and their contents are kept as they are, and no statement is made of them."""
    hostile = ["'; DROP TABLE silver.customers; --", "$$ || (SELECT MAX(spec) FROM control.pipeline_spec) || $$", "=HYPERLINK(\"http://x\")", "<img src=x onerror=alert(1)>", "[a](javascript:x)", "a\u202eb", "\\'; --", "{{7*7}}"]
    rows = [{"customer_id": str(900 + i), "city": text, "updated_at": "2024-03-01 00:00:00"} for i, text in enumerate(hostile)]
    bad = [{"customer_id": text, "city": text, "updated_at": text} for text in hostile]
    before = rig.query("SELECT COUNT(*) AS n FROM control.pipeline_spec")

    rig.load("customers", rows, file="crm/customers/'; DROP TABLE control.ledger; --.csv")
    rig.load("customers", bad, file="crm/customers/$(id)/{{x}}.csv")
    rig.run()

    cities = {row["city"] for row in rig.query("SELECT city FROM silver.customers WHERE customer_id >= 900")}
    assert cities == set(hostile)
    kept = rig.query("SELECT row_values FROM control.quarantine WHERE file_name LIKE '%{{x}}.csv'")
    assert len(kept) == len(hostile)
    assert rig.query("SELECT COUNT(*) AS n FROM control.pipeline_spec") == before
    rig.call("core.reconcile", "retail")  # raises when bronze, ledger, silver and quarantine do not agree
