"""`firn validate FILE`: everything that is wrong with a pipeline file, at once, without an account."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.place import ROOT, Place

if str(ROOT / "procedures") not in sys.path:
    sys.path.append(str(ROOT / "procedures"))

if TYPE_CHECKING:
    from spec_nodes import Problem
    from specs import Pipeline


def add(commands: Any) -> None:
    text = "what is wrong with pipeline files: line, place, what was found and expected"
    one = commands.add_parser("validate", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("files", nargs="+", type=Path, metavar="FILE")


def run(place: Place, arguments: argparse.Namespace) -> int:
    failed = 0
    for file in arguments.files:
        try:
            found = read(file)
        except Refused as e:
            print(e, file=sys.stderr)
            failed += 1
            continue
        parts = (("source", found.sources), ("dimension", found.dimensions), ("fact", found.facts), ("KPI", found.kpis))
        counts = ", ".join(f"{len(items)} {word}{'s' if len(items) != 1 else ''}" for word, items in parts if items)
        print(f"{file}: pipeline {found.name}: {counts}; nothing is wrong with it")
    return 1 if failed else 0


class Refused(Exception):
    """Told to the user as it is: one line for each problem."""


def read(file: Path) -> Pipeline:
    """The pipeline of a file; raises Refused with everything that is wrong."""
    from spec_file import SpecRefused, parse

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as e:
        raise Refused(f"{file}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise Refused(f"{file}: is no text in UTF-8 (byte {e.start})") from None
    try:
        pipeline = parse(text, str(file))
    except SpecRefused as e:
        count = len(e.problems)
        raise Refused(f"{e}\n{file}: {count} problem{'s' if count > 1 else ''}") from None
    if problems := [*missing_functions(pipeline, text), *unparsed(pipeline, text)]:
        raise Refused(str(SpecRefused(str(file), problems)))
    return pipeline


def line_of(text: str, what: str) -> int:
    """The line on which a text first stands."""
    head = text.partition(what)[0] if what in text else ""
    return head.count("\n") + 1


def missing_functions(pipeline: Pipeline, text: str) -> list[Problem]:
    """Transforms whose module or function is not among the procedures."""
    import ast

    from spec_nodes import Problem

    found = []
    for source in pipeline.sources:
        module, _, function = source.transform.partition(":")
        path = ROOT / "procedures" / f"{module}.py"
        if not source.transform:
            continue
        message = ""
        if not path.is_file():
            message = f"procedures/{module}.py is not there"
        elif function not in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}:
            message = f"procedures/{module}.py has no function `{function}`"
        if message:
            found.append(Problem(f"sources.{source.name}.transform", line_of(text, source.transform), message))
    return found


def unparsed(pipeline: Pipeline, text: str) -> list[Problem]:
    """Expressions whose words are right and whose order is not: Snowflake's grammar, as sqlglot has it, refuses them."""
    import sqlglot
    from spec_nodes import Problem
    from sqlglot.errors import SqlglotError

    found = []
    for path, expression in expressions_of(pipeline):
        try:
            trees = sqlglot.parse(f"SELECT ({expression})", dialect="snowflake")
        except (SqlglotError, RecursionError) as e:
            said = getattr(e, "errors", None) or [{"description": "too deep"}]
            found.append(Problem(path, line_of(text, expression.split("\n")[0][:40]), f"`{expression[:80]}`: {said[0]['description']}"))
            continue
        if len(trees) != 1:
            found.append(Problem(path, line_of(text, expression[:40]), f"`{expression[:80]}` is more than one expression"))
    return found


def expressions_of(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Every expression of a file with its place."""
    found = []
    for source in pipeline.sources:
        here = f"sources.{source.name}"
        found += [(f"{here}.{word}", text) for word, text in (("delete_when", source.delete_when), ("truncate_when", source.truncate_when))]
        found += [(f"{here}.columns.{column.name}.expression", column.expression) for column in source.columns]
        found += [(f"{here}.checks.{check.name}", check.expect) for check in source.checks]
    for fact in pipeline.facts:
        found += [(f"facts.{fact.name}.where", fact.where)]
        found += [(f"facts.{fact.name}.measures.{measure.name}", measure.expression) for measure in fact.measures]
    for kpi in pipeline.kpis:
        found += [(f"kpis.{kpi.name}.where", kpi.where)]
        found += [(f"kpis.{kpi.name}.measures.{measure.name}", measure.expression) for measure in kpi.measures]
    return [(path, text) for path, text in found if text]
