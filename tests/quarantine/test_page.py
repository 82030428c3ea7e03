"""docs/quarantine.md: its calls are made on an installed application, and its answers are what they give."""

from __future__ import annotations

import re
from pathlib import Path

from local.place import ROOT
from tests.pages import answered, steps
from tests.rig import RETAIL, rigged

PAGE = ROOT / "docs" / "quarantine.md"


def test_every_answer_on_the_page_is_what_the_call_gives(tmp_path: Path):
    text = PAGE.read_text(encoding="utf-8")
    shown = [(said, expected) for kind, said, expected in steps(text) if kind == "sql" and expected]
    with rigged(tmp_path / "rig", RETAIL) as rig:
        rig.load("customers", re.search(r"```csv\n(.*?)```", text, re.DOTALL)[1])
        rig.step("load", "customers")

        found = [(said, answered(rig, said)) for said, _ in shown]

    assert len(found) == 9
    assert found == shown
