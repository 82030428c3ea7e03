"""The examples of a pipeline file: rows given, rows expected.  Texts stay texts, as they would stand in a file."""

from collections.abc import Mapping

import specs
from expressions import unknown
from spec_nodes import Entries, Node

Rows = tuple[Mapping[str, str | None], ...]


def read_examples(node: Node, pipeline: specs.Pipeline) -> tuple[specs.Example, ...]:
    if not isinstance(node.value, list):
        node.wrong("expected a list of `- name: …` with `given` and `expect`")
        return ()
    return tuple(read_example(item, pipeline) for item in node.value)


def read_example(node: Node, pipeline: specs.Pipeline) -> specs.Example:
    example = Entries(node, "test")
    made = specs.Example(
        name=example.read("name"),
        given=example.made("given", lambda item: read_given(item, pipeline), ()),
        expect=example.made("expect", lambda item: read_expected(item, pipeline), {}),
        line=node.line,
    )
    example.close()
    return made


def read_given(node: Node, pipeline: specs.Pipeline) -> tuple[Mapping[str, Rows], ...]:
    """Batches: the first lists of all sources come together, then the second ones."""
    sources = {source.name: source for source in pipeline.sources}
    batches: list[dict[str, Rows]] = []
    for word, entry in node.mapping().items():
        if word not in sources:
            entry.wrong(unknown("source", word, sources))
            continue
        items = entry.value if isinstance(entry.value, list) else []
        if not isinstance(entry.value, list):
            entry.wrong("expected a list of rows")
        cut = items if items and all(isinstance(item.value, list) for item in items) else [entry]
        for number, batch in enumerate(cut):
            while len(batches) <= number:
                batches.append({})
            batches[number][word] = rows_of(batch)
    return tuple(batches)


def rows_of(node: Node) -> Rows:
    if not isinstance(node.value, list):
        node.wrong("expected a list of rows, `[{column: value, …}, …]`")
        return ()
    return tuple({word: plain(value) for word, value in item.mapping().items()} for item in node.value)


def plain(node: Node) -> str | None:
    """A value as text; what has a structure as JSON."""
    if node.value is None or isinstance(node.value, str):
        return node.value
    import json

    return json.dumps(structure(node))


def structure(node: Node) -> object:
    if isinstance(node.value, dict):
        return {word: structure(value) for word, value in node.value.items()}
    return [structure(item) for item in node.value] if isinstance(node.value, list) else node.value


def read_expected(node: Node, pipeline: specs.Pipeline) -> Mapping[str, Rows]:
    tables = {item.silver for item in pipeline.sources} | {"quarantine"}
    tables |= {item.table for item in (*pipeline.dimensions, *pipeline.facts, *pipeline.kpis)}
    found = {}
    for word, entry in node.mapping().items():
        if word not in tables:
            entry.wrong(unknown("table", word, tables))
        found[word] = rows_of(entry)
    return found
