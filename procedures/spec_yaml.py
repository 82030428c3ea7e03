"""From the text of a file to nodes that know their place.  What could harm a reader of YAML is refused on the way."""

from dataclasses import replace

import yaml
from spec_nodes import Node, Problem, SpecRefused

LARGEST = 4_000_000  # characters; a file of 200 sources with 50 columns each has a fifth of it
DEEPEST = 20
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
HARMFUL = "anchors, aliases and tags are not used here"


def read_yaml(text: str, file: str, problems: list[Problem]) -> Node:
    """The file as nodes.  Aliases are refused (a few lines of them can stand for gigabytes), and so are repeated keys."""
    if len(text) > LARGEST:
        raise SpecRefused(file, [Problem("pipeline", 1, f"the file has {len(text):,} characters; {LARGEST:,} may be read")])
    try:
        root = nodes(text.removeprefix("\ufeff"), file, problems)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecRefused(file, [Problem("pipeline", line, f"not YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, UnicodeEncodeError) as error:  # a character that no text has
        line = text.count("\n", 0, getattr(error, "position", getattr(error, "start", 0)) or 0) + 1
        raise SpecRefused(file, [Problem("pipeline", line, "not YAML: a character that may not stand in a text")]) from error
    if root is None or not isinstance(root.value, dict):
        raise SpecRefused(file, [Problem("pipeline", 1, "expected `pipeline: name` and what it consists of")])
    return root


def nodes(text: str, file: str, problems: list[Problem]) -> Node | None:
    """The first document of the text; without recursion, so that depth can do no harm."""
    open_nodes: list[Node] = []
    open_keys: list[tuple[str, int] | None] = []  # of each open mapping, the key that waits for its value
    root: Node | None = None
    for event in yaml.parse(text, Loader=LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise SpecRefused(file, [Problem("pipeline", line, HARMFUL)])
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise SpecRefused(file, [Problem("pipeline", line, "a second document begins; a file declares one pipeline")])
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            open_keys.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        parent = open_nodes[-1] if open_nodes else None
        if parent is not None and isinstance(parent.value, dict) and open_keys[-1] is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise SpecRefused(file, [Problem(parent.path or "pipeline", line, "expected a word before the colon")])
            open_keys[-1] = (event.value, line)
            continue
        node = Node(value_of(event), "", line, problems)
        if parent is None:
            root = node
        else:
            node = placed(node, parent, open_keys)
        if not isinstance(event, yaml.ScalarEvent):
            if len(open_nodes) >= DEEPEST:
                raise SpecRefused(file, [Problem(node.path, line, f"more than {DEEPEST} levels deep")])
            open_nodes.append(node)
            open_keys.append(None)
    return root


def value_of(event: yaml.NodeEvent) -> dict[str, Node] | list[Node] | str | None:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    is_plain = event.implicit[0]
    return None if is_plain and event.value in ("", "null", "~") else event.value


def placed(node: Node, parent: Node, open_keys: list[tuple[str, int] | None]) -> Node:
    """The node in its parent, with its path and the line of its key."""
    if isinstance(parent.value, list):
        made = replace(node, path=f"{parent.path}[{len(parent.value)}]")
        parent.value.append(made)
        return made
    assert isinstance(parent.value, dict) and open_keys[-1] is not None
    word, line = open_keys[-1]
    open_keys[-1] = None
    made = replace(node, path=f"{parent.path}.{word}" if parent.path else word, line=line)
    if word in parent.value:
        made.wrong("stands here a second time")
    parent.value[word] = made
    return made
