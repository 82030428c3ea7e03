"""The rig that other tests stand on is the real thing: the tree's application, its procedures in their own process."""

from __future__ import annotations

import shutil

import pytest
from snowflake.connector.errors import ProgrammingError

from local.workers import imports_folder
from tests.rig import damaged, rigged

SMALL = """
pipeline: small
schedule: 10 seconds
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [person_id]
    effective_at: updated_at
    columns:
      person_id:  {type: integer}
      city:       {type: text, clean: [trim]}
      updated_at: {type: timestamp}
dimensions:
  dim_person: {from: people, tracked: [city]}
"""
TWO_PEOPLE = """
    person_id,city,updated_at
    1, Oslo,2024-01-01 00:00:00
    2,Rome,2024-01-01 00:00:00
"""


@pytest.fixture
def rig(tmp_path):
    with rigged(tmp_path / "rig", SMALL) as made:
        yield made


def test_a_run_takes_what_was_loaded_to_the_dimension(rig):
    rig.load("people", TWO_PEOPLE)

    run = rig.run()

    assert [(step["step"], step["read"], step["written"]) for step in run["steps"][:2]] == [("load people", 2, 2), ("dimension dim_person", 2, 2)]
    assert rig.query("SELECT city FROM gold.dim_person WHERE person_id IS NOT NULL ORDER BY person_id") == [{"city": "Oslo"}, {"city": "Rome"}]


def test_a_copy_starts_empty_and_keeps_the_applied_pipeline(rig, tmp_path):
    rig.load("people", TWO_PEOPLE)
    rig.step("load", "people")

    with rigged(tmp_path / "other", SMALL) as other:
        assert other.query("SELECT pipeline FROM control.pipeline_spec") == [{"pipeline": "small"}]
        assert other.query("SELECT * FROM silver.people") == []


def test_a_damaged_procedure_file_is_the_one_that_runs(tmp_path):
    broken = damaged("loading", "source = run.pipeline.source(name)", 'raise LookupError("damaged on purpose")')
    with rigged(tmp_path / "rig", SMALL, broken) as rig, pytest.raises(ProgrammingError, match="damaged on purpose"):
        rig.step("load", "people")


def test_the_number_of_a_failed_upgrade_used_again_brings_its_new_files(rig):
    """Else the mended procedure of the next try would never run."""
    procedure = next(one for one in rig.account.catalog.find("procedure") if one.name.startswith("RUN_STEP"))
    tried = rig.account.folder / "applications" / "FIRN" / str(procedure["version"])
    before = imports_folder(rig.account, procedure)
    copy = shutil.copytree(tried, tried.with_name("copy"))
    (copy / "procedures" / "pipeline.py").write_text("# mended\n")
    shutil.rmtree(tried)
    copy.rename(tried)

    assert imports_folder(rig.account, procedure) != before
    assert (imports_folder(rig.account, procedure) / "pipeline.py").read_text() == "# mended\n"
