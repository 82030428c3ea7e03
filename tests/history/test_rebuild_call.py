"""`CALL core.rebuild(…)` as an administrator of the installed application calls it: told, then done, then nothing left to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from snowflake.connector.errors import ProgrammingError

from local.rig import Rig
from tests.history.test_streams import NOTHING
from tests.rig import rigged

PEOPLE = """
pipeline: people
schedule: 1 hour
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [person_id]
    effective_at: updated_at
    delete_when: op = 'D'
    columns:
      person_id:  {type: integer}
      city:       {type: text}
      name:       {type: text}
      op:         {type: text}
      updated_at: {type: timestamp}
dimensions:
  dim_person: {from: people, tracked: [city], overwritten: [name]}
"""
HEAD = "person_id,city,name,op,updated_at\n"
BATCHES = (
    "1,Oslo,Ann,,2024-01-10\n2,Rome,Bea,,2024-01-10\n3,Bern,Cyd,,2024-01-10",
    "1,Oslo,Ann,,2024-01-30\n2,,,D,2024-01-20",
    "1,Paris,Ann,,2024-01-20\n2,Lyon,Bea,,2024-01-25\n3,Bern,Cid,,2024-01-25",
)
VERSIONS = "SELECT person_id, city, name, valid_from, valid_to FROM gold.dim_person WHERE person_id IS NOT NULL ORDER BY ALL"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Three keys after three batches: a late change, a key deleted and back, another name."""
    with rigged(tmp_path_factory.mktemp("rebuild"), PEOPLE) as made:
        for batch in BATCHES:
            made.load("people", HEAD + batch)
            made.run()
        yield made


def test_after_any_batches_a_dry_run_finds_nothing_to_do(rig):
    told = rig.call("core.rebuild", "dim_person", None, True)

    assert told == {"dimension": "dim_person", "dry_run": True, "versions": NOTHING, "examples": []}
    assert len(rig.query(VERSIONS)) == 6, "Oslo, Paris, Oslo; Rome, Lyon; Bern"


def test_a_damaged_dimension_is_told_of_and_mended(rig):
    right = rig.query(VERSIONS)
    rig.duck("DELETE FROM FIRN.GOLD.DIM_PERSON WHERE city = 'Paris'")
    rig.duck("UPDATE FIRN.GOLD.DIM_PERSON SET name = 'Eve' WHERE person_id = 3")
    rig.duck("UPDATE FIRN.GOLD.DIM_PERSON SET valid_to = '2024-01-12' WHERE city = 'Rome'")
    damaged = rig.query(VERSIONS)

    told = rig.call("core.rebuild", "dim_person", None, True)

    assert told["versions"] == {**NOTHING, "added": 1, "altered": 1, "moved": 1}
    assert any(example.startswith("moved: 2 from 2024-01-10") for example in told["examples"])
    assert rig.query(VERSIONS) == damaged, "a dry run changes nothing"

    done = rig.call("core.rebuild", "dim_person", None, False)

    assert done["versions"] == told["versions"]
    assert rig.query(VERSIONS) == right
    assert rig.call("core.rebuild", "dim_person", None, True)["versions"] == NOTHING
    log = rig.query("SELECT status, rows_inserted, rows_updated, rows_deleted FROM control.pipeline_log WHERE step = 'rebuild dim_person'")
    assert log == [{"status": "succeeded", "rows_inserted": 1, "rows_updated": 2, "rows_deleted": 0}], "a dry run logs nothing"


def test_the_next_batch_goes_on_from_what_was_rebuilt(rig):
    rig.load("people", HEAD + "3,Basel,Cid,,2024-02-01")
    rig.run()

    assert rig.call("core.rebuild", "dim_person", None, True)["versions"] == NOTHING


def test_a_dimension_nobody_knows_is_refused_with_those_there_are(rig):
    with pytest.raises(ProgrammingError, match="No dimension `dim_nobody`. Dimensions are: dim_person"):
        rig.call("core.rebuild", "dim_nobody", None, True)
