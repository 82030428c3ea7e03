"""A source nobody has seen, with its own dimension, fact and KPI, in CSV, JSON and Parquet: by YAML alone, through S3, pipe and graph."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.pipeline_runs import query
from local.place import ROOT, Place

CLINIC = """
pipeline: clinic
sources:
  patients:
    files: {prefix: clinic/patients/, format: csv}
    key: [patient]
    effective_at: changed_on
    columns:
      patient: {type: text, from: PatientNo, clean: [trim, {strip_prefix: NAS}, {strip_characters: '-'}]}
      born_on: {type: date, from: Born, formats: [DD.MM.YYYY, YYYYMMDD], bounds: [1900-01-01, 2030-01-01], unreadable: 'null'}
      city: {type: text, from: City, clean: [trim, title, empty_to_null]}
      changed_on: {type: date, from: Changed, formats: [DD.MM.YYYY]}
    checks: {city_is_short: {length: {city: [2, 20]}}}
  visits:
    files: {prefix: clinic/visits/, format: json}
    key: [visit]
    effective_at: seen_at
    columns:
      visit: {type: integer}
      patient: {type: text, path: who.number, clean: [{strip_prefix: NAS}]}
      first_note: {type: text, path: 'notes[0].text'}
      seen_at: {type: timestamp, zone: Europe/Berlin}
    checks: {patient_is_known: {references: {patient: patients.patient}, otherwise: warn}}
  doses:
    files: {prefix: clinic/doses/, format: parquet}
    key: [visit, drug]
    effective_at: given_at
    columns:
      visit: {type: integer}
      drug: {type: text}
      amount: {type: "number(10,2)"}
      given_at: {type: timestamp}
    checks: {amount_is_sane: {between: {amount: [0, 100]}}}
dimensions:
  dim_patient: {from: patients, tracked: [city], overwritten: [born_on]}
facts:
  fact_visits:
    from: visits
    lookups: {patient: {dimension: dim_patient, by: patient}}
    keep: [first_note]
  fact_doses: {from: doses, keep: [amount]}
kpis:
  doses_by_day:
    from: fact_doses
    period: day
    measures: {amount: {expression: sum(amount), type: "number(18,2)"}, doses: {expression: count(*), type: integer}}
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The files of two days, laid through a fresh account by the command a user types."""
    folder = tmp_path_factory.mktemp("try")
    (folder / "clinic.yml").write_text(CLINIC)
    files = folder / "files"
    for day in ("day1", "day2"):
        (files / day).mkdir(parents=True)
    (files / "day1/patients.csv").write_bytes(b"PatientNo,Born,City,Changed\r\n NAS-1 ,01.02.1980,oslo,01.01.2024\r\nNAS-2,9999,paris,01.01.2024")
    (files / "day2/patients.csv").write_text("PatientNo,Born,City,Changed\n1,19800201,ROME,02.01.2024\n3,,X,02.01.2024\n")
    (files / "day1/visits.json").write_text(
        '{"visit": 7, "who": {"number": "NAS1"}, "notes": [{"text": "fine"}], "seen_at": "2024-01-01T12:00:00"}\n'
        '{"visit": 8, "who": {"number": "9"}, "seen_at": "2024-01-05T12:00:00"}\n'
    )
    times = [dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 1, 5, 12)]
    pq.write_table(pa.table({"visit": [7, 8], "drug": ["A", "B"], "amount": [1.5, 500.0], "given_at": times}), files / "day1/doses.parquet")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "local", "--data", str(folder / "account"), "try", str(folder / "clinic.yml"), "--files", str(files)],
        cwd=ROOT, text=True, capture_output=True, timeout=500,
    )  # fmt: skip
    place = Place(folder / "account-try")
    yield place, done
    place.down()


def test_it_prints_the_run_and_leaves_the_account(tried):
    _, done = tried

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"batch 1 of 2: day1, 3 files", done.stdout) and re.search(r"batch 2 of 2: day2, 1 files", done.stdout)
    assert re.search(r"load patients +2 +4 +3 +0 +1 +0", done.stdout)
    assert re.search(r"doses +amount_is_sane +1", done.stdout)


def test_the_tables_are_right(tried):
    place, _ = tried
    patients = query(place, "SELECT patient, city, born_on, is_current FROM firn.gold.dim_patient WHERE patient_version_key > 0 AND NOT is_inferred")
    assert sorted((row["patient"], row["city"], str(row["born_on"]), row["is_current"]) for row in patients) == [
        ("1", "Oslo", "1980-02-01", False),
        ("1", "Rome", "1980-02-01", True),
        ("2", "Paris", "None", True),
    ]
    visits = query(place, "SELECT visit, first_note, seen_at, patient_key > 0 AS is_known FROM firn.gold.fact_visits")
    assert sorted((int(row["visit"]), row["first_note"], str(row["seen_at"]), row["is_known"]) for row in visits) == [
        (7, "fine", "2024-01-01 11:00:00", True),
        (8, None, "2024-01-05 11:00:00", True),
    ]
    assert [(str(row["day"]), str(row["amount"]), int(row["doses"])) for row in query(place, "SELECT * FROM firn.gold.doses_by_day")] == [("2024-01-01", "1.50", 1)]


@pytest.mark.nightly
def test_a_plan_of_the_same_file_changes_nothing_and_of_another_says_what(tried, tmp_path):
    place, _ = tried
    changed = tmp_path / "clinic.yml"
    changed.write_text(CLINIC.replace("amount: [0, 100]", "amount: [0, 1000]").replace("sum(amount)", "sum(amount) * 2"))

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "plan", str(changed)],
        cwd=ROOT, text=True, capture_output=True, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"doses_by_day +amount +1.50 +3.00", done.stdout), done.stdout
    assert re.search(r"doses +amount_is_sane +no longer +1", done.stdout), done.stdout
