"""docs/guarantees.md names tests; each of them exists, and each rule it answers for is spoken of."""

from __future__ import annotations

import ast
import re

import pytest

from local.place import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_a_test():
    promises = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]

    assert len(promises) >= 13
    assert all("::" in line or "the same test" in line for line in promises)
