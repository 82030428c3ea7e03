"""The checks of a source: an expression, or a test of the library with what it needs."""

import re
from collections.abc import Callable, Mapping

import names
import specs
from expressions import unknown
from spec_columns import constant
from spec_nodes import Entries, Node

TESTS = (
    *("expect", "required", "email", "not_in_future", "one_of", "between", "matches", "length"),
    *("unique", "references", "row_count", "freshness"),
)


def read_check(name: str, node: Node, types: Mapping[str, str]) -> specs.Check:
    """A check over columns of these types."""
    if not isinstance(node.value, dict):
        return specs.Check(name, node.expression(types))
    check = Entries(node, "check")
    found = [word for word in TESTS if word in check.entries]
    otherwise = check.read("otherwise")
    check.close()
    if len(found) != 1:
        listed = ", ".join(f"`{word}`" for word in found or TESTS)
        node.wrong(f"one test makes a check; found {listed}" if found else f"no test; expected one of {listed}")
        return specs.Check(name, "true", otherwise)
    test = found[0]
    if test == "expect":
        return specs.Check(name, check.read("expect", types), otherwise)
    place = check.entries[test]
    columns, values = READERS[test](place, types)
    if test == "email":
        return specs.Check(name, f"is_email({columns[0]})", otherwise)
    return specs.Check(name, "", otherwise, test, columns, values)


Argument = tuple[tuple[str, ...], tuple[str | None, ...]]


def of_columns(node: Node, types: Mapping[str, str]) -> Argument:
    found = node.columns(types)
    if not found:
        node.wrong("found nothing, expected a column")
    return found, ()


def of_column(node: Node, types: Mapping[str, str]) -> Argument:
    return (node.column(types),), ()


def of_time(node: Node, types: Mapping[str, str]) -> Argument:
    column = node.column(types)
    if types.get(column, "date") not in ("date", "timestamp"):
        node.wrong(f"`{column}` is of type {types[column]}, expected a date or a timestamp")
    return (column,), ()


def of_unique(node: Node, types: Mapping[str, str]) -> Argument:
    found, _ = of_columns(node, types)
    for column in found:
        if types.get(column) == "variant":
            node.wrong(f"`{column}` is a variant; values of those are not compared")
    return found, ()


def column_and(read: Callable[[Node, str], tuple[str | None, ...]]) -> Callable[[Node, Mapping[str, str]], Argument]:
    """A reader for `{column: …}`."""

    def argument(node: Node, types: Mapping[str, str]) -> Argument:
        entries = node.mapping()
        if len(entries) != 1:
            if isinstance(node.value, dict):
                node.wrong("expected one `column: …` in braces")
            return (), ()
        ((word, entry),) = entries.items()
        column = Node(word, entry.path, entry.line, entry.problems).column(types)
        return (column,), read(entry, types.get(column, ""))

    return argument


def texts(node: Node, type_name: str) -> tuple[str | None, ...]:
    """Values of the column's type."""
    found = node.words()
    if not found:
        node.wrong("found nothing, expected a list of values")
    for word in found:
        if type_name and constant(word, type_name) is None:
            node.wrong(f"found `{word}`, expected {type_name}")
    return found


def ends(node: Node, type_name: str) -> tuple[str | None, ...]:
    found = node.pair()
    values = [None if end is None else constant(end, type_name or "text") for end in found]
    for end, value in zip(found, values, strict=True):
        if end is not None and value is None:
            node.wrong(f"found `{end}`, expected {type_name}")
    if type_name in ("boolean", "variant"):
        node.wrong(f"a {type_name} has no lowest and highest")
    elif None not in values and values[0] > values[1]:  # type: ignore[operator]
        node.wrong(f"the lowest, `{found[0]}`, is above the highest, `{found[1]}`")
    return found


def pattern(node: Node, type_name: str) -> tuple[str | None, ...]:
    word = node.text()
    needs_text(node, type_name)
    refuse_pattern(node, word)
    return (word,)


def refuse_pattern(node: Node, text: str) -> None:
    """Patterns are those all engines read alike: no look-around, no references back."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        node.wrong(f"`{text[:60]}` is no regular expression: {error}")
        return
    if "(?" in text or re.search(r"\\[1-9]", text) or len(text) > 500:
        node.wrong("look-around, references back and patterns above 500 characters are not used here")


def counts(node: Node, type_name: str = "text") -> tuple[str | None, ...]:
    """Fewest and most: whole numbers from 0."""
    needs_text(node, type_name)
    found = node.pair()
    for end in found:
        if end is not None and not re.fullmatch(r"\d{1,12}", end):
            node.wrong(f"found `{end}`, expected a whole number from 0")
            return None, None
    if None not in found and int(found[0] or 0) > int(found[1] or 0):
        node.wrong(f"the fewest, `{found[0]}`, is above the most, `{found[1]}`")
    return found


def needs_text(node: Node, type_name: str) -> None:
    if type_name not in ("text", ""):
        node.wrong(f"only a text has this; the column is of type {type_name}")


def other_source(node: Node, type_name: str) -> tuple[str | None, ...]:
    """`source.column`; whether they exist is judged when all sources are read."""
    source, dot, column = node.text().lower().partition(".")
    if not dot or not names.plain(source) or not names.plain(column):
        node.wrong(f"found `{node.value}`, expected `source.column`")
        return ()
    return source, column


def age(node: Node, types: Mapping[str, str]) -> Argument:
    return (), (str(int(node.duration().total_seconds())),)


READERS: dict[str, Callable[[Node, Mapping[str, str]], Argument]] = {
    "required": of_columns,
    "email": of_column,
    "not_in_future": of_time,
    "one_of": column_and(texts),
    "between": column_and(ends),
    "matches": column_and(pattern),
    "length": column_and(counts),
    "unique": of_unique,
    "references": column_and(other_source),
    "row_count": lambda node, types: ((), counts(node)),
    "freshness": age,
}


def check_references(sources: Mapping[str, specs.Source], root: Node) -> None:
    """What checks look for in other sources must be there, be of the same type, and not wait for one another."""
    for source in sources.values():
        for check in source.checks:
            if check.test != "references" or not check.values:
                continue
            entries = root.mapping()["sources"].mapping()
            node = next(entry for word, entry in entries.items() if word.lower() == source.name).mapping()["checks"]
            place = next(entry for word, entry in node.mapping().items() if word.lower() == check.name)
            problem = reference_problem(source, check, sources)
            if problem:
                place.wrong(problem)


def reference_problem(source: specs.Source, check: specs.Check, sources: Mapping[str, specs.Source]) -> str:
    other, column = str(check.values[0]), str(check.values[1])
    if other not in sources:
        return unknown("source", other, sources)
    if other == source.name:
        return "a check may look for rows of another source, not of its own"
    types = sources[other].types()
    if column not in types:
        return unknown("column", column, types)
    mine = source.types().get(check.columns[0], "")
    if mine and mine.split("(")[0] != types[column].split("(")[0]:
        return f"`{check.columns[0]}` is of type {mine}, `{other}.{column}` of type {types[column]}"
    if waits_for(other, source.name, sources):
        return f"`{other}` looks for rows of `{source.name}`; two sources cannot wait for each other"
    return ""


def waits_for(name: str, wanted: str, sources: Mapping[str, specs.Source]) -> bool:
    """Whether a source's load comes after another's, through any number of references."""
    seen, waiting = set(), [name]
    while waiting:
        here = waiting.pop()
        if here == wanted:
            return True
        if here in sources and here not in seen:
            seen.add(here)
            waiting += sources[here].references
    return False
