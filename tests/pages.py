"""Pages whose examples are run: every `sql` block is asked, and the `text` or `json` block after it is what must come.

A `csv` block is a file by the name that was last written before it, as in: The CRM sends `crm/customers/monday.csv`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from local.rig import Rig

BLOCK = re.compile(r"^```(csv|sql|text|json)\n(.*?)\n?```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w/]+\.csv)`")
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """What a page does, in its order: ("file", name, lines) or ("sql", statement, the answer it shows, if any)."""
    blocks = list(BLOCK.finditer(text))
    for i, block in enumerate(blocks):
        kind, content = block[1], block[2]
        if kind == "csv":
            yield "file", (FILE.findall(text[: block.start()]) or [""])[-1], content + "\n"
        elif kind == "sql":
            after = blocks[i + 1] if i + 1 < len(blocks) else None
            is_answer = after is not None and after[1] in ("text", "json") and text[block.end() : after.start()] == "\n\n"
            yield "sql", content.rstrip(";"), after[2] if after and is_answer else ""


def shown(value: Any) -> str:
    return "" if value is None else json.dumps(json.loads(value)) if str(value)[:1] in '["' else str(value)


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows as a page shows them, columns as wide as they need to be."""
    lines = [list(rows[0]), *[[shown(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def as_json(value: Any) -> str:
    """One key per line, what is inside it on the same line; run ids are different each time."""
    lines = [f'  "{key}": {json.dumps(inner)}' for key, inner in value.items()]
    return RUN_ID.sub("…", "{\n" + ",\n".join(lines) + "\n}")


def answered(rig: Rig, sql: str) -> str:
    if sql.startswith("CALL"):
        session = rig.account.session("FIRN", "CONTROL")
        return as_json(json.loads(rig.account.answer(session, sql)[0][0]))
    return as_table(rig.query(sql))


def disagreements(rig: Rig, text: str) -> tuple[int, list[tuple[str, str, str]]]:
    """Goes through a page; gives how many answers it shows, and (statement, as shown, as it is) of those that differ."""
    count, found = 0, []
    sources = {source.prefix.rstrip("/"): source.name for source in rig.pipeline.sources}
    for kind, said, expected in steps(text):
        if kind == "file":
            rig.load(sources[said.rpartition("/")[0]], expected, file=said)
            continue
        came = answered(rig, said)
        count += bool(expected)
        if expected and came != expected:
            found.append((said, expected, came))
    return count, found
