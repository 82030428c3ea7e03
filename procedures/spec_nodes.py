"""YAML with places: every value of a pipeline file knows its path and line, and collects what is wrong with it.

YAML is read as text only: `NO` stays a country, `12:30` a time of day, `on` a word.  Types come from the model.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import expressions
import names
import yaml
from expressions import unknown

Made = TypeVar("Made")
DURATION = re.compile(r"(\d+)\s*(second|minute|hour|day)s?")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, and what was found and expected."""

    path: str
    line: int
    message: str


class SpecRefused(ValueError):
    """A pipeline file that cannot be used; `problems` carries all that is wrong with it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(f"{file}:{p.line}: {p.path}: {p.message}" for p in self.problems))


@dataclass(frozen=True)
class Node:
    """A value of the file with its place in it; `value` is a mapping or a list of nodes, a text, or None."""

    value: object
    path: str
    line: int
    problems: list[Problem] = field(repr=False, compare=False)

    def wrong(self, message: str) -> None:
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

    def one_of(self, allowed: Collection[str], what: str) -> str:
        word = self.text()
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

    def whole(self) -> int:
        text = self.text().replace("_", "")
        if not text.isdigit() or not int(text):
            self.wrong(f"found `{self.value}`, expected a whole number above 0")
            return 1
        return int(text)

    def name(self) -> str:
        word = self.text()
        if word and not names.plain(word):
            self.wrong(f"`{word}` cannot be a name: expected a letter, then letters, digits, underscores; no SQL word")
        return word.lower()

    def expression(self, columns: Collection[str]) -> str:
        """An expression over these columns.  Where no column is known, the reason is a problem of its own."""
        text = self.text()
        for problem in expressions.problems(text, columns) if text and columns else []:
            self.wrong(problem)
        return text

    def columns(self, known: Collection[str], what: str = "column") -> tuple[str, ...]:
        """Names that must be among `known`; where none is, the reason is a problem of its own."""
        words = self.words()
        for word in words:
            if known and word not in known:
                self.wrong(unknown(what, word, known))
        return words


def read_yaml(text: str, file: str, problems: list[Problem]) -> Node:
    """The file as nodes.  Aliases are refused (a few lines of them can stand for gigabytes), and so are repeated keys."""
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
                line = token.start_mark.line + 1
                raise SpecRefused(file, [Problem("pipeline", line, "anchors, aliases and tags are not used here")])
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecRefused(file, [Problem("pipeline", line, f"not YAML: {error.problem}")]) from error
    if not isinstance(root, yaml.MappingNode):
        raise SpecRefused(file, [Problem("pipeline", 1, "expected `pipeline: name` and what it consists of")])
    return as_node(root, "", problems)


def as_node(raw: yaml.Node, path: str, problems: list[Problem]) -> Node:
    line = raw.start_mark.line + 1
    if isinstance(raw, yaml.MappingNode):
        entries: dict[str, Node] = {}
        for key, value in raw.value:
            word = str(key.value)
            here = f"{path}.{word}" if path else word
            if word in entries:
                problems.append(Problem(here, key.start_mark.line + 1, "stands here a second time"))
            # Where its key stands: the value of an entry may begin lines below.
            entries[word] = replace(as_node(value, here, problems), line=key.start_mark.line + 1)
        return Node(entries, path, line, problems)
    if isinstance(raw, yaml.SequenceNode):
        items = [as_node(item, f"{path}[{index}]", problems) for index, item in enumerate(raw.value)]
        return Node(items, path, line, problems)
    empty = raw.style is None and raw.value in ("", "null", "~")
    return Node(None if empty else raw.value, path, line, problems)


class Entries:
    """The entries of a mapping, read by key; `close` reports the keys nobody asked for."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.entries = node.mapping()
        self.asked: list[str] = []

    def get(self, key: str, read: Callable[[Node], Made], default: Made) -> Made:
        """The entry as `read` makes it, or the default where the file says nothing."""
        self.asked.append(key)
        return read(self.entries[key]) if key in self.entries else default

    def need(self, key: str, read: Callable[[Node], Made], default: Made) -> Made:
        """As `get`, and its absence is a problem."""
        if key not in self.entries:
            self.node.wrong(f"`{key}` is missing")
        return self.get(key, read, default)

    def close(self) -> None:
        for word, entry in self.entries.items():
            if word not in self.asked:
                entry.wrong(unknown("key", word, self.asked))
