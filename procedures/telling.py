"""Records for the account's event table: which step of which run did what, in numbers.

Snowflake takes Python's own logging, and `extra` as attributes of the record; the manifest's log_level says from where on.
No value of a row, no statement and no text of an error goes in: those stand in `control`, which fewer may read.
https://docs.snowflake.com/en/developer-guide/logging-tracing/logging-python
"""

import logging
from collections.abc import Mapping
from typing import Any

LOG = logging.getLogger("firn")
COUNTS = ("read", "written", "duplicate", "superseded", "quarantined", "held", "inserted", "updated", "deleted")


def ended(pipeline: str, run_id: str, step: str, seconds: float, outcome: Mapping[str, Any]) -> None:
    """A step that came to an end: `outcome` is what its caller gets back."""
    status = str(outcome.get("status", "ended"))
    counts = {f"rows_{name}": outcome[name] for name in COUNTS if outcome.get(name)}
    LOG.info("%s: %s", step, status, extra=of(pipeline, run_id, step, seconds, status) | counts)


def failed(pipeline: str, run_id: str, step: str, seconds: float, error: Exception, error_class: str) -> None:
    """A step that failed for good: what kind of error, and not its text, which may repeat a value."""
    about = {"error_type": type(error).__name__, "error_class": error_class}
    LOG.error("%s: failed (%s)", step, about["error_type"], extra=of(pipeline, run_id, step, seconds, "failed") | about)


def of(pipeline: str, run_id: str, step: str, seconds: float, status: str) -> dict[str, Any]:
    return {"pipeline": pipeline, "run_id": run_id, "step": step, "status": status, "seconds": round(seconds, 3)}
