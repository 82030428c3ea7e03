"""Retail data with known faults, and the truth about it.

    python -m ingest.generate FOLDER --customers 1000 --days 5 --seed 7

writes FOLDER/wave1/… and FOLDER/wave2/… with the files of four sources under the prefixes of
their bucket, and FOLDER/truth.json with what a pipeline must make of them.  The same arguments
give the same bytes, with the same releases of numpy, pyarrow and Faker.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import generate_customers, generate_orders
from ingest.generate_feed import Feed, Plan, Rates, picked, rows_of_day
from ingest.generate_others import inventory, web_events
from ingest.generate_pools import pools as make_pools
from ingest.generate_truth import TRACKED, WAVES, Truth, source_truth, state_after

__all__ = ["Rates", "Truth", "generate"]

HEADERS = {"customers": generate_customers.HEADER, "orders": generate_orders.HEADER}
FILE_NAMES = {
    "customers": "customers_{stamp}_{part:02d}.csv",
    "inventory": "inventory_{stamp}.json",
    "web_events": "events_{stamp}.parquet",
    "orders": "orders_{stamp}_{part:02d}.csv",
}
RESENT_PART = 99
UNCLOSED = '1,"never closed'
USUAL = Rates()


@dataclass(frozen=True)
class _File:
    feed: Feed
    wave: str
    path: Path  # below the folder
    records: np.ndarray
    line_end: str = "\n"
    is_finished: bool = True
    has_unclosed_quote: bool = False


def generate(
    folder: Path | str,
    seed: int = 7,
    customers: int = 1000,
    days: int = 5,
    start: str | date = "2024-03-01",
    *,
    rates: Rates = USUAL,
    tracked: Mapping[str, Sequence[str]] = TRACKED,
    **sizes: int | float,
) -> Truth:
    """Write two waves of files and `truth.json` into `folder`; give back the truth.

    `days` days of files make wave 1, from `start` on; wave 2 is the day after them, with what came
    late and two files sent again.  `tracked` are the columns whose changes open a version.
    `sizes` sets any other field of `Plan`, such as products=50.
    Files of an earlier run in `folder` are removed; a folder that holds other waves is refused.
    """
    if customers < 20 or days < 1:
        raise ValueError(f"customers={customers}, days={days}: at least 20 customers and 1 day are needed.")
    plan = Plan(customers=customers, days=days, start=date.fromisoformat(str(start)), **sizes)
    folder = Path(folder)
    _empty(folder)
    pools = make_pools(seed, plan.products)
    # A stream of random numbers for each feed: a change in one leaves the others as they are.
    streams = [np.random.default_rng([seed, number]) for number in range(2, 7)]
    makers = (generate_customers.customers, inventory, web_events, generate_orders.orders)
    # numpy and pyarrow do most of their work outside the GIL.
    with ThreadPoolExecutor(max_workers=2) as workers:
        made = workers.map(lambda maker, stream: maker(plan, rates, pools, stream), makers, streams[:4])
        feeds = {feed.name: feed for feed in made}
        files = _files(feeds, plan, rates, streams[4])
        list(workers.map(lambda file: _write(folder / file.path, file), files))
        states = list(workers.map(lambda wave: state_after(wave, feeds, plan, pools, tracked), WAVES))
    resent = [_send_again(folder, files, feeds[name], plan) for name in HEADERS]
    truth = Truth(
        parameters={
            "seed": seed,
            "customers": customers,
            "days": days,
            "start": str(plan.start),
            "plan": {name: value for name, value in asdict(plan).items() if name not in ("customers", "days", "start")},
            "rates": asdict(rates),
            "tracked": {name: list(columns) for name, columns in tracked.items()},
        },
        files=[_entry(file) for file in files] + resent,
        sources={
            name: source_truth(feed, days, sum(entry["rows"] for entry in resent if entry["source"] == name))
            for name, feed in feeds.items()
        },
        after=dict(zip(WAVES, states, strict=True)),
    )
    truth.write(folder / "truth.json")
    return truth


def _empty(folder: Path) -> None:
    old = [folder / wave for wave in WAVES if (folder / wave).exists()]
    if old and not (folder / "truth.json").exists():
        raise FileExistsError(
            f"{old[0]} exists and has no truth.json beside it, so it is not ours to replace. Nothing was written. Choose another folder."
        )
    for wave in old:
        shutil.rmtree(wave)
    folder.mkdir(parents=True, exist_ok=True)


def _files(feeds: Mapping[str, Feed], plan: Plan, rates: Rates, rng: np.random.Generator) -> list[_File]:
    """Every file of both waves, by source and day; the first day of a CSV source comes in two parts at least."""
    files = []
    for feed in feeds.values():
        for day in range(plan.days + 1):
            records = rows_of_day(feed, day, rng, rates.out_of_order)
            has_parts = feed.name in HEADERS
            parts = max(math.ceil(len(records) / plan.rows_per_file), 1 + (day == 0)) if has_parts else 1
            wave = WAVES[0] if day < plan.days else WAVES[1]
            for part, rows in enumerate(np.array_split(records, parts), start=1):
                name = FILE_NAMES[feed.name].format(stamp=plan.stamp(day), part=part)
                if len(rows):
                    files.append(_File(feed, wave, Path(wave, feed.prefix, name), rows))
    is_csv = np.array([file.feed.name in HEADERS for file in files])
    is_text = np.array([file.feed.lines is not None for file in files])
    crlf = picked(rng, is_csv, rates.crlf_files)
    unfinished = picked(rng, is_text, rates.unfinished_files)
    unclosed = picked(rng, is_csv, rates.unclosed_quotes)
    return [
        replace(
            file,
            line_end="\r\n" if crlf[number] else "\n",
            is_finished=not unfinished[number],
            has_unclosed_quote=bool(unclosed[number]),
        )
        for number, file in enumerate(files)
    ]


def _write(path: Path, file: _File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.feed.table is not None:
        pq.write_table(file.feed.table.take(pa.array(file.records)), path)
        return
    lines = file.feed.lines.take(pa.array(file.records))
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    body = pc.binary_join(whole, file.line_end)[0].as_buffer()
    with path.open("wb") as out:
        if file.feed.name in HEADERS:
            out.write((HEADERS[file.feed.name] + file.line_end).encode())
        out.write(body)
        if file.has_unclosed_quote:
            out.write(f"{file.line_end}{UNCLOSED}".encode())
        if file.is_finished:
            out.write(file.line_end.encode())


def _send_again(folder: Path, files: Sequence[_File], feed: Feed, plan: Plan) -> dict:
    """Copy the first file of the second day (the first, if there is one day) into wave 2 under a new name."""
    stamp = plan.stamp(min(1, plan.days - 1))
    original = next(file for file in files if file.feed is feed and stamp in file.path.name)
    name = FILE_NAMES[feed.name].format(stamp=plan.stamp(plan.days), part=RESENT_PART)
    path = Path(WAVES[1], feed.prefix, name)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / original.path, folder / path)
    return _entry(original) | {"wave": WAVES[1], "path": path.as_posix(), "same_as": original.path.as_posix()}


def _entry(file: _File) -> dict:
    return {"wave": file.wave, "source": file.feed.name, "path": file.path.as_posix(), "rows": len(file.records)} | (
        {"rejected": 1} if file.has_unclosed_quote else {}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ingest.generate", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", default="2024-03-01", help="day of the first files, YYYY-MM-DD")
    given = parser.parse_args(arguments)
    truth = generate(given.folder, given.seed, given.customers, given.days, given.start)
    for source, waves in truth.sources.items():
        for wave, counts in waves.items():
            print(
                f"{source:<11} {wave}  {counts['rows']:>9,} rows = {counts['events']:>9,} events"
                f" + {counts['duplicates']:>6,} duplicate + {counts['quarantined']:>6,} quarantined"
            )
    print(f"{given.folder / 'truth.json'} says what they come to.")


if __name__ == "__main__":
    main()
