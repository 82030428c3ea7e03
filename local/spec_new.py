"""`firn new NAME --from FILES`: a first pipeline file for unknown files, with what was seen in them in its comments."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from local.file_profile import Profile, Table, read_tables
from local.place import ROOT, NotRunning, Place

if str(ROOT / "procedures") not in sys.path:
    sys.path.append(str(ROOT / "procedures"))

import names
from spec_source import PATH

TIMES = ("updated", "changed", "modified", "effective", "valid", "seen", "at", "time", "date", "ts")
KEYS = ("id", "no", "nr", "number", "key", "code", "sku")
FEW = 12  # values of a column that are listed as all there are


def add(commands: Any) -> None:
    text = "propose a pipeline file for CSV, JSON or Parquet files, with the evidence in its comments"
    one = commands.add_parser("new", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("name", help="of the pipeline")
    one.add_argument("--from", dest="files", nargs="+", type=Path, required=True, metavar="FILE", help="files or folders")
    one.add_argument("--to", type=Path, help="write it here (default: print it)")


def run(place: Place, arguments: argparse.Namespace) -> int:
    if not names.plain(arguments.name):
        raise NotRunning(f"`{arguments.name}` cannot be a name: expected a letter, then letters, digits, underscores; no SQL word")
    if arguments.to and arguments.to.exists():
        raise NotRunning(f"{arguments.to} is there already; it is not overwritten")
    text = proposal(arguments.name.lower(), read_tables(arguments.files))
    if arguments.to:
        arguments.to.write_text(text, encoding="utf-8")
        print(f"written: {arguments.to}\nnext:    firn validate {arguments.to}   then: firn try {arguments.to} --files FOLDER")
    else:
        print(text, end="")
    return 0


def proposal(name: str, tables: list[Table]) -> str:
    """The text of a pipeline file that parses as it stands."""
    lines = [
        "# yaml-language-server: $schema=docs/pipeline.schema.json",
        "# Proposed from files by `firn new`. Comments say what was seen; docs/spec-reference.md says what else may stand here.",
        f"pipeline: {name}",
        "schedule: 1 minute",
        "",
        "sources:",
    ]
    for table in tables:
        lines += source_lines(name, table)
    lines += ["", *suggestions(tables)]
    return "\n".join(lines) + "\n"


def source_lines(pipeline: str, table: Table) -> Iterator[str]:
    columns = named(table)
    key, why_key = key_of(table)
    time, why_time = time_of(table)
    by_title = {profile.title: column for column, profile in columns.items()}
    yield f"  {table.name}:  # {len(table.files)} file{'s' if len(table.files) > 1 else ''}, {table.row_count:,} rows{' looked at' if table.is_cut else ''}: {in_a_line(table.files[0].name)}{' …' if len(table.files) > 1 else ''}"
    yield f"    files: {{prefix: {pipeline}/{table.name}/, format: {table.format}}}"
    yield f"    key: [{', '.join(by_title.get(title, title) for title in key)}]  # {why_key}"
    yield f"    effective_at: {by_title[time] if time else 'arrived_at'}  # {why_time}"
    yield "    columns:"
    width = max((len(column) for column in columns), default=0) + 1
    for column, profile in columns.items():
        yield f"      {column + ':':<{width}} {{{', '.join(declared(column, profile, table))}}}  # {evidence(profile, table)}"
    known = usable(table)
    for profile in table.columns:
        if profile not in known:
            yield f"      # left out: `{in_a_line(profile.title)}` is no plain name; give it one where the file is made"
    if not time:
        yield "      arrived_at: {type: timestamp, expression: loaded_at}  # the files say no time, so arrival counts"
    checks = list(check_lines(columns, table))
    if checks:
        yield "    checks:"
        yield from checks


def usable(table: Table) -> list[Profile]:
    """Columns that a file can ask for: titles that are plain names, paths without strange marks."""
    is_plain = PATH.fullmatch if table.format == "json" else names.plain
    return [profile for profile in table.columns if is_plain(profile.title)]


def named(table: Table) -> dict[str, Profile]:
    """Columns by names that may stand in SQL: lower case, words with underscores."""
    found: dict[str, Profile] = {}
    for profile in usable(table):
        word = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", profile.title.split(".")[-1] if profile.path else profile.title)
        word = re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_") or "column"
        word = f"c_{word}" if word[0].isdigit() else word
        while not names.plain(word) or word in names.RESERVED_BY_FIRN or word in found:
            word += "_"
        found[word] = profile
    return found


def declared(column: str, profile: Profile, table: Table) -> Iterator[str]:
    yield f"type: {quoted(profile.type)}"
    if profile.path:
        if profile.path != column:
            yield f"path: {quoted(profile.path)}"
    elif profile.title.lower() != column:
        yield f"from: {quoted(profile.title)}"
    clean = list(profile.cleaning())
    if clean:
        yield f"clean: [{', '.join(clean)}]"
    if profile.formats:
        yield f"formats: [{', '.join(quoted(pattern) for pattern in profile.formats)}]"
    if profile.type != "text" and profile.empty == 0 and table.row_count:
        yield "required: true"


def in_a_line(text: str) -> str:
    """A text of the files as it may stand in a comment: whatever would end the line or is not seen is a question mark.

    >>> in_a_line("x\\n    evil: 1")
    'x?    evil: 1'
    """
    return "".join(c if c.isprintable() else "?" for c in text)[:80]


def quoted(text: str) -> str:
    if not text.isprintable():
        return json.dumps(text)
    is_word = re.fullmatch(r"[A-Za-z_][\w.\-/]*", text) and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off")
    return text if is_word else "'" + text.replace("'", "''") + "'"


def evidence(profile: Profile, table: Table) -> str:
    """What was seen, in one line."""
    said = []
    if profile.empty:
        said.append(f"{profile.empty:,} of {table.row_count:,} empty")
    if profile.padded:
        said.append(f"{profile.padded:,} padded")
    if profile.unfit:
        shown = ", ".join(repr(text)[:30] for text in profile.unfit_samples)
        said.append(f"{profile.unfit:,} are no {profile.type.split('(')[0]}: {shown}")
    if profile.few:
        said.append("only " + ", ".join(repr(value)[:30] for value in sorted(profile.few)))
    elif profile.type == "text":
        many = f"{profile.distinct:,}" if not profile.is_cut else f"more than {profile.distinct:,}"
        said.append(f"{many} different, such as {', '.join(repr(value)[:30] for value in profile.samples)}")
    elif profile.low is not None:
        said.append(f"{profile.low} to {profile.high}")
    return "".join(c if c.isprintable() else " " for c in "; ".join(said)) or "always empty"


def key_of(table: Table) -> tuple[list[str], str]:
    """The columns that tell rows apart, the likeliest names first."""
    whole = [profile for profile in usable(table) if profile.empty == 0]
    likely = sorted(whole, key=lambda profile: (not ends_with(profile.title, KEYS), table.columns.index(profile)))
    for profile in likely:
        if table.is_unique([profile.title]) and profile.type in ("text", "integer"):
            return [profile.title], f"{table.row_count:,} rows, {table.row_count:,} different"
    for pair in combinations([profile for profile in likely if profile.type in ("text", "integer")][:8], 2):
        titles = [profile.title for profile in pair]
        if table.row_count and table.is_unique(titles):
            return titles, f"together different in all of {table.row_count:,} rows; neither is alone"
    repeated = next((profile.title for profile in likely if ends_with(profile.title, KEYS)), "")
    hint = f"; if {repeated} is one, rows of it are its changes" if repeated else ""
    return ["file_name", "row_number"], f"no column or pair tells rows apart, so each line is a thing{hint}"


def ends_with(title: str, words: tuple[str, ...]) -> bool:
    parts = [part for part in re.split(r"[^a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", title).lower()) if part]
    return bool(parts) and parts[-1] in words


def time_of(table: Table) -> tuple[str, str]:
    times = [profile for profile in usable(table) if profile.type in ("timestamp", "date") and not profile.empty and not profile.unfit]
    if not times:
        return "", "no column is a time in every row"

    def rank(profile: Profile) -> tuple[int, bool]:
        words = re.split(r"[^a-z]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", profile.title).lower())
        return min((TIMES.index(word) for word in words if word in TIMES), default=len(TIMES)), profile.type == "date"

    best = min(times, key=rank)
    others = ", ".join(profile.title for profile in times if profile is not best)
    return best.title, f"a {best.type} in every row" + (f"; others: {others}" if others else "")


def check_lines(columns: dict[str, Profile], table: Table) -> Iterator[str]:
    """Checks that all rows seen pass, so what fails them later is news."""
    for column, profile in columns.items():
        if profile.few and profile.type == "text" and table.row_count >= 50:
            known = ", ".join(quoted(value) for value in sorted({profile.cleaned(value) for value in profile.few}) if value)
            if known:
                yield f"      {column}_is_known: {{one_of: {{{column}: [{known}]}}, otherwise: warn}}  # all there were"
        elif profile.type in ("integer", "number") and profile.low is not None and profile.low >= 0 and not profile.unfit and profile.empty == 0:
            yield f"      {column}_is_not_negative: {{between: {{{column}: [0, null]}}, otherwise: warn}}  # lowest seen: {profile.low}"
        elif profile.emails > 0.5:
            yield f"      {column}_is_an_address: {{email: {column}, otherwise: warn}}  # {profile.emails:.0%} are"


def suggestions(tables: list[Table]) -> Iterator[str]:
    """What may follow, as comments: what a number means is not in the files."""
    first = tables[0]
    columns = named(first)
    key, _ = key_of(first)
    titles = {profile.title: column for column, profile in columns.items()}
    texts = [column for column, profile in columns.items() if profile.type == "text" and profile.title not in key][:2]
    numbers = [column for column, profile in columns.items() if profile.type in ("integer", "number") and profile.title not in key][:2]
    yield "# What to make of them is not in the files. To begin with:"
    if key != ["file_name", "row_number"]:
        yield "# dimensions:"
        yield f"#   dim_{first.name}: {{from: {first.name}, tracked: [{', '.join(texts)}]}}"
    yield "# facts:"
    yield f"#   fact_{first.name}: {{from: {first.name}, grain: [{', '.join(titles.get(title, title) for title in key)}], keep: [{', '.join([*texts, *numbers])}]}}"
    yield "# kpis:"
    measure = f"sum({numbers[0]})" if numbers else "count(*)"
    yield f"#   {first.name}_by_month: {{from: fact_{first.name}, period: month, measures: {{total: {measure}}}}}"
