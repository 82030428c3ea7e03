"""`firn drill` from the command line."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from local.place import Place


def add(commands: Any) -> None:
    text = "fail at every statement of a pipeline's run, run it again, and compare all tables with an undisturbed run"
    one = commands.add_parser("drill", help=text, description=text + ". Needs no running account: it makes one of its own and removes it.")
    one.set_defaults(run=drill)
    one.add_argument("pipeline", type=Path, help="a pipeline file: app/pipelines/retail.yml")
    one.add_argument("--files", type=Path, metavar="FOLDER", help="files under the prefixes of the sources; without it rows are made up from the columns")
    one.add_argument("--rows", type=int, default=20, help="made-up rows of each source in each batch (default 20)")
    one.add_argument("--every", action="store_true", help="a restart to the end after every point, not after chosen ones")
    one.add_argument("--batch", type=int, help="only the points of this batch; the ones before it run undisturbed")
    one.add_argument("--kills", type=int, default=25, metavar="N", help="at every Nth death kill the sandbox process in earnest (default 25, 0: never)")


def drill(place: Place, arguments: argparse.Namespace) -> int:
    from local import drill as drilling
    from local import drill_rows
    from local.rig import Rig, spec_file

    logging.getLogger("firn").setLevel(logging.CRITICAL)  # the failures are on purpose
    try:
        text = arguments.pipeline.read_text(encoding="utf-8")
        pipeline = spec_file.parse(text, arguments.pipeline.name)
        batches = drill_rows.from_files(pipeline, arguments.files) if arguments.files else drill_rows.made_up(pipeline, arguments.rows)
    except (OSError, ValueError) as error:
        print(f"firn: {error}", file=sys.stderr)
        return 2
    plan = drilling.Plan(arguments.every, arguments.kills, frozenset({arguments.batch}) if arguments.batch else None)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firn-drill-") as folder, Rig(Path(folder) / "account", text) as rig:
        done = drilling.drill(rig, batches, plan, lambda line: print(line, flush=True))
        print(f"{pipeline.name}: {drill_rows.counted(rig, batches)}")
    tried, left = (", ".join(f"{count} {word}" for word, count in sorted(counts.items())) for counts in (done.points, done.left))
    print(f"{done.points.total()} points at {done.statements} statements ({tried}), {time.monotonic() - start:.0f} s")
    print(f"the tables were left {left} the step; {done.restarts} restarts to the end")
    if done.different or done.unreached:
        print(f"{len(done.different)} points ended otherwise than the undisturbed run, {len(done.unreached)} were not reached")
        return 1
    print("no differences: each step was done or not done, and after every restart all tables are as after the undisturbed run")
    return 0
