"""Loaders, runners and accidents at once: what arrives late, out of order, in pieces, twice, or only the second time.

A storm is a list of deliveries of files.  A delivery is read under one stamp and committed in up to four pieces, while others are open;
some pieces are lost and their file is delivered again; some files come twice, under their own name or another; some stamps are hours
early.  Between the pieces one or two runners run, and some die.  What a row is follows from its number, so that every row can be counted.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from snowflake.connector.errors import Error

from local.failpoints import FailPoint, watched
from local.rig import Rig

SPEC = """
pipeline: storm
schedule: 10 seconds
retention: {bronze: 1 day, log: 90 days}
sources:
  readings:
    files: {prefix: readings/, format: csv}
    key: [sensor_no]
    effective_at: read_at
    overlap: 1 hour
    columns:
      reading_no: {type: integer}
      sensor_no:  {type: integer}
      level:      {type: integer}
      read_at:    {type: timestamp}
    checks:
      level_is_a_number: level is not null
dimensions:
  dim_sensor: {from: readings, tracked: [level]}
"""
PER_FILE = 250
BAD_EVERY = 50  # every so many-th reading has no number for a level
RETENTION = dt.timedelta(days=1)


@dataclass
class Outcome:
    """Rows of the storm against rows of the account."""

    delivered: int = 0  # rows ever committed to bronze, repeats among them
    lost: int = 0
    doubled: int = 0
    waiting_lost: int = 0
    waiting_doubled: int = 0
    read: int = 0  # what the log says was read
    entered: int = 0  # what the ledger says
    left_in_bronze: int = 0  # past retention
    runs: int = 0
    deaths: int = 0
    unbalanced: int = 0
    history_differs: int = 0

    @property
    def is_exact(self) -> bool:
        wrong = (self.lost, self.doubled, self.waiting_lost, self.waiting_doubled, self.left_in_bronze, self.unbalanced, self.history_differs)
        return not any(wrong) and self.read == self.entered == self.delivered


@dataclass
class Delivery:
    """A file on its way: the pieces still to come, and whether it will be given up half way."""

    file: int
    name: str
    stamp: dt.datetime
    pieces: list[tuple[int, int]]
    is_given_up: bool = False
    open_piece: Any = None  # a transaction that has inserted and not committed
    rows: int = 0


@dataclass
class Storm:
    rig: Rig
    rows: int
    made: random.Random
    clock: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0) - 2 * RETENTION)
    pace: dt.timedelta = dt.timedelta()
    under_way: list[Delivery] = field(default_factory=list)
    done: Outcome = field(default_factory=Outcome)

    @property
    def swept_to(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None) - RETENTION + dt.timedelta(minutes=15)

    def ahead(self) -> list[tuple[int, str, bool]]:
        """Deliveries to come: every file once in full, some besides it twice or given up."""
        files = range(self.rows // PER_FILE)
        all_of_them = [(file, "", False) for file in files]
        all_of_them += [(file, "", False) for file in self.made.sample(files, len(files) // 10)]
        all_of_them += [(file, "_copy", False) for file in self.made.sample(files, len(files) // 10)]
        all_of_them += [(file, "", True) for file in self.made.sample(files, len(files) // 10)]
        self.made.shuffle(all_of_them)
        return all_of_them

    def tick(self, ahead: list[tuple[int, str, bool]]) -> None:
        """One thing a loader does: begin a file, insert a piece, or commit one."""
        self.clock += self.pace
        if ahead and (len(self.under_way) < 4 or self.made.random() < 0.05):
            file, suffix, is_given_up = ahead.pop()
            early = dt.timedelta(hours=3) if self.made.random() < 0.05 else dt.timedelta()
            stamp = self.clock - early
            # A piece that is committed when the sweep has been over the rest of its load is a story of its own: see test_storms.
            inner = self.made.sample(range(1, PER_FILE), self.made.randrange(4)) if stamp > self.swept_to else []
            cuts = sorted({0, PER_FILE, *inner})
            pieces = list(itertools.pairwise(cuts))
            self.under_way.append(Delivery(file, f"readings/{file:05d}{suffix}.csv", stamp, pieces, is_given_up))
            return
        delivery = self.made.choice(self.under_way)
        if delivery.open_piece is None:
            self.insert(delivery)
        else:
            self.end(delivery)

    def insert(self, delivery: Delivery) -> None:
        start, stop = delivery.pieces.pop(0)
        delivery.open_piece = self.rig.account.duck.duck_conn.cursor()
        delivery.open_piece.begin()
        delivery.open_piece.execute(
            "INSERT INTO firn_landing.bronze.readings (reading_no, sensor_no, level, read_at, _file_name, _row_number, _content_key, _modified_at, _loaded_at) "
            "SELECT n::VARCHAR, (n % 499)::VARCHAR, CASE WHEN n % ? = 0 THEN 'none' ELSE (n % 7)::VARCHAR END, "
            "strftime(TIMESTAMP '2023-01-01' + to_seconds((n * 7919) % 1000000), '%Y-%m-%d %H:%M:%S'), ?, n - ? + 1, ?, ?, ? FROM range(?, ?) AS r (n)",
            [BAD_EVERY, delivery.name, delivery.file * PER_FILE, f"content {delivery.file}", delivery.stamp, delivery.stamp,
             delivery.file * PER_FILE + start, delivery.file * PER_FILE + stop],
        )  # fmt: skip
        delivery.rows = stop - start

    def end(self, delivery: Delivery) -> None:
        if delivery.is_given_up and self.made.random() < 0.5:
            delivery.open_piece.rollback()  # the loader died; what it committed before stays
            delivery.pieces = []
        else:
            delivery.open_piece.commit()
            self.done.delivered += delivery.rows
        delivery.open_piece.close()
        delivery.open_piece = None
        if not delivery.pieces:
            self.under_way.remove(delivery)

    def round(self) -> None:
        """One or two runners, or a runner and a sweep, at once; some of them die."""
        others = self.made.choice([[], [self.rig.run], [self.rig.run], [lambda: self.rig.step("sweep")]])
        point = None
        if self.made.random() < 0.5:
            point = FailPoint(self.made.randrange(1, 50), self.made.choice(["die", "die", "die", "die", "error", "kill"]), self.made.random() < 0.5)
        with watched(self.rig.account, point) as watch:
            at_once([self.rig.run, *others])
        self.done.runs += 1 + len(others)
        self.done.deaths += watch.has_struck


def at_once(calls: list[Callable[[], Any]]) -> None:
    """Calls in threads of their own, begun together; one that fails has done its worst already."""
    together = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> None:
        together.wait()
        try:
            call()
        except Error:
            pass

    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def storm(rig: Rig, rows: int, seed: int, rounds: int = 16, afterwards: Callable[[], Any] = lambda: None) -> Outcome:
    """Lets a storm of so many rows pass, runs until nothing is new, and counts.  `afterwards` is done after each round."""
    whole = Storm(rig, rows, random.Random(seed))
    ahead = whole.ahead()
    whole.pace = 2 * RETENTION / (len(ahead) * 5)
    ticks, every = 0, max(1, len(ahead) * 6 // rounds)
    while ahead or whole.under_way:
        whole.tick(ahead)
        ticks += 1
        if ticks % every == 0:
            whole.round()
            afterwards()
    for _ in range(4):  # early stamps are found by one run's sweep and taken by the next
        at_once([rig.run])
        afterwards()
    return counted(whole)


def counted(whole: Storm) -> Outcome:
    rig, done = whole.rig, whole.done
    bad = whole.rows // BAD_EVERY

    def one(sql: str) -> tuple[int, ...]:
        return tuple(int(value or 0) for value in rig.duck(sql)[0])

    silver, distinct = one("SELECT count(*), count(DISTINCT reading_no) FROM FIRN.silver.readings")
    waiting, waiting_distinct = one("SELECT count(*), count(DISTINCT quarantine_id) FROM FIRN.control.quarantine")
    done.lost, done.doubled = whole.rows - bad - distinct, silver - distinct
    done.waiting_lost, done.waiting_doubled = bad - waiting_distinct, waiting - waiting_distinct
    log = "FROM FIRN.control.pipeline_log WHERE step = 'load readings' AND status = 'succeeded'"
    (done.read,) = one(f"SELECT sum(rows_read) {log}")
    (done.unbalanced,) = one(f"SELECT count(*) {log} AND rows_read <> rows_written + rows_duplicate + rows_superseded + rows_quarantined + rows_held")
    (in_ledger,) = one("SELECT sum(row_count) FROM FIRN.control.ledger")
    (in_files,) = one("SELECT sum(rows_taken + rows_duplicate) FROM FIRN.control.file_ledger")  # of swept loads
    done.entered = in_ledger + in_files
    (done.left_in_bronze,) = one("SELECT count(*) FROM firn_landing.bronze.readings WHERE _loaded_at < now()::TIMESTAMP - INTERVAL 1 DAY")
    try:
        done.history_differs = sum(rig.call("core.rebuild", "dim_sensor", None, True)["versions"].values())
    except Error:
        done.history_differs = -1
    return done
