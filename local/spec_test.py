"""`firn test FILE`: the examples of a pipeline file, run on an account of their own; and the comparison of rows with what is expected."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.place import NotRunning, Place

if TYPE_CHECKING:
    from specs import Example, Pipeline

    from local.rig import Rig

Row = Mapping[str, Any]


def add(commands: Any) -> None:
    text = "run the examples of a pipeline file (its `tests:`) on an account that is made for them"
    one = commands.add_parser("test", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("file", type=Path, metavar="FILE")


def run(place: Place, arguments: argparse.Namespace) -> int:
    from local import spec_validate

    try:
        pipeline = spec_validate.read(arguments.file)
    except spec_validate.Refused as e:
        raise NotRunning(str(e)) from None
    if not pipeline.tests:
        print(f"{arguments.file}: no examples; docs/new-pipeline.md shows how one is written")
        return 0
    failed = 0
    for example, wrong in results(pipeline, arguments.file.read_text(encoding="utf-8")):
        print(f"{'failed' if wrong else 'passed'}  {example.name}  ({arguments.file}:{example.line})")
        for line in wrong:
            print(f"        {line}")
        failed += bool(wrong)
    print(f"{len(pipeline.tests) - failed} of {len(pipeline.tests)} examples hold")
    return 1 if failed else 0


def results(pipeline: Pipeline, text: str) -> list[tuple[Example, list[str]]]:
    """Each example with what is wrong; one account serves them all, emptied in between."""
    from local.rig import Rig

    found = []
    with tempfile.TemporaryDirectory(prefix="firn-test-") as folder, Rig(Path(folder) / "account", spec=text) as rig:
        for number, example in enumerate(pipeline.tests):
            if number:
                start_again(rig, text)
            for batch in example.given:
                for source, rows in batch.items():
                    rig.load(source, [shaped(row, rig, source) for row in rows], content_key=f"{number}/{rig.clock}")
                rig.run()
            found.append((example, differences(rig, example)))
    return found


def start_again(rig: Rig, text: str) -> None:
    """The pipeline without its data, bronze empty."""
    rig.call("config.drop_pipeline", rig.pipeline.name, True)
    for source in rig.pipeline.sources:
        rig.answer(f"DELETE FROM firn_landing.bronze.{source.name}")
    rig.call("config.apply_spec", text)


def shaped(row: Row, rig: Rig, source: str) -> dict[str, Any]:
    """A row given by the names of columns, as a file of its source would have it."""
    import json

    found = rig.pipeline.source(source)
    names = {column.name: column.received_as or column.name for column in found.columns}
    if found.format != "json":
        return {names.get(name, name): value for name, value in row.items()}
    record: dict[str, Any] = {}
    paths = {column.name: column.path or (names[column.name],) for column in found.columns}
    for name, value in row.items():
        plain = json.loads(value) if isinstance(value, str) and value[:1] in "[{" and value else value
        put(record, paths.get(name, (name,)), plain)
    return record


def put(record: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    """Sets a value deep in a document; places in lists are made as they are needed."""
    here: Any = record
    for step, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(step, int):
            while len(here) <= step:
                here.append(None)
        if following is None:
            here[step] = value
        else:
            made: Any = [] if isinstance(following, int) else {}
            known = here[step] if isinstance(step, int) else here.get(step)
            here[step] = made if known is None else known
            here = here[step]


def differences(rig: Rig, example: Example) -> list[str]:
    """What the tables do not have of the rows expected, and what they have besides."""
    wrong = []
    for table, rows in example.expect.items():
        found = quarantined(rig) if table == "quarantine" else contents(rig, table)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if missing := [name for name in columns if found and name not in found[0]]:
            wrong.append(f"{table} has no column {', '.join(missing)}; it has {', '.join(found[0])}")
            continue
        left = [shown(row, columns) for row in found]
        for row in rows:
            wanted = shown(row, columns)
            if wanted in left:
                left.remove(wanted)
            else:
                wrong.append(f"{table}: expected {text_of(wanted, columns)}, and it is not there")
        wrong += [f"{table}: {text_of(row, columns) or text_of(shown(found[0], list(found[0])), list(found[0]))} is there, and nobody expected it" for row in left]
    return wrong


def contents(rig: Rig, table: str) -> list[dict[str, Any]]:
    """A table's rows; members of dimensions that stand for nobody are left out."""
    rows = rig.query(f"SELECT * FROM {table}")
    return [row for row in rows if not any(name.endswith("_version_key") and isinstance(value, int | Decimal) and value < 0 and "valid_from" in row for name, value in row.items())]


def quarantined(rig: Rig) -> list[dict[str, Any]]:
    """One row per failed check of a row that waits."""
    import json

    rows = rig.query("SELECT source, failed_checks, row_number FROM control.quarantine WHERE status = 'waiting'")
    return [
        {"source": row["source"], "check": check, "row_number": row["row_number"]}
        for row in rows
        for check in (json.loads(row["failed_checks"]) if isinstance(row["failed_checks"], str) else row["failed_checks"])
    ]


def shown(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(plain(row.get(name)) for name in columns)


def plain(value: Any) -> Any:
    """A value as it compares: numbers by what they are, the rest as text; midnight is its day."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).removesuffix(" 00:00:00").replace("T00:00:00", "")
    try:
        return Decimal(text).normalize()
    except InvalidOperation:
        return text


def text_of(row: tuple[Any, ...], columns: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(columns, row, strict=True))
