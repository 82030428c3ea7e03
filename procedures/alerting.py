"""What somebody should be told, looked for at the end of every run: raised once, however long it lasts, and recovered once.

Deciding is pure: `troubles` reads numbers and gives what is wrong now; `look` compares that with the alerts that are open.
"""

import json
import statistics
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import budgets
import writing
from runlog import LOG
from runs import Run, utc_now

ALERTS = "control.alerts"
REMEMBERED = timedelta(days=2)  # of the log, for the newest outcome of a step
LOADS = 30  # earlier loads that say what share of rows usually fails
SPIKE_SHARE, SPIKE_TIMES, SPIKE_ROWS = 0.05, 3, 20  # of a load: at least so much, so many times the usual, of so many rows
WEEKS, FEWEST_WEEKS = 8, 4  # earlier days of the same weekday that say what is usual
FAR, FEWEST_PART = 5, 0.5  # median ± the greater of 5 robust deviations and half of it


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong now."""

    kind: str
    subject: str
    message: str
    severity: str = "error"
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.subject


@dataclass(frozen=True)
class Looked:
    """What could be judged: troubles found, and the (kind, subject) pairs of which it is known that all is well."""

    troubles: Sequence[Trouble]
    well: frozenset[tuple[str, str]]


def look(run: Run) -> dict[str, int]:
    """Raises and recovers alerts of the pipeline; gives how many of each.  A run in which all is as before writes nothing."""
    now = utc_now()
    opened = open_alerts(run)
    looked = together([outcomes(run, now), freshness(run), quarantine_shares(run), volumes(run, now.date()), budget(run, now)])
    new = [trouble for trouble in looked.troubles if trouble.key not in opened]
    over = {key: alert_id for key, alert_id in opened.items() if key in looked.well}
    if new or over:
        with writing.transaction(run.session):
            for trouble in new:
                record(run, trouble, "raised", now)
            for (kind, subject), alert_id in over.items():
                record(run, Trouble(kind, subject, f"{subject}: {WORDS[kind]} no longer"), "recovered", now, alert_id)
    return {"raised": len(new), "recovered": len(over)}


WORDS = {
    "failure": "fails",
    "accounts_imbalance": "does not balance",
    "freshness": "is late",
    "quarantine_spike": "loses an unusual share to quarantine",
    "volume_anomaly": "brings an unusual number of rows",
    "budget": "leaves out KPIs and sweep",
}


def open_alerts(run: Run) -> dict[tuple[str, str], str]:
    found = run.session.sql(
        f"SELECT kind, subject, alert_id FROM {ALERTS} WHERE pipeline = ? AND state = 'raised' "
        f"AND alert_id NOT IN (SELECT recovers FROM {ALERTS} WHERE pipeline = ? AND recovers IS NOT NULL)",
        params=[run.pipeline.name, run.pipeline.name],
    ).collect()
    return {(row["KIND"], row["SUBJECT"]): row["ALERT_ID"] for row in found}


def record(run: Run, trouble: Trouble, state: str, now: datetime, recovers: str | None = None) -> None:
    run.session.sql(
        f"INSERT INTO {ALERTS} (alert_id, pipeline, kind, subject, state, severity, message, detail, run_id, happened_at, recovers) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, PARSE_JSON(?), ?, ?, ?",
        params=[
            str(uuid.uuid4()),
            run.pipeline.name,
            trouble.kind,
            trouble.subject,
            state,
            trouble.severity,
            trouble.message,
            json.dumps(trouble.detail),
            run.run_id,
            now,
            recovers,
        ],
    ).collect()


def together(looked: Sequence[Looked]) -> Looked:
    troubles = [trouble for part in looked for trouble in part.troubles]
    return Looked(troubles, frozenset().union(*[part.well for part in looked]) - {trouble.key for trouble in troubles})


def outcomes(run: Run, now: datetime) -> Looked:
    """Steps whose newest outcome is a failure; of the kind accounts_imbalance where a guard of the accounts refused."""
    found = run.session.sql(
        "SELECT step, MAX_BY(status, ended_at) AS status, MAX_BY(error, ended_at) AS error, "
        f"MAX_BY(error_class, ended_at) AS error_class, MAX_BY(run_id, ended_at) AS run_id FROM {LOG} "
        "WHERE pipeline = ? AND ended_at > ? AND status <> 'skipped' GROUP BY step",
        params=[run.pipeline.name, now - REMEMBERED],
    ).collect()
    return judged_outcomes([row.as_dict() for row in found])


def judged_outcomes(steps: Sequence[Mapping[str, Any]]) -> Looked:
    troubles, well = [], set()
    for step in steps:
        failed = step["STATUS"] == "failed"
        kind = "accounts_imbalance" if step["ERROR_CLASS"] == "guard" else "failure"
        if failed:
            detail = {"run_id": step["RUN_ID"], "error_class": step["ERROR_CLASS"]}
            troubles.append(Trouble(kind, step["STEP"], f"{step['STEP']} failed: {first_line(step['ERROR'])}", detail=detail))
        well |= {(other, step["STEP"]) for other in ("failure", "accounts_imbalance") if not failed or other != kind}
    return Looked(troubles, frozenset(well))


def first_line(error: str | None) -> str:
    return (error or "").split("\n", maxsplit=1)[0][:500]


def freshness(run: Run) -> Looked:
    """Targets of `freshness` whose newest arrival is older than the pipeline file allows."""
    if not run.pipeline.freshness:
        return Looked([], frozenset())
    found = run.session.sql(
        "SELECT target, source, lets, lag_seconds, allowed_seconds, is_late FROM control.freshness "
        "WHERE pipeline = ? AND allowed_seconds IS NOT NULL",
        params=[run.pipeline.name],
    ).collect()
    late = [
        Trouble(
            "freshness",
            row["TARGET"],
            f"{row['TARGET']} is late: the newest arrival of {row['SOURCE']} is {row['LETS'] or 'still to come'}"
            f" (UTC), {timedelta(seconds=int(row['ALLOWED_SECONDS']))} are allowed",
            detail={"source": row["SOURCE"], "lag_seconds": row["LAG_SECONDS"] and int(row["LAG_SECONDS"])},
        )
        for row in found
        if row["IS_LATE"]
    ]
    return Looked(late, frozenset(("freshness", row["TARGET"]) for row in found if not row["IS_LATE"]))


def budget(run: Run, now: datetime) -> Looked:
    """The pipeline, when its steps have used up what the file allows in a day."""
    allowed, name = run.pipeline.budget, run.pipeline.name
    if allowed is None:
        return Looked([], frozenset({("budget", name)}))
    spent = budgets.spent_today(run.session, name, now)
    if spent < allowed:
        return Looked([], frozenset({("budget", name)}))
    message = f"{name} has used up its {allowed} of today (UTC): KPIs and sweep wait for tomorrow, data goes on"
    return Looked([Trouble("budget", name, message, "warning", {"spent_seconds": round(spent.total_seconds())})], frozenset())


def quarantine_shares(run: Run) -> Looked:
    """Sources whose newest load put an unusual share of its rows into quarantine."""
    found = run.session.sql(
        f"SELECT step, run_id, rows_read, rows_duplicate, rows_quarantined FROM {LOG} "
        "WHERE pipeline = ? AND status = 'succeeded' AND step LIKE 'load %' AND rows_read > rows_duplicate "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY step ORDER BY ended_at DESC) <= ? ORDER BY step, ended_at DESC",
        params=[run.pipeline.name, LOADS + 1],
    ).collect()
    loads: dict[str, list[tuple[int, int]]] = {}
    for row in found:
        fresh = int(row["ROWS_READ"]) - int(row["ROWS_DUPLICATE"])
        loads.setdefault(row["STEP"].removeprefix("load "), []).append((fresh, int(row["ROWS_QUARANTINED"])))
    return judged_shares(loads)


def judged_shares(loads: Mapping[str, Sequence[tuple[int, int]]]) -> Looked:
    """Reads (rows, of them quarantined) per load of each source, the newest first.

    >>> judged_shares({"orders": [(100, 40), (100, 1), (100, 2)]}).troubles[0].message
    'orders: 40 of 100 rows of the newest load are in quarantine (40%), usual are 2%'
    """
    troubles, well = [], set()
    for source, ((rows, bad), *earlier) in loads.items():
        usual = statistics.median(wrong / total for total, wrong in earlier) if earlier else 0.0
        share = bad / rows
        if rows >= SPIKE_ROWS and share >= max(SPIKE_SHARE, SPIKE_TIMES * usual):
            message = f"{source}: {bad} of {rows} rows of the newest load are in quarantine ({share:.0%}), usual are {usual:.0%}"
            troubles.append(Trouble("quarantine_spike", source, message, detail={"share": share, "usual": usual}))
        elif rows >= SPIKE_ROWS or bad == 0:
            well.add(("quarantine_spike", source))
    return Looked(troubles, frozenset(well))


def volumes(run: Run, today: date) -> Looked:
    """Sources that brought an unusual number of rows yesterday, against the same weekday of the weeks before."""
    found = run.session.sql(
        "SELECT source, loaded_at::DATE AS day, SUM(row_count) AS row_count FROM control.ledger "
        "WHERE pipeline = ? AND NOT is_duplicate AND loaded_at >= ? AND loaded_at < ? "
        "GROUP BY source, loaded_at::DATE",
        params=[run.pipeline.name, today - timedelta(days=7 * WEEKS + 1), today],
    ).collect()
    days: dict[str, dict[date, int]] = {source.name: {} for source in run.pipeline.sources}
    for row in found:
        days.setdefault(row["SOURCE"], {})[row["DAY"]] = int(row["ROW_COUNT"])
    return judged_volumes(days, today - timedelta(days=1))


def judged_volumes(days: Mapping[str, Mapping[date, int]], day: date) -> Looked:
    """Reads rows per day of each source; a day without rows since its first counts as none.

    The usual is the median of the same weekday; far from it is more than 5 robust deviations (1.4826 times the median
    absolute deviation) and more than half of it.  A source younger than four such days is not judged.
    """
    troubles, well = [], set()
    for source, counts in days.items():
        first = min(counts, default=day)
        same = [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
        before = [counts.get(other, 0) for other in same if other >= first]
        if len(before) < FEWEST_WEEKS:
            continue
        usual = statistics.median(before)
        deviation = 1.4826 * statistics.median(abs(count - usual) for count in before)
        count, reach = counts.get(day, 0), max(FAR * deviation, FEWEST_PART * usual)
        if abs(count - usual) > reach:
            message = (
                f"{source}: {count} rows on {day:%A} {day}, usual are {usual:.0f} "
                f"(median of {len(before)}, {usual - reach:.0f} to {usual + reach:.0f} would be)"
            )
            detail = {"day": str(day), "rows": count, "usual": usual, "before": before}
            troubles.append(Trouble("volume_anomaly", source, message, "warning", detail))
        else:
            well.add(("volume_anomaly", source))
    return Looked(troubles, frozenset(well))

