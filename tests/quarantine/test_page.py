"""docs/quarantine.md: its calls are made on an installed application, and its answers are what they give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from local.place import ROOT
from tests.rig import RETAIL, rigged

PAGE = ROOT / "docs" / "quarantine.md"
BLOCKS = re.compile(r"^```sql\n(.*?)\n```\n\n```(json|text)\n(.*?)```$", re.MULTILINE | re.DOTALL)
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def shown(value: Any) -> str:
    return "" if value is None else json.dumps(json.loads(value)) if str(value)[:1] in '["' else str(value)


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows as the page shows them, columns as wide as they need to be."""
    lines = [list(rows[0]), *[[shown(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def as_json(value: Any) -> str:
    """One key per line, what is inside it on the same line; run ids are different each time."""
    lines = [f'  "{key}": {json.dumps(inner)}' for key, inner in value.items()]
    return RUN_ID.sub("…", "{\n" + ",\n".join(lines) + "\n}")


def answered(rig: Any, sql: str) -> str:
    if sql.startswith("CALL"):
        session = rig.account.session("FIRN", "CONTROL")
        return as_json(json.loads(rig.account.answer(session, sql)[0][0]))
    return as_table(rig.query(sql))


def test_every_answer_on_the_page_is_what_the_call_gives(tmp_path: Path):
    text = PAGE.read_text(encoding="utf-8")
    with rigged(tmp_path / "rig", RETAIL) as rig:
        rig.load("customers", re.search(r"```csv\n(.*?)```", text, re.DOTALL)[1])
        rig.step("load", "customers")

        found = [(sql, answered(rig, sql)) for sql, _, _ in BLOCKS.findall(text)]

    assert len(found) == 9
    assert found == [(sql, expected.rstrip("\n")) for sql, _, expected in BLOCKS.findall(text)]
