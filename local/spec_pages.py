"""The JSON Schema of pipeline files and docs/spec-reference.md, both made from `spec_keys`: `make reference`.

The schema helps editors: it knows the keys, the words and what is missing.  What only the whole file tells (a column
nobody declared) is said by `firn validate`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from local.place import ROOT

if str(ROOT / "procedures") not in sys.path:
    sys.path.append(str(ROOT / "procedures"))

import expressions
import formats
import spec_keys
import sql_functions
from spec_columns import TYPES
from spec_keys import Key

SCHEMA = ROOT / "docs" / "pipeline.schema.json"
REFERENCE = ROOT / "docs" / "spec-reference.md"
NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
SCALAR = {"type": ["string", "number", "boolean"]}
TEXTS = {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]}
COLUMNS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
FORMS: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "number", "boolean", "null"]},
    "name": {"type": "string", "pattern": NAME},
    "yes": {"type": "boolean"},
    "words": TEXTS,
    "duration": {"type": "string", "pattern": r"^\d{1,6}\s*(second|minute|hour|day)s?$"},
    "budget": {"type": "string", "pattern": r"^\d{1,6}\s*(second|minute|hour)s? a day$"},
    "share": {"type": "string", "pattern": r"^quarantined\s*>\s*\d{1,3}\s*%$"},
    "integer": {"type": "integer"},
    "count": {"type": "integer", "minimum": 1},
    "column": {"type": "string"},
    "columns": COLUMNS,
    "expression": {"type": ["string", "number", "boolean"]},
    "type": {"anyOf": [{"enum": list(TYPES)}, {"type": "string", "pattern": r"^number\(\d{1,2},\s*\d{1,2}\)$"}]},
    "map": {"type": "object"},
    "bounds": {"type": "array", "minItems": 2, "maxItems": 2},
    "module": {"type": "string", "pattern": "^transform_[a-z0-9_]+:[a-z_][a-z0-9_]*$"},
    "rows": {"type": "object", "additionalProperties": {"type": "array"}},
}


def schema() -> dict[str, Any]:
    """JSON Schema (draft 7, which every editor reads)."""
    parts = {part: object_of(part) for part in spec_keys.PARTS if part != "cleaning"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Firn pipeline file",
        **parts.pop("pipeline"),
        "definitions": {**parts, "cleaning": cleaning()},
    }


def object_of(part: str) -> dict[str, Any]:
    meaning, keys = spec_keys.PARTS[part]
    needed = [key.name for key in keys if key.needed]
    return {
        "type": "object",
        "description": meaning,
        "properties": {key.name: property_of(key) for key in keys},
        "additionalProperties": False,
        **({"required": needed} if needed else {}),
    }


def property_of(key: Key) -> dict[str, Any]:
    said = {"description": key.meaning, **({"default": key.default.strip("'")} if key.default else {})}
    below = {"$ref": f"#/definitions/{key.part}"}
    if key.kind == "part":
        return {"allOf": [below], **said}
    if key.kind == "list":
        return {"type": "array", "items": below, **said}
    if key.kind == "parts":
        entry = {"anyOf": [FORMS[key.short], below]} if key.short else below
        return {"type": "object", "patternProperties": {NAME: entry}, "additionalProperties": False, **said}
    if key.kind == "cleanings":
        item = {"$ref": "#/definitions/cleaning"}
        return {"anyOf": [item, {"type": "array", "items": item}], **said}
    if key.kind == "word":
        return {"enum": words_of(key), **said}
    return {**FORMS[key.kind], **said}


def words_of(key: Key) -> list[Any]:
    """Words as an editor reads them: `2` is a number to it, `null` is nothing."""
    plain: dict[str, list[Any]] = {"null": ["null", None]}
    return [form for word in key.words for form in plain.get(word, [word, int(word)] if word.isdecimal() else [word])]


def cleaning() -> dict[str, Any]:
    meaning, keys = spec_keys.PARTS["cleaning"]
    bare = [key.name for key in keys if key.kind == "bare"]
    others = {key.name: property_of(key) for key in keys if key.kind != "bare"}
    entry = {"type": "object", "properties": others, "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    return {"description": meaning, "anyOf": [{"enum": bare}, entry]}


def reference() -> str:
    """The page, part by part."""
    lines = [
        "# The keys of a pipeline file",
        "",
        "Made by `make reference` from `procedures/spec_keys.py`, which the parser reads too. Values are texts until the key says",
        "what they are: `NO` stays a country, `12:30` a time of day. `firn validate FILE` tells what is wrong with a file.",
    ]
    for part, (meaning, keys) in spec_keys.PARTS.items():
        lines += ["", f"## {part}", "", meaning, "", *part_table(part, keys)]
    return "\n".join([*lines, "", *more()]) + "\n"


def part_table(part: str, keys: tuple[Key, ...]) -> list[str]:
    rows = ["| key | what it says | how it is written | without it | example |", "|---|---|---|---|---|"]
    for key in keys:
        without = "**needed**" if key.needed else f"`{key.default}`" if key.default else "–"
        rows.append(f"| `{key.name}` | {key.meaning} | {form_of(key)} | {without} | {example_of(part, key)} |".replace("  ", " "))
    return rows


def form_of(key: Key) -> str:
    if key.kind == "word":
        return ", ".join(f"`{word}`" for word in key.words)
    if key.part:
        short = f", or {spec_keys.KINDS[key.short]}" if key.short else ""
        return f"[{key.part}](#{key.part}){', by name' if key.kind == 'parts' else ''}{short}"
    return spec_keys.KINDS[key.kind]


def example_of(part: str, key: Key) -> str:
    if not key.example:
        return "–"
    if part == "cleaning":
        text = f"clean: [{key.name}]" if key.kind == "bare" else f"clean: [{{{key.name}: {key.example}}}]"
    else:
        text = f"{key.name}: {key.example}"
    return f"`{text}`".replace("|", "\\|")


def more() -> list[str]:
    """What a value may be, where the table has only its kind."""
    elements = ", ".join(f"`{item}`" for item in formats.ELEMENTS)
    counted = "; ".join(f"{kind}: " + ", ".join(f"`{word}`" for word in words) for kind, words in formats.COUNTED.items())
    return [
        "## Types",
        "",
        "| type | in Snowflake |",
        "|---|---|",
        *[f"| `{name}` | {kind} |" for name, kind in TYPES.items()],
        "| `number(p,s)` | NUMBER(p,s) |",
        "",
        "## Formats",
        "",
        f"Dates and times are made of {elements} and `{formats.PLAIN}`. Days, months and hours that stand apart may have one digit.",
        f"A text that does not have the shape of a format is not tried with it. Integers that count: {counted}.",
        "`TZH:TZM` is an offset or `Z`; the value is kept in UTC. Numbers are written as one of "
        + ", ".join(f"`{word}`" for word in formats.NUMBERS)
        + ".",
        "",
        "## Expressions",
        "",
        "One SQL expression over the columns of its source (of its fact, in a KPI). No subquery, no second statement, no comment, no",
        "window, nothing that reads the clock or the session. Functions of the app: "
        + ", ".join(f"`{name}`" for name in expressions.APP_FUNCTIONS) + ". Of Snowflake:",
        "",
        wrapped(sorted(sql_functions.ROW)),
        "",
        "and in the measures of a KPI also:",
        "",
        wrapped(sorted(sql_functions.AGGREGATE)),
        "",
        "## Checks that look beyond their row",
        "",
        "Their meaning does not depend on how rows fall into batches.",
        "",
        "- `row_count` and `freshness` judge a file as it is loaded; every row of a file that fails carries the failure.",
        "- `unique`: values belong to the key that brought them first, in the order of arrival, with a row that passed every other",
        "  check. They stay with it when the key takes others. One `unique` of a source may hold rows back; the others warn.",
        "- `references`: judged when the row is loaded, against the rows of the other source in silver that are no deletions. In a",
        "  run the other source is loaded first. A row that came too early waits in quarantine and can be replayed.",
        "- When rows are replayed from quarantine, files are not judged again.",
    ]


def wrapped(words: list[str], width: int = 130) -> str:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 3 > width:
            lines.append("")
        lines[-1] += f"`{word}` "
    return "\n".join(line.rstrip() for line in lines)


def pages() -> dict[Path, str]:
    return {SCHEMA: json.dumps(schema(), indent=1) + "\n", REFERENCE: reference()}


def main() -> None:
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
