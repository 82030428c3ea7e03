"""firn test, firn plan and firn new: what they say is what happens."""

from __future__ import annotations

import argparse
import json
from collections import Counter

import pytest
import spec_file
from runs import utc_now

from local import spec_new, spec_plan, spec_test
from local.file_profile import read_tables
from local.place import NotRunning, Place
from local.rig import Rig

CLINIC = """
pipeline: clinic
sources:
  patients:
    files: {prefix: clinic/patients/, format: csv}
    key: [patient]
    effective_at: changed_on
    columns:
      patient: {type: text, from: PatientNo, clean: [trim, {strip_prefix: NAS}, {strip_characters: '-'}]}
      city: {type: text, clean: [trim, title, empty_to_null]}
      changed_on: {type: date, formats: [DD.MM.YYYY]}
    checks: {city_is_short: {length: {city: [2, 20]}}}
  visits:
    files: {prefix: clinic/visits/, format: json}
    key: [visit]
    effective_at: seen_at
    columns:
      visit: {type: integer}
      patient: {type: text, path: who.number, clean: [{strip_prefix: NAS}]}
      first_note: {type: text, path: 'notes[0].text'}
      cost: {type: "number(10,2)"}
      seen_at: {type: timestamp, zone: Europe/Berlin}
    checks:
      patient_is_known: {references: {patient: patients.patient}}
      cost_is_sane: {between: {cost: [0, 100]}}
dimensions:
  dim_patient: {from: patients, tracked: [city]}
facts:
  fact_visits: {from: visits, keep: [cost], lookups: {patient: {dimension: dim_patient, by: patient}}}
kpis:
  visits_by_day: {from: fact_visits, period: day, measures: {cost: {expression: sum(cost), type: "number(18,2)"}}}
tests:
  - name: a number matches with and without its prefix
    given:
      patients: [[{patient: NAS-1, city: ' oslo ', changed_on: 01.01.2024}], [{patient: '1', city: ROME, changed_on: 02.01.2024}]]
      visits: [[{visit: 7, patient: NAS1, first_note: ok, cost: '5', seen_at: 2024-01-01T12:00:00}]]
    expect:
      gold.dim_patient: [{patient: 1, city: Oslo, is_current: false}, {patient: 1, city: Rome, is_current: true}]
      silver.visits: [{visit: 7, patient: 1, first_note: ok, seen_at: 2024-01-01 11:00:00}]
  - name: nobody visits who is not known
    given: {visits: [{visit: 7, patient: X, cost: '5', seen_at: 2024-01-01T12:00:00}]}
    expect:
      quarantine: [{source: visits, check: patient_is_known}]
      gold.visits_by_day: []
  - name: an example that is wrong
    given: {visits: [{visit: 7, patient: X, cost: '500', seen_at: 2024-01-01T12:00:00}]}
    expect: {quarantine: [{check: cost_is_sane}], silver.visits: [{visit: 8}]}
"""


def test_examples_hold_or_say_what_is_there_instead():
    first, second, wrong = [found for _, found in spec_test.results(spec_file.parse(CLINIC), CLINIC)]

    assert (first, second) == ([], [])
    assert wrong == [
        "quarantine: check patient_is_known is there, and nobody expected it",
        "silver.visits: expected visit 8, and it is not there",
    ]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """An account with visits, some of which wait."""
    with Rig(tmp_path_factory.mktemp("clinic") / "account", spec=CLINIC) as rig:
        rig.load("patients", "PatientNo,city,changed_on\nNAS-1,Oslo,01.01.2024\n2,Rome,01.01.2024\n1,Paris,05.01.2024\n3,X,01.01.2024\n", loaded_at=utc_now())
        rig.load("visits", [
            {"visit": number, "who": {"number": str(number % 3 + 1)}, "cost": number * 20, "seen_at": f"2024-01-{number:02} 12:00:00"} for number in range(1, 9)
        ], loaded_at=utc_now())  # fmt: skip
        rig.run()
        yield rig


def test_a_plan_says_what_applying_does_and_does_nothing(clinic):
    new = CLINIC.replace("cost: [0, 100]", "cost: [30, 200]").replace("tracked: [city]", "overwritten: [city]").replace("sum(cost)", "sum(cost) * 2")
    tables = ("gold.dim_patient", "gold.fact_visits", "gold.visits_by_day", "control.quarantine", "control.ledger", "control.pipeline_spec")
    before = {table: sorted(map(str, clinic.query(f"SELECT * FROM {table}"))) for table in tables}
    dims = Counter(versions(clinic))

    planned = spec_plan.forecast(clinic.query, spec_file.parse(new), new)

    assert {table: sorted(map(str, clinic.query(f"SELECT * FROM {table}"))) for table in tables} == before, "it was only read"
    clinic.call("config.apply_spec", new)
    clinic.run()
    after = Counter(versions(clinic))
    assert planned.versions["dim_patient"] == ((after - dims).total(), (dims - after).total()) != (0, 0)
    old_total, new_total = planned.totals["visits_by_day", "cost"]
    assert new_total == clinic.query("SELECT SUM(cost) AS n FROM gold.visits_by_day")[0]["n"] == old_total * 2
    assert planned.quarantined == {("visits", "cost_is_sane"): 1}
    assert planned.released == {("visits", "cost_is_sane"): 3}, "of 120, 140 and 160; one of them waits on, as nobody knows its patient"


def versions(rig: Rig) -> list[tuple[str, ...]]:
    rows = rig.query("SELECT patient, city, valid_from, valid_to FROM gold.dim_patient WHERE patient_version_key > 0")
    return [tuple(map(str, row.values())) for row in rows]


@pytest.mark.nightly
def test_what_the_plan_counts_is_what_the_same_files_give_under_the_new_file(tmp_path):
    """Rows newly quarantined and released, against an account that had the new file from the beginning."""
    new = CLINIC.replace("cost: [0, 100]", "cost: [30, 200]")
    waiting = {}
    rows = [{"visit": n, "who": {"number": "1"}, "cost": n * 20, "seen_at": f"2024-01-{n:02} 12:00:00"} for n in range(1, 9)]
    with Rig(tmp_path / "account", spec=CLINIC) as rig:
        for text in (CLINIC, new):
            spec_test.start_again(rig, text)
            rig.load("patients", "PatientNo,city,changed_on\nNAS-1,Oslo,01.01.2024\n", loaded_at=utc_now())
            rig.load("visits", rows, loaded_at=utc_now())
            rig.run()
            if text is CLINIC:
                planned = spec_plan.forecast(rig.query, spec_file.parse(new), new)
            waiting[text] = {row["quarantine_id"] for row in rig.query("SELECT quarantine_id FROM control.quarantine")}

    assert planned.quarantined.total() == len(waiting[new] - waiting[CLINIC]) == 1
    assert planned.released.total() == len(waiting[CLINIC] - waiting[new]) == 3


# --- new


@pytest.fixture
def files(tmp_path):
    """Two CSV files, one JSON, with faults of real ones."""
    (tmp_path / "sales_2024-01-01.csv").write_text(
        "OrderNo,SoldOn,Amount,Status,EMail,Sold By\r\n"
        + "".join(f"A{number},{number % 28 + 1}.1.2024,\"1.0{number:02},50\", {'paid' if number % 2 else 'open'},p{number}@x.org,Al\r\n" for number in range(60))
        + "A99,3.1.2024,unknown,paid,p@x.org,Al"
    )
    (tmp_path / "stock.jsonl").write_text("\n".join(json.dumps({"sku": f"00{n}", "place": {"hall": n}, "seen_at": "2024-01-01T00:00:00Z"}) for n in range(5)))
    return tmp_path


def test_a_proposal_parses_and_shows_what_was_seen(files):
    tables = read_tables([files])
    text = spec_new.proposal("shop", tables)
    spec = spec_file.parse(text)

    sales = spec.source("sales")
    types = {column.name: (column.type, column.formats) for column in sales.columns}
    assert sales.key == ("order_no",) and sales.effective_at == "sold_on"
    assert types["amount"] == ("number", ("1.234,56",)) and types["sold_on"] == ("date", ("DD.MM.YYYY",))
    assert "1 are no number: 'unknown'" in text and "61 padded" not in text
    assert [check.test or check.expect for check in sales.checks] == ["one_of", "is_email(email)"]
    assert "left out: `Sold By` is no plain name" in text
    stock = {column.name: column for column in spec.source("stock").columns}
    assert stock["sku"].type == "text", "leading zeros mean something"
    assert stock["hall"].path == ("place", "hall")


def test_new_overwrites_nothing_and_names_what_it_cannot_read(tmp_path):
    there = tmp_path / "shop.yml"
    there.write_text("mine")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    arguments = argparse.Namespace(name="shop", files=[tmp_path / "a.csv"], to=there)

    with pytest.raises(NotRunning, match="is there already"):
        spec_new.run(Place(tmp_path), arguments)
    arguments.to = None
    with pytest.raises(NotRunning, match="no text in UTF-8"):
        spec_new.run(Place(tmp_path), arguments)
    assert there.read_text() == "mine"
