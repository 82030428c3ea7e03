"""What stands in CSV, JSON and Parquet files: per column the type most of its texts have, the ones that do not, and samples."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from local.place import NotRunning

MOST_ROWS = 200_000
MOST_DISTINCT = 5_000
FEW = 12
ENOUGH = 0.95  # of the texts must be of a type, for the others to be faults
ISO_DATE = r"\d{4}-\d\d-\d\d"
# Type, format (none: as it is), shape.  The first that fits nearly all texts is taken.
SHAPES: tuple[tuple[str, str, str], ...] = (
    ("boolean", "", r"true|false|TRUE|FALSE|True|False"),
    ("integer", "", r"[+-]?\d{1,18}(\.0*)?"),
    ("number", "", r"[+-]?\d{1,18}(\.\d+)?"),
    ("number", "1,234.56", r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?"),
    ("number", "1.234,56", r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?"),
    ("timestamp", "", rf"{ISO_DATE}[T ]\d\d:\d\d(:\d\d(\.\d{{1,9}})?)?Z?"),
    ("date", "", ISO_DATE),
    ("timestamp", "YYYY-MM-DDTHH24:MI:SSTZH:TZM", rf"{ISO_DATE}T\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)"),
    ("timestamp", "DD.MM.YYYY HH24:MI", r"\d{1,2}\.\d{1,2}\.\d{4} \d{1,2}:\d\d"),
    ("date", "DD.MM.YYYY", r"\d{1,2}\.\d{1,2}\.\d{4}"),
    ("timestamp", "MM/DD/YYYY HH24:MI", r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d"),
    ("date", "MM/DD/YYYY", r"(0?[1-9]|1[0-2])/\d{1,2}/\d{4}"),
    ("date", "DD/MM/YYYY", r"\d{1,2}/\d{1,2}/\d{4}"),
)
YYYYMMDD = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")


@dataclass
class Profile:
    """One column.  Texts are counted as they stand; types are those of texts without their padding."""

    title: str
    path: str = ""  # JSON: where it stands
    empty: int = 0
    padded: int = 0
    texts: dict[str, int] = field(default_factory=dict)  # up to MOST_DISTINCT, with how often each came
    is_cut: bool = False
    type: str = "text"
    formats: list[str] = field(default_factory=list)
    unfit: int = 0
    unfit_samples: list[str] = field(default_factory=list)
    low: Any = None
    high: Any = None
    emails: float = 0.0

    def see(self, value: str | None) -> None:
        if value is None or not value.strip():
            self.empty += 1
            return
        self.padded += value != value.strip()
        if value in self.texts or len(self.texts) < MOST_DISTINCT:
            self.texts[value] = self.texts.get(value, 0) + 1
        else:
            self.is_cut = True

    @property
    def distinct(self) -> int:
        return len(self.texts)

    @property
    def few(self) -> list[str]:
        return list(self.texts) if 0 < len(self.texts) <= FEW and sum(self.texts.values()) >= 4 * len(self.texts) else []

    @property
    def samples(self) -> list[str]:
        return list(self.texts)[:3]

    def cleaning(self) -> Iterator[str]:
        """Cleanings that the texts ask for."""
        if self.type == "text" and self.padded:
            yield "trim"
        if self.type == "text" and self.empty:
            yield "empty_to_null"

    def cleaned(self, value: str) -> str:
        return value.strip() if self.padded else value

    def decide(self) -> None:
        """Settles the type: the first shape that nearly all texts have."""
        count = sum(self.texts.values())
        if not count:
            return
        plain = {text.strip(): number for text, number in self.texts.items()}
        if YYYYMMDD.fullmatch(next(iter(plain))) and self.fit(plain, YYYYMMDD) / count >= ENOUGH:
            self.settle(plain, "date", "YYYYMMDD", YYYYMMDD)
            return
        for kind, pattern, shape in SHAPES:
            compiled = re.compile(shape)
            if self.fit(plain, compiled) / count >= ENOUGH and not self.is_code(plain, kind):
                self.settle(plain, kind, pattern, compiled)
                return
        self.emails = self.fit(plain, EMAIL) / count

    def fit(self, plain: dict[str, int], shape: re.Pattern[str]) -> int:
        return sum(number for text, number in plain.items() if shape.fullmatch(text))

    def is_code(self, plain: dict[str, int], kind: str) -> bool:
        """Digits that are no number: leading zeros mean something, and so do letters before or behind them."""
        return kind in ("integer", "number") and any(re.fullmatch(r"0\d+|[A-Za-z]{1,4}-?\d+|\d+[A-Za-z]{1,2}", text) for text in plain)

    def settle(self, plain: dict[str, int], kind: str, pattern: str, shape: re.Pattern[str]) -> None:
        self.type, self.formats = kind, [pattern] if pattern else []
        others = [text for text in plain if not shape.fullmatch(text)]
        self.unfit, self.unfit_samples = sum(plain[text] for text in others), others[:3]
        fitting = [text for text in plain if shape.fullmatch(text)]
        if kind in ("integer", "number") and not pattern:
            values = [float(text) for text in fitting]
            self.low, self.high = (int(end) if end == int(end) else end for end in (min(values), max(values)))
        elif not pattern:
            self.low, self.high = min(fitting), max(fitting)


@dataclass
class Table:
    """Files of the same format and columns."""

    name: str
    format: str
    files: list[Path]
    columns: list[Profile]
    row_count: int = 0
    is_cut: bool = False
    rows: list[tuple[str | None, ...]] = field(default_factory=list)

    def is_unique(self, titles: list[str]) -> bool:
        """Whether no two rows have the same values in these columns."""
        places = [next(n for n, column in enumerate(self.columns) if column.title == title) for title in titles]
        return bool(self.rows) and len({tuple(row[place] for place in places) for row in self.rows}) == len(self.rows)


def read_tables(paths: list[Path]) -> list[Table]:
    """The files, those with the same format and columns together."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if path.is_dir() is False or file.is_file()]
    files = [file for file in files if file.is_file() and not file.name.startswith(".")] + [path for path in paths if not path.exists()]
    found: dict[tuple[str, tuple[str, ...]], Table] = {}
    for file in files:
        kind = format_of(file)
        titles, rows = READERS[kind](file)
        titles = list(titles)
        known = next((table for (a, b), table in found.items() if a == kind and (kind == "json" or b == tuple(titles))), None)
        if known is None:
            known = found[kind, tuple(titles)] = Table(name_of(file, {table.name for table in found.values()}), kind, [], [])
        known.files.append(file)
        fill(known, titles, rows)
    if not found:
        raise NotRunning("no files were found; name CSV, JSON or Parquet files, or folders with them")
    for table in found.values():
        for profile in table.columns:
            profile.empty += table.row_count - profile.empty - sum(profile.texts.values()) if not profile.is_cut else 0
            profile.decide()
    return list(found.values())


def fill(table: Table, titles: list[str], rows: Iterator[dict[str, str | None]]) -> None:
    known = {profile.title: profile for profile in table.columns}
    for row in rows:
        if table.row_count >= MOST_ROWS:
            table.is_cut = True
            break
        for title in [*titles, *row]:
            if title not in known:
                known[title] = Profile(title, title if table.format == "json" else "")
                table.columns.append(known[title])
        for title, value in row.items():
            known[title].see(value)
        table.row_count += 1
        table.rows.append(tuple(row.get(profile.title) for profile in table.columns))
    width = len(table.columns)
    table.rows = [row + (None,) * (width - len(row)) for row in table.rows]


def format_of(file: Path) -> str:
    if not file.is_file():
        raise NotRunning(f"{file} is not there")
    suffixes = {".csv": "csv", ".txt": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
    kind = suffixes.get(Path(file.name.removesuffix(".gz")).suffix.lower())
    if kind is None:
        raise NotRunning(f"{file}: expected a name ending in .csv, .json, .jsonl or .parquet")
    return kind


def name_of(file: Path, taken: set[str]) -> str:
    """A name from the file's, without dates and numbers; from its folder where nothing else is left."""
    for word in (file.name.split(".")[0], file.parent.name, "rows"):
        name = re.sub(r"[^a-z]+", "_", word.lower()).strip("_")
        if name and name not in taken:
            return name
    return f"rows_{len(taken)}"


def text_of(file: Path) -> str:
    raw = gzip.decompress(file.read_bytes()) if file.name.endswith(".gz") else file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise NotRunning(f"{file} is no text in UTF-8 (byte {e.start}); Firn's file formats read UTF-8") from None


def read_csv(file: Path) -> tuple[list[str], Iterator[dict[str, str | None]]]:
    lines = csv.reader(text_of(file).splitlines(keepends=True), skipinitialspace=False)
    titles = [title.strip() for title in next(lines, [])]
    return titles, (dict(zip(titles, line, strict=False)) for line in lines if line)


def read_json(file: Path) -> tuple[list[str], Iterator[dict[str, str | None]]]:
    """Documents one a line, or a list of them."""
    text = text_of(file).strip()
    try:
        whole = json.loads(text)
        documents = whole if isinstance(whole, list) else [whole]
    except ValueError:
        try:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as e:
            raise NotRunning(f"{file}: is no JSON: {e}") from None
    rows = [dict(flat(document)) for document in documents if isinstance(document, dict)]
    return list(dict.fromkeys(title for row in rows for title in row)), iter(rows)


def flat(document: dict[str, Any], before: str = "") -> Iterator[tuple[str, str | None]]:
    """Values with their paths; lists stay whole."""
    for key, value in document.items():
        path = f"{before}{key}"
        if isinstance(value, dict):
            yield from flat(value, f"{path}.")
        else:
            yield path, None if value is None else value if isinstance(value, str) else json.dumps(value)


def read_parquet(file: Path) -> tuple[list[str], Iterator[dict[str, str | None]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as e:
        raise NotRunning(f"{file}: is no Parquet: {e}") from None

    def plain(value: Any) -> str | None:
        return None if value is None else value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)

    return table.column_names, ({name: plain(value) for name, value in row.items()} for row in table.to_pylist())


READERS: dict[str, Any] = {"csv": read_csv, "json": read_json, "parquet": read_parquet}
