"""A source of a pipeline file: its files, its columns and how they are cleaned."""

import re
from collections.abc import Callable, Collection
from zoneinfo import ZoneInfo

import names
import spec_keys
import specs
from expressions import unknown
from formats import problem_of
from spec_checks import read_check, refuse_pattern
from spec_columns import constant
from spec_nodes import Entries, Made, Node

STEP = re.compile(r"\[(\d{1,4})\]|([\w@$ -]+)")
PATH = re.compile(r"[\w@$ -]+(\[\d{1,4}\])*(\.[\w@$ -]+(\[\d{1,4}\])*){0,20}")
MODULE = re.compile(r"transform_[a-z0-9_]{1,60}:[a-z_][a-z0-9_]{0,60}")


def all_of(read: Callable[[str, Node], Made], reserved: Collection[str] = ()) -> Callable[[Node], tuple[Made, ...]]:
    """A reader for `name: {…}` entries.  Names are told apart in lower case, as Snowflake does."""

    def entries(node: Node) -> tuple[Made, ...]:
        seen: set[str] = set()
        for word, entry in node.mapping().items():
            entry.refuse_name(word)
            if word.lower() in seen:
                entry.wrong("stands here a second time: names in capitals are the same names")
            if word.lower() in reserved:
                entry.wrong(f"`{word}` is a column Firn adds itself; give yours another name and say `from:`")
            seen.add(word.lower())
        return tuple(read(word.lower(), entry) for word, entry in node.mapping().items())

    return entries


def refuse_copies(node: Node, columns: Collection[str], key: Collection[str]) -> None:
    """Beside a column `id` none may be called as the engine calls its copies of it, with which it compares what stands."""
    taken = {f"{prefix}_{column}": column for prefix in ("touched", "stands", "named") for column in columns} | {f"new_{column}": column for column in key}
    for word, entry in node.mapping().items():
        if word.lower() in taken:
            entry.wrong(f"`{word}` is what Firn calls its own copy of `{taken[word.lower()]}`; give yours another name and say `from: {word}`")


def read_source(name: str, node: Node) -> specs.Source:
    source = Entries(node, "source")
    files = Entries(source.made("files", lambda item: item, Node({}, f"{node.path}.files", node.line, [])), "files")
    columns = source.made("columns", all_of(read_column, names.RESERVED_BY_FIRN), ())
    if "columns" in source.entries and not columns:
        source.entries["columns"].wrong("found nothing, expected columns")
    known = [column.name for column in columns]
    check_derived(source.node_of("columns"), columns)
    snapshot = source.made("snapshot", lambda item: Entries(item, "snapshot"), None)
    sequence = snapshot.read("as_of", known) if snapshot else source.read("effective_at", known)
    if snapshot and "effective_at" in source.entries:
        source.entries["effective_at"].wrong("a snapshot has the time of its picture, `as_of`")
    if not snapshot and "effective_at" not in source.entries:
        node.wrong("`effective_at` is missing")
    elif not snapshot and not sequence:
        source.entries["effective_at"].wrong("found nothing, expected a column")
    sequence = sequence or ("",)
    types = {column.name: column.type for column in columns}
    made = specs.Source(
        name=name,
        prefix=read_prefix(files),
        format=files.read("format") or "csv",
        key=source.read("key", [*known, *names.PROVENANCE] if known else ()),
        effective_at=sequence[0],
        finer=sequence[1:],
        is_snapshot=snapshot is not None,
        snapshot_scope=snapshot.read("scope", known) if snapshot else (),
        truncate_when=source.read("truncate_when", known),
        strict=source.read("strict"),
        absent=source.read("absent"),
        delete_when=source.read("delete_when", known),
        overlap=source.read("overlap"),
        stop_if=source.read("stop_if"),
        columns=columns,
        checks=source.made("checks", all_of(lambda word, item: read_check(word, item, types)), ()),
        transform=source.made("transform", read_module, ""),
        comment=source.read("comment"),
    )
    if "columns" in source.entries:
        refuse_copies(source.entries["columns"], known, made.key)
    for part in (source, *([files] if "files" in source.entries else []), *([snapshot] if snapshot else [])):
        part.close()
    check_history(made, node)
    check_names(made, source)
    return made


def read_prefix(files: Entries) -> str:
    """The beginning of object names: nothing that could end a statement or reach outside it."""
    if not files.entries:
        return ""
    prefix = files.read("prefix")
    node = files.node_of("prefix")
    if (prefix and not re.fullmatch(r"[A-Za-z0-9_.\-=]+(/[A-Za-z0-9_.\-=]+)*/?", prefix)) or ".." in prefix:
        node.wrong(f"found `{prefix}`, expected words of letters, digits and `_ . - =` with slashes between, as `crm/customers/`")
    elif prefix and not prefix.endswith("/"):
        node.wrong(f"found `{prefix}`, expected a slash at its end: `{prefix}/`")
    elif not prefix and isinstance(node.value, str):
        node.wrong("found nothing, expected the folder of its files")
    return prefix


def read_module(node: Node) -> str:
    word = node.text()
    if word and not MODULE.fullmatch(word):
        node.wrong(f"found `{word}`, expected `transform_….py`'s name and a function: `transform_example:unchanged`")
        return ""
    return word


def check_derived(node: Node, columns: tuple[specs.Column, ...]) -> None:
    """Derived columns look at the others; a text of their own would be lost."""
    plain = [*(column.name for column in columns if not column.expression), *names.PROVENANCE]
    parsing = {column.name for column in columns if column.type not in ("text", "variant") and not column.expression}
    raw = {(column.received_as or column.name).lower() for column in columns if not column.expression} | {"record"}
    if not isinstance(node.value, dict):
        return
    for word, entry in node.value.items():
        if "expression" in entry.mapping():
            entry.mapping()["expression"].expression(plain)
            for other in ("from", "path", "clean", "map", "formats", "default", "bounds", "zone", "unreadable"):
                if other in entry.mapping():
                    entry.mapping()[other].wrong("a derived column has no text of its own; say it in the expression")
        if word.lower().endswith("_raw") and word.lower().removesuffix("_raw") in raw:
            entry.wrong(f"`{word}` is how Firn calls `{word[:-4]}` as it was received; give it another name")
        if word.lower().endswith("_received") and word.lower().removesuffix("_received") in parsing:
            entry.wrong(f"`{word}` is how Firn calls the text of `{word[: -len('_received')]}`; give it another name")


def check_history(made: specs.Source, node: Node) -> None:
    """What a source says of time and absence must fit together."""
    if made.effective_at and made.types().get(made.effective_at) not in ("timestamp", "date", "integer", None):
        place = node.mapping().get("effective_at", node)
        place.wrong(f"`{made.effective_at}` must be a timestamp, a date or an integer that counts")
    if made.remembers_absence and made.format != "json":
        node.mapping()["absent"].wrong("only of a JSON record is known what it does not hold; a file of rows fills in NULL")
    if made.is_snapshot and made.truncate_when:
        node.mapping()["truncate_when"].wrong("a snapshot tells by itself what is gone")


def check_names(made: specs.Source, source: Entries) -> None:
    """Checks that Firn makes of columns have names too; only one may quarantine by what came before it."""
    own = {f"{column.name}_is_given" for column in made.columns if column.required or column.name in made.key}
    own |= {f"{column.name}_is_{column.type.split('(')[0]}" for column in made.columns}
    checks = source.node_of("checks")
    for check in made.checks:
        if check.name in own:
            checks.mapping()[check.name].wrong("Firn's own check of the column has this name; give yours another")
    binding = [check.name for check in made.checks if check.test == "unique" and check.otherwise != "warn"]
    for name in binding[1:]:
        checks.mapping()[name].wrong(f"only one `unique` of a source may hold rows back, and `{binding[0]}` does; say `otherwise: warn`")
    for check in made.checks:
        if check.test == "unique" and check.otherwise == "stop":
            checks.mapping()[check.name].wrong("`unique` quarantines or warns; it does not stop a batch")


def read_column(name: str, node: Node) -> specs.Column:
    column = Entries(node, "column")
    type_name = column.read("type")
    mapping = column.read("map")
    made = specs.Column(
        name=name,
        type=type_name,
        path=column.made("path", read_path, ()),
        received_as=column.read("from"),
        clean=column.made("clean", read_cleanings, ()),
        mapping=mapping,
        otherwise=column.made("otherwise", text_or_null, None),
        has_otherwise="otherwise" in column.entries,
        formats=column.read("formats"),
        zone=column.made("zone", read_zone, "UTC"),
        keeps_unreadable=column.read("unreadable") == "null",
        bounds=column.read("bounds"),
        default=column.made("default", Node.text, None),
        expression=column.made("expression", Node.text, ""),  # judged when all columns are known
        required=column.read("required"),
        pii=column.read("pii"),
        comment=column.read("comment"),
    )
    column.close()
    check_column(made, column)
    return made


def check_column(made: specs.Column, column: Entries) -> None:
    """What a column says of its text must fit its type."""
    if made.has_otherwise and not made.mapping:
        column.node.wrong("`otherwise` says what a value outside `map` becomes, and there is no `map`")
    if "map" in column.entries and not made.mapping and isinstance(column.entries["map"].value, dict):
        column.entries["map"].wrong("found nothing, expected `text: text` pairs")
    for pattern in made.formats:
        if problem := problem_of(pattern, made.type):
            column.node_of("formats").wrong(problem)
    if made.zone != "UTC" and made.type != "timestamp":
        column.node_of("zone").wrong(f"only a timestamp is read by a clock; the column is of type {made.type}")
    if "path" in column.entries and made.received_as:
        column.node_of("from").wrong("`path` says already where the value stands")
    if any(made.bounds) and made.type in ("boolean", "variant"):
        column.node_of("bounds").wrong(f"a {made.type} has no lowest and highest")
    for end in made.bounds:
        if end is not None and constant(end, made.type) is None:
            column.node_of("bounds").wrong(f"found `{end}`, expected {made.type}")
    if made.clean and made.type == "variant":
        column.node_of("clean").wrong("a variant is kept as it is; clean columns made from it")


def read_path(node: Node) -> tuple[str | int, ...]:
    """Keys and places: `items[0].sku` is ("items", 0, "sku")."""
    word = node.text()
    if not word or not PATH.fullmatch(word) or "--" in word or "$$" in word:
        node.wrong(f"found `{word}`, expected keys with dots between and places in brackets, as `items[0].sku`")
        return ()
    return tuple(int(place) if place else key for place, key in STEP.findall(word))


def read_zone(node: Node) -> str:
    word = node.text()
    try:
        if word and re.fullmatch(r"[A-Za-z0-9_+\-/]{1,64}", word):
            return ZoneInfo(word).key
    except (OSError, ValueError, KeyError):
        pass
    node.wrong(f"found `{word}`, expected a zone of the IANA list, as `Europe/Berlin`")
    return "UTC"


def read_cleanings(node: Node) -> tuple[specs.Cleaning, ...]:
    items = node.value if isinstance(node.value, list) else [node]
    return tuple(made for item in items if (made := read_cleaning(item)))


def read_cleaning(node: Node) -> specs.Cleaning | None:
    """A word, or `word: what follows it`."""
    words = spec_keys.keys_of("cleaning")
    bare = [word for word, key in words.items() if key.kind == "bare"]
    if not isinstance(node.value, dict):
        word = node.text()
        if word in words and word not in bare:
            node.wrong(f"`{word}` needs what follows it, as `{{{word}: {words[word].example}}}`")
            return None
        if word and word not in words:
            node.wrong(unknown("cleaning", word, words))
        return specs.Cleaning(word) if word in bare else None
    if len(node.value) != 1:
        node.wrong("expected one `word: …` in braces")
        return None
    ((word, argument),) = node.value.items()
    if word not in words or word in bare:
        node.wrong(unknown("cleaning", word, words) if word not in words else f"nothing follows `{word}`")
        return None
    return specs.Cleaning(word, arguments_of(word, argument, words[word]))


def arguments_of(word: str, node: Node, key: spec_keys.Key) -> tuple[str, ...]:
    """What follows a cleaning's word; none of it may be empty, but what `replace` puts in."""
    if key.kind in ("words", "text"):
        found = node.words() if key.kind == "words" else (node.text(),)
        if not found or not all(found):
            node.wrong("found nothing, expected a text")
        return found
    part = Entries(node, key.part)
    found = tuple(str(part.read(name)) for name in part.keys)
    part.close()
    first = next(iter(part.keys))
    if first in part.entries and not found[0]:
        part.entries[first].wrong("found nothing, expected a text")
    if word == "split" and found[1] == "0":
        node.wrong("parts are counted from 1, or from the end from -1")
    if word == "replace":
        refuse_pattern(part.node_of("pattern"), found[0])
    return found


def text_or_null(node: Node) -> str | None:
    return None if node.value is None else node.text()
