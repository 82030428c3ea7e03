"""YAML with places: every value of a pipeline file knows its path and line, and collects what is wrong with it.

YAML is read as text only: `NO` stays a country, `12:30` a time of day, `on` a word.  Types come from the model.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import expressions
import names
import spec_keys
from expressions import unknown
from spec_columns import TYPES, is_type

Made = TypeVar("Made")
DURATION = re.compile(r"(\d{1,6})\s*(second|minute|hour|day)s?")
BUDGET = re.compile(r"(\d{1,6})\s*(second|minute|hour)s? a day")
SIDE_BY_SIDE = 100  # steps of a graph, at most, that run at once: a day may hold so many days of work
SHARE = re.compile(r"quarantined\s*>\s*(\d{1,2}|100)\s*%")
ELSEWHERE = {  # types as other systems call them, which are not the nearest by their letters: `int` is near `variant`
    **dict.fromkeys(("int", "bigint", "smallint", "long"), "integer"),
    **dict.fromkeys(("string", "varchar", "char", "str"), "text"),
    **dict.fromkeys(("decimal", "numeric", "float", "double", "real"), "number"),
    **dict.fromkeys(("datetime", "timestamp_ntz", "timestamp_tz", "timestamptz"), "timestamp"),
    **dict.fromkeys(("json", "object", "array"), "variant"),
}
MOST_PROBLEMS = 500  # nobody reads more, and each is looked at for what was meant
LONGEST_NAME = 64  # names of tasks, keys and stage tables are made of several


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, and what was found and expected."""

    path: str
    line: int
    message: str


class TooManyProblems(ValueError):
    """Reading stops here: the file is something else than a pipeline file."""


class SpecRefused(ValueError):
    """A pipeline file that cannot be used; `problems` carries all that is wrong with it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        lines = (f"{file}:{p.line}: {p.path}: {p.message}" for p in self.problems)
        super().__init__("\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines))


@dataclass(frozen=True)
class Node:
    """A value of the file with its place in it; `value` is a mapping or a list of nodes, a text, or None."""

    value: object
    path: str
    line: int
    problems: list[Problem] = field(repr=False, compare=False)

    def wrong(self, message: str) -> None:
        if len(self.problems) >= MOST_PROBLEMS:
            raise TooManyProblems
        self.problems.append(Problem(self.path or "pipeline", self.line, message))

    def mapping(self) -> dict[str, "Node"]:
        """Its entries; anything but a mapping is reported and read as an empty one."""
        if isinstance(self.value, dict):
            return self.value
        if self.value is not None:
            self.wrong("expected `name: value` entries below it")
        return {}

    def words(self) -> tuple[str, ...]:
        """Its items as texts; a single word counts as a list of one."""
        if isinstance(self.value, list):
            return tuple(item.text() for item in self.value)
        return (self.text(),) if self.value is not None else ()

    def text(self) -> str:
        if isinstance(self.value, str):
            return self.value
        self.wrong("expected a text")
        return ""

    def pair(self) -> tuple[str | None, str | None]:
        """Lowest and highest, of which either may be open."""
        if not isinstance(self.value, list) or len(self.value) != 2:
            self.wrong("expected a list of two, lowest and highest; `null` for none")
            return None, None
        low, high = ((None if item.value is None else item.text()) for item in self.value)
        if low is None and high is None:
            self.wrong("both ends are open: it says nothing")
        return low, high

    def one_of(self, allowed: Collection[str], what: str) -> str:
        word = "null" if self.value is None and "null" in allowed else self.text()
        if word and word not in allowed:
            self.wrong(unknown(what, word, allowed))
        return word

    def yes(self) -> bool:
        return self.one_of(("true", "false"), "value") == "true"

    def duration(self) -> timedelta:
        match = DURATION.fullmatch(self.text())
        if match is None:
            self.wrong(f"found `{self.value}`, expected a duration such as `10 seconds`, `24 hours` or `7 days`")
            return timedelta()
        return timedelta(**{f"{match[2]}s": int(match[1])})

    def budget(self) -> timedelta | None:
        """What may be spent in a day."""
        match = BUDGET.fullmatch(self.text())
        if match is None:
            self.wrong(f"found `{self.value}`, expected a duration and `a day`, such as `10 minutes a day`")
            return None
        found = timedelta(**{f"{match[2]}s": int(match[1])})
        if not found:
            self.wrong(f"found `{self.value}`; a budget of nothing would leave out KPIs and sweep for ever: drop them instead")
        if found > timedelta(days=1) * SIDE_BY_SIDE:
            self.wrong(f"found `{self.value}`, expected at most {24 * SIDE_BY_SIDE} hours a day; without a budget, leave the key out")
        return found

    def whole(self) -> int:
        text = self.text().replace("_", "")
        if not text.isdigit() or not int(text):
            self.wrong(f"found `{self.value}`, expected a whole number above 0")
            return 1
        return int(text)

    def name(self) -> str:
        word = self.text()
        if isinstance(self.value, str):
            self.refuse_name(word)
        return word.lower()

    def refuse_name(self, word: str) -> None:
        """Tells what keeps a word from being a name, if anything does."""
        if not names.plain(word):
            self.wrong(f"`{word}` cannot be a name: expected a letter, then letters, digits, underscores; no SQL word")
        elif len(word) > LONGEST_NAME:
            self.wrong(f"`{word[:20]}…` has {len(word)} characters; a name may have {LONGEST_NAME}")

    def expression(self, columns: Collection[str], aggregates: bool = False) -> str:
        """An expression over these columns.  Where no column is known, the reason is a problem of its own."""
        text = self.text()
        for problem in expressions.problems(text, columns, aggregates) if columns and isinstance(self.value, str) else []:
            self.wrong(problem)
        return text

    def columns(self, known: Collection[str], what: str = "column") -> tuple[str, ...]:
        """Names that must be among `known`; where none is, the reason is a problem of its own."""
        words = tuple(word.lower() for word in self.words())
        for word in words:
            if known and word not in known:
                self.wrong(unknown(what, word, known))
            if word and words.count(word) > 1:
                self.wrong(f"`{word}` is named twice")
                break
        return words

    def column(self, known: Collection[str]) -> str:
        word = self.text().lower()
        if word and known and word not in known:
            self.wrong(unknown("column", word, known))
        return word

    def share(self) -> float | None:
        match = SHARE.fullmatch(self.text())
        if match is None:
            self.wrong(f"found `{self.value}`, expected `quarantined > 20%`")
            return None
        return int(match[1]) / 100

    def integer(self) -> int:
        word = self.text()
        if word and not re.fullmatch(r"-?\d{1,9}", word):
            self.wrong(f"found `{word}`, expected a whole number")
            return 0
        return int(word or 0)

    def type(self) -> str:
        word = self.text()
        if word and not is_type(word):
            self.wrong(unknown("type", word, [*TYPES, "number(p,s)"], ELSEWHERE.get(word.lower().partition("(")[0])))
            return "text"
        return word or "text"

    def texts(self) -> dict[str, str | None]:
        """Its entries as texts, or None for `null`."""
        return {word: None if entry.value is None else entry.text() for word, entry in self.mapping().items()}


class Entries:
    """The entries of a mapping that is a part of the file, read by key as `spec_keys` has it; `close` reports other keys."""

    def __init__(self, node: Node, part: str) -> None:
        self.node, self.part = node, part
        self.keys = spec_keys.keys_of(part)
        self.entries = node.mapping()

    def node_of(self, key: str) -> Node:
        """Where an entry stands, or where it should."""
        return self.entries.get(key, self.node)

    def read(self, key: str, known: Collection[str] = (), *, what: str = "column") -> Any:
        """The entry as its kind has it, or its default.  `known`: the columns, or the names, it may use."""
        entry = self.present(key)
        declared = self.keys[key]
        if entry is None:
            return DEFAULTS[self.part, key] if declared.default else EMPTY[declared.kind]
        if declared.kind == "word":
            return entry.one_of(declared.words, "word")
        if declared.kind == "name" and known:
            return entry.one_of(known, what)
        if declared.kind in ("column", "columns"):
            found = entry.columns(known, what) if declared.kind == "columns" else entry.column(known)
            if declared.needed and declared.kind == "columns" and not found:
                entry.wrong("found nothing, expected a column")
            return found
        return entry.expression(known) if declared.kind == "expression" else READERS[declared.kind](entry)

    def made(self, key: str, read: Callable[[Node], Made], default: Made) -> Made:
        """The entry as `read` makes it: for what has keys of its own."""
        entry = self.present(key)
        return default if entry is None else read(entry)

    def present(self, key: str) -> Node | None:
        """The entry; the absence of one that is needed is a problem."""
        entry = self.entries.get(key)
        if entry is None and self.keys[key].needed:
            self.node.wrong(f"`{key}` is missing")
        return entry

    def close(self) -> None:
        for word in self.entries.keys() - self.keys.keys():
            self.entries[word].wrong(unknown("key", word, self.keys))


READERS: dict[str, Callable[[Node], Any]] = {
    "text": Node.text,
    "name": Node.name,
    "yes": Node.yes,
    "words": Node.words,
    "duration": Node.duration,
    "share": Node.share,
    "budget": Node.budget,
    "integer": Node.integer,
    "count": Node.whole,
    "type": Node.type,
    "bounds": Node.pair,
    "map": Node.texts,
}
EMPTY: dict[str, Any] = {
    **{"text": "", "name": "", "word": "", "yes": False, "share": None, "budget": None, "integer": 0, "count": 1, "type": "text", "column": ""},
    **{"words": (), "columns": (), "expression": "", "map": {}, "bounds": (None, None), "duration": timedelta()},
}
DEFAULTS: dict[tuple[str, str], Any] = {
    (part, key.name): READERS.get(key.kind, Node.text)(Node(key.default.strip("'"), "", 0, []))
    for part, (_, keys) in spec_keys.PARTS.items()
    for key in keys
    if key.default
}
