"""`firn extract` and `firn land`: what brings files to S3, from the command line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.place import Place


def add(commands: Any) -> None:
    one = commands.add_parser("extract", help="Postgres → S3: the rows that are new, as one object", description="Postgres → S3.")
    one.set_defaults(run=extract)
    one.add_argument("table", help="schema.table, as Postgres spells it")
    one.add_argument("--column", required=True, help="tells when a row changed: a timestamp, or an xid8 with --by xid")
    one.add_argument("--by", choices=["activity", "xid", "overlap"], default="activity", help="how open transactions are waited for")
    one.add_argument("--overlap", type=float, default=3600, metavar="SECONDS", help="read again with --by overlap (default 3600)")
    one.add_argument("--format", choices=["csv.gz", "csv", "parquet"], default="csv.gz")
    one.add_argument("--daily", action="store_true", help="one object per whole day of the column, named YYYY-MM-DD")
    one.add_argument("--zone", default="UTC", help="wall clock of a column without time zone (default UTC)")
    one.add_argument("--accept-columns", action="store_true", help="go on although a column is gone since the last extract")
    one.add_argument("--dsn", default="", help="where Postgres is (default: PGHOST, PGUSER, PGPASSWORD, ~/.pgpass)")
    bucket(one)
    mover = commands.add_parser(
        "land", help="folder → S3: files at rest are uploaded, verified, moved to done/", description="Folder → S3."
    )
    mover.set_defaults(run=land)
    mover.add_argument("folder", type=Path)
    mover.add_argument("--settle", type=float, default=5, metavar="SECONDS", help="a file at rest so long is finished (default 5)")
    mover.add_argument("--watch", action="store_true", help="go on until interrupted")
    bucket(mover)


def bucket(one: argparse.ArgumentParser) -> None:
    one.add_argument("--bucket", required=True)
    one.add_argument("--prefix", default="", help="of the source, with its slash: shop/orders/")
    one.add_argument("--local", action="store_true", help="the local account's S3 instead of AWS")


def client(place: Place, arguments: argparse.Namespace) -> Any:
    """S3 of the local account, or of AWS by the user's own settings."""
    if arguments.local:
        return place.s3().client("s3")
    import boto3

    return boto3.client("s3")


def extracted(place: Place, words: list[str]) -> Any:
    """`firn extract` with these words, for the demo and the tests: what was done instead of lines."""
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    return carried_out(place, parser.parse_args(["extract", *words]))


def carried_out(place: Place, arguments: argparse.Namespace) -> Any:
    from ingest import extract as extracting

    job = extracting.Job(
        arguments.table, arguments.column, arguments.bucket, arguments.prefix, arguments.by, arguments.format, arguments.daily,
        timedelta(seconds=arguments.overlap), zone=arguments.zone, accept_columns=arguments.accept_columns,
    )  # fmt: skip
    with extracting.connect(arguments.dsn) as connection:
        return extracting.extract(connection, client(place, arguments), job)


def extract(place: Place, arguments: argparse.Namespace) -> int:
    def run() -> int:
        done = carried_out(place, arguments)
        for sent in done.objects:
            print(f"sent {sent.size:,} bytes to s3://{arguments.bucket}/{sent.key}")
        print(
            f"{done.rows:,} rows   {arguments.column} up to {done.watermark or 'nothing yet'}"
            + (f", held back by {done.held_by}" * bool(done.held_by))
        )
        if done.new_columns:
            print(f"new columns: {', '.join(done.new_columns)}")
        return 0

    return told(run)


def land(place: Place, arguments: argparse.Namespace) -> int:
    from ingest import land as landing

    def run() -> int:
        s3 = client(place, arguments)
        while True:
            done = landing.land(arguments.folder, s3, arguments.bucket, arguments.prefix, arguments.settle)
            for word, names in (("sent", done.sent), ("was there already", done.was_there)):
                for name in names:
                    print(f"{word}: {name}", flush=True)
            for reason in done.kept.values():
                print(f"kept: {reason}", file=sys.stderr, flush=True)
            if not arguments.watch:
                print(f"{len(done.sent) + len(done.was_there)} in S3, {len(done.waiting)} still changing, {len(done.kept)} kept")
                return 1 if done.kept else 0
            time.sleep(1)

    return told(run)


def told(run: Callable[[], int]) -> int:
    from ingest.upload import Refused

    try:
        return run()
    except Refused as e:
        print(f"firn: {e}", file=sys.stderr)
        return 1
