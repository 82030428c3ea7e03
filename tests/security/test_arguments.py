"""Whoever may call a procedure may pass it anything: every text argument of every procedure, with what would be SQL elsewhere."""

from __future__ import annotations

import json
import re

import pytest
from snowflake.connector.errors import ProgrammingError

from local.rig import ROOT

HOSTILE = (
    "x'; DROP TABLE silver.customers; --",
    'x"; DROP SCHEMA gold CASCADE; --',
    "retail' OR '1'='1",
    "retail\\'; DELETE FROM control.ledger; --",
    "customers UNION SELECT spec FROM control.pipeline_spec",
    "$$; DROP TABLE gold.fact_orders; $$",
    "../../../etc/passwd",
    "customers/%",
    "{{ x }}",
    "x\x00y",
    "ｃｕｓｔｏｍｅｒｓ",
)
USUAL = {
    "pipeline": "retail", "step": "load", "target": "customers", "source": "customers", "dimension": "dim_customer", "kpi": "monthly",
    "table_name": "gold.fact_orders", "key": {"order_id": 1}, "run_id": "r", "check_name": "city_is_given", "selected": "city_is_given",
    "reason": "because", "quarantine_id": "customers/x/1", "corrected": {"city": "Oslo"}, "to_at": "2024-01-01 00:00:00", "from_at": "2024-01-01 00:00:00",
    "database_name": "firn_landing", "schema_name": "bronze", "spec": "pipeline: x", "version": 1, "dry_run": True, "with_data": False, "unless_dropped": False,
}  # fmt: skip
FREE_TEXT = {"reason"}  # kept as it is said
# What no error may show: that a statement was built from the argument.
BUILT = re.compile(r"parser error|syntax error|sql compilation error|binder error|catalog error|unterminated|traceback.*duckdb", re.IGNORECASE)


def procedures() -> dict[str, list[tuple[str, str]]]:
    """Name → (parameter, type) of every procedure that the application has."""
    found = {}
    for file in sorted((ROOT / "app" / "sql").glob("*.sql")):
        for name, text in re.findall(r"CREATE OR REPLACE PROCEDURE (\S+?)\((.*?)\)\s+RETURNS", file.read_text(), re.DOTALL):
            found[name] = [tuple(part.split()[:2]) for part in text.split(",") if part.strip()]
    return found


PROCEDURES = procedures()
CASES = [
    pytest.param(name, number, id=f"{name}-{parameter}")
    for name, parameters in PROCEDURES.items()
    for number, (parameter, kind) in enumerate(parameters)
    if kind in ("VARCHAR", "OBJECT", "VARIANT")
]


def contents(rig) -> dict[str, int]:
    """Rows of every table, less those that a call writes about itself."""
    tables = rig.duck("SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE database_name IN ('FIRN', 'FIRN_LANDING') AND schema_name NOT LIKE '_fs%'")
    own = ("PIPELINE_LOG", "RECONCILIATION", "ALERTS", "QUARANTINE_DECISION")  # a decision is kept with its reason, as it is said
    return {".".join(t): rig.duck(f'SELECT COUNT(*) FROM "{t[0]}"."{t[1]}"."{t[2]}"')[0][0] for t in tables if t[2] not in own}


def hostile(kind: str, text: str) -> object:
    return text if kind == "VARCHAR" else {text: text}


def test_every_procedure_is_tried():
    assert len(PROCEDURES) >= 18
    assert {parameter for parameters in PROCEDURES.values() for parameter, _ in parameters} <= set(USUAL)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_hostile_argument_is_refused_and_nothing_is_changed(rig, name, number):
    parameters = PROCEDURES[name]
    before, spec = contents(rig), rig.query("SELECT database_name, schema_name FROM control.binding")
    start = (len(name) * 7 + number * 3) % len(HOSTILE)
    for text in [HOSTILE[(start + i * 5) % len(HOSTILE)] for i in range(3)]:
        arguments = [hostile(kind, text) if i == number else USUAL[parameter] for i, (parameter, kind) in enumerate(parameters)]
        arguments = [json.dumps(value) if isinstance(value, dict) and parameters[i][1] == "VARCHAR" else value for i, value in enumerate(arguments)]
        try:
            given = rig.call(name, *arguments)
        except ProgrammingError as error:
            said = str(error.msg)
            assert not BUILT.search(said.replace(text, "")), said[-1500:]
        else:
            assert parameters[number][0] in FREE_TEXT or is_empty(given), (text, given)

    assert contents(rig) == before
    assert rig.query("SELECT database_name, schema_name FROM control.binding") == spec


def is_empty(given: object) -> bool:
    """A call that took the text for the name of nothing, and said so: no rows, nothing done."""
    text = json.dumps(given)
    return not re.search(r'"(written|released|discarded|restored|deleted|inserted|updated)": [1-9]', text)
