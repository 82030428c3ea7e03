"""What the README and the docs say can be typed is there to be typed. The commands themselves run in tests/flow/test_demo.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from local.cli import parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> list[str]:
    return re.findall(r"^\$ (.+)$", text, re.MULTILINE)


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {c.split()[1] for page in PAGES for c in commands(page.read_text()) if c.startswith("make ")}

    assert named and named <= targets


def test_every_firn_command_named_is_one_the_parser_takes():
    named = [c for page in PAGES for c in commands(page.read_text()) if ".venv/bin/firn" in c]
    assert named
    for command in named:
        words = re.findall(r'"[^"]*"|\S+', command.split(".venv/bin/firn", 1)[1])
        parser().parse_args([w.strip('"') for w in words])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_and_file_named_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:local|app|tests|procedures|setup_sql|ingest)/[\w*./]+)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_the_excerpt_of_the_pipeline_file_says_what_the_file_says():
    excerpt = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1])
    whole = yaml.safe_load((ROOT / "app" / "pipelines" / "retail.yml").read_text())

    def within(part, full):
        if isinstance(part, dict):
            return all(key in full and within(value, full[key]) for key, value in part.items())
        return part == full

    assert within(excerpt, whole)
