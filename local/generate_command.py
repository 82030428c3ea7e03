"""`firn generate`: the files of the demo, any volume, with their truth."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from local.place import NotRunning, Place


def add(commands: Any) -> None:
    text = "seeded files of customers, stock, events and orders with known faults, and truth.json: what must come of them"
    one = commands.add_parser("generate", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("folder", type=Path)
    one.add_argument("--customers", type=int, default=1000)
    one.add_argument("--days", type=int, default=5)
    one.add_argument("--seed", type=int, default=7)
    one.add_argument("--start", default="2024-03-01", help="day of the first files, YYYY-MM-DD")


def run(place: Place, arguments: argparse.Namespace) -> int:
    from ingest.generate import generate

    start = time.perf_counter()
    try:
        truth = generate(arguments.folder, arguments.seed, arguments.customers, arguments.days, arguments.start)
    except (ValueError, OSError) as e:
        raise NotRunning(str(e)) from e
    rows = sum(counts["rows"] for waves in truth.sources.values() for counts in waves.values())
    print(f"{rows:,} rows in {len(truth.files)} files in {time.perf_counter() - start:.1f} s; {arguments.folder / 'truth.json'} says what they come to")
    return 0
