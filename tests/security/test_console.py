"""The operators' page shows values of files that nobody has vouched for: never as HTML."""

from __future__ import annotations

import ast

import pytest

from local.rig import ROOT

PAGES = sorted((ROOT / "app" / "console").glob("*.py"))
DRAWN_AS_HTML = {"html", "iframe", "components", "declare_component", "echo"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_drawn_as_html(page):
    calls = [node for node in ast.walk(ast.parse(page.read_text())) if isinstance(node, ast.Call)]

    raw = [node.lineno for node in calls for word in node.keywords if word.arg == "unsafe_allow_html" and getattr(word.value, "value", True)]
    html = [node.lineno for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr in DRAWN_AS_HTML]
    assert (raw, html) == ([], [])


def test_there_are_pages():
    assert len(PAGES) >= 4
