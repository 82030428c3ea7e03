"""Pages that show rows show the rows that come: their files go through the application, their statements are asked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from local.place import ROOT
from tests.pages import disagreements
from tests.rig import RETAIL, rigged


def test_every_row_of_the_concepts_is_what_the_tables_hold(tmp_path: Path):
    with rigged(tmp_path / "rig", RETAIL) as rig:
        rig.clock = dt.datetime(2024, 3, 11)
        count, found = disagreements(rig, (ROOT / "docs/concepts.md").read_text(encoding="utf-8"))

    assert count == 11
    assert found == []
