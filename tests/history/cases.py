"""Named cases, as text files: the dimension before, the events that come in, the dimension after.

    # 15, 13: a late event inside a run of equal values splits the run at the next event
    plain: city
    known     A@10, A@30
    before    A 10-
    incoming  B@20
    after     A 10-20, B 20-30, A 30-

The title names the rules of design/semantics.md that it shows.  The second line names a dimension of dimensions.yml
and the columns of events (after `->`, those of versions, where they are others).  An event is `values@day.revision`,
a version `values from-to`; several keys are told apart by `2:` (shop and number: `b1:`), `-` is NULL, `?` absent,
`gone@20` a tombstone, `all gone@20` a truncation, `gone(A) 20-30` a deletion that is a version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.history import oracle, streams

FOLDER = Path(__file__).parent / "cases"
EVENT = re.compile(r"(?:(?P<key>[a-z]?\d+):)?(?P<said>.+)@(?P<day>\d+)(?:\.(?P<revision>\d+))?")
NUMBERS = ("kind", "id", "revision")


@dataclass(frozen=True)
class Case:
    """One case, as written."""

    rules: tuple[int, ...]
    title: str
    name: str
    said: tuple[str, ...]
    shown: tuple[str, ...]
    known: str
    before: str
    incoming: str
    after: str

    def events(self, text: str, number: int = 0) -> list[oracle.Event]:
        return [self.event(part, number) for part in parts(text)]

    def event(self, text: str, number: int) -> oracle.Event:
        match = EVENT.fullmatch(text)
        assert match, f"{self.title}: `{text}` is no event"
        values: dict[str, Any] = {"revision": int(match["revision"] or 1), **key(match["key"], number)}
        if match["said"] in ("gone", "all gone"):
            return streams.event(self.name, int(match["day"]), "D" if match["said"] == "gone" else "T", **values)
        words = dict(zip(self.said, match["said"].split("/"), strict=True))
        values |= {column: read(column, word) for column, word in words.items() if word != "?"}
        if "?" in words.values():
            values["absent"] = {column for column, word in words.items() if word == "?"}
        return streams.event(self.name, int(match["day"]), **values)

    def written(self, versions: list[oracle.Version], number: int = 0) -> str:
        """Versions in the notation of the case."""
        dimension, _ = streams.declared(self.name)
        return ", ".join(self.version(version, dimension, number) for version in versions) or "nothing"

    def version(self, version: oracle.Version, dimension: Any, number: int) -> str:
        identity = "".join(str(version[c] - number * streams.KEYS_OF_A_STREAM if c == "id" else version[c]) for c in dimension.key)
        values = "/".join("-" if version[column] is None else str(version[column]) for column in self.shown)
        values = f"gone({values})" if version.get("is_deleted") else values
        interval = f"{moment(version['valid_from'])}-{moment(version['valid_to'])}"
        return f"{values} {interval}" if identity in ("1", "a1") else f"{identity}:{values} {interval}"


def moment(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else str((value - streams.day(1)).days + 1)


def key(text: str | None, number: int) -> dict[str, Any]:
    """`2` is key 2, `b2` key 2 of shop b; each case has numbers of its own."""
    shop = text[0] if text and text[0].isalpha() else "a"
    return {"shop": shop, "id": int((text or "1").lstrip("abcdefghijklmnopqrstuvwxyz")) + number * streams.KEYS_OF_A_STREAM}


def read(column: str, word: str) -> Any:
    return None if word == "-" else int(word) if column in NUMBERS else word


def parts(text: str) -> list[str]:
    return [] if text == "nothing" else [part.strip() for part in text.split(",")]


def read_case(block: str) -> Case:
    head, declared, *lines = [line.rstrip() for line in block.strip().splitlines()]
    numbers, _, title = head.removeprefix("#").partition(":")
    name, _, columns = declared.partition(":")
    said, _, shown = columns.partition("->")
    fields = {word: rest.strip() for word, _, rest in (line.partition(" ") for line in lines)}
    named = tuple(column.strip() for column in said.split(","))
    return Case(
        rules=tuple(int(number) for number in numbers.split(",")),
        title=title.strip(),
        name=name.strip(),
        said=named,
        shown=tuple(column.strip() for column in shown.split(",")) if shown else named,
        **fields,
    )


def read_all() -> list[Case]:
    blocks = [block for path in sorted(FOLDER.glob("*.txt")) for block in path.read_text(encoding="utf-8").split("\n\n")]
    return [read_case(block) for block in blocks if block.strip()]
