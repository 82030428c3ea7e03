"""What kind of error a step met, and so what is to be done: try again, look at the rows, or mend the set-up.

transient   it passes by itself: the step is tried again, a few times
data        rows are to blame: they wait in quarantine, or the source is stopped until they are looked at
contract    what the step was promised is not there: a table, a column, a privilege.  The fix is named
guard       a check of Firn's own found rows that do not add up; nothing was written
unknown     none of these

Exceptions of ours carry their class in `error_class`; those of the server are known by their codes.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

CLASSES = ("transient", "data", "contract", "guard", "unknown")
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5  # then four times as long each time
Outcome = TypeVar("Outcome")

# https://docs.snowflake.com/en/sql-reference/transactions (LOCK_TIMEOUT); the code with its text as servers send it:
# https://github.com/brooklyn-data/dbt_artifacts/issues/431
LOCKED = 625
# Internal errors, "Processing aborted by error 300010: …": https://community.snowflake.com/s/article/Error-SQL-execution-internal-error
INTERNAL = 603
# SQL states of class 08 are lost connections: ISO/IEC 9075, and snowflakedb/gosnowflake, sqlstate.go
CONNECTION_STATES = "08"
# Values that do not fit where they are put.  The codes as the drivers show them, each beside its text in
# https://docs.snowflake.com/en/sql-reference/functions/try_cast and the pages of the data types
DATA = frozenset({100035, 100037, 100038, 100039, 100040, 100046, 100051, 100069, 100072, 100078, 100090, 100108, 100132})

# Code → what to do.  https://docs.snowflake.com/en/user-guide/admin-error-codes and the text of each error
CONTRACT = {
    904: "A column is missing. When it is one of bronze, add it there as the file has it (ALTER TABLE … ADD COLUMN … VARCHAR), "
    "or take it out of the pipeline file; when it is one of ours, apply the pipeline file again: CALL config.apply_packaged('…').",
    2003: "A table is missing or not granted to the application. For bronze: run the script of the source and 07_grants_to_app.sql "
    "in setup_sql; for one of ours: apply the pipeline file again.",
    2043: "A database or schema is missing or not granted to the application: run 02_landing.sql and 07_grants_to_app.sql in setup_sql, "
    "and see that config.bind_bronze names them.",
    3001: "A privilege is missing: run 07_grants_to_app.sql in setup_sql as the role that owns the landing database.",
    606: "No warehouse is in use: USE WAREHOUSE …, then call again. Tasks need none.",
    2140: "A function of the pipeline file is not known here: take it out, or install the version of the app that has it.",
    2141: "A function of the pipeline file is not known here: take it out, or install the version of the app that has it.",
}


# The client knows a frame's columns and does not ask the server: codes of snowflake.snowpark's own exceptions.
COLUMN_MISSING = ("1105", "1302")


@dataclass(frozen=True)
class Fault:
    """The class of an error, whether it is a lock that somebody else has, and what to do about it."""

    error_class: str
    is_lock: bool = False
    advice: str = ""


def classify(error: BaseException) -> Fault:
    """The class of an error.

    >>> classify(LookupError("no such thing")).error_class
    'unknown'
    """
    own = getattr(error, "error_class", None)
    if own:
        return Fault(own)
    code, state, text = code_of(error), state_of(error), str(error)
    if code == LOCKED or "LOCK_TIMEOUT" in text:
        return Fault("transient", is_lock=True)
    if code == INTERNAL or state.startswith(CONNECTION_STATES):
        return Fault("transient")
    if str(getattr(error, "error_code", "")) in COLUMN_MISSING:
        return Fault("contract", advice=CONTRACT[904])
    if code in CONTRACT:
        return Fault("contract", advice=CONTRACT[code])
    return Fault("data" if code in DATA else "unknown")


def code_of(error: BaseException) -> int:
    """Snowflake's code of an error: from the client's exception, or the first one its text names.

    >>> code_of(RuntimeError("000625 (57014): Statement '01' has locked table 'T'"))
    625
    """
    known = getattr(error, "sql_error_code", None) or getattr(error, "errno", None)
    if known:
        return int(known)
    found = re.search(r"\b(\d{6}) \((?:\w{5})\): ", str(error))
    return int(found[1]) if found else 0


def state_of(error: BaseException) -> str:
    inner = getattr(error, "conn_error", None) or error
    return str(getattr(inner, "sqlstate", "") or "")


class ContractBroken(RuntimeError):
    """What a step was promised is not there; the message names the fix."""

    error_class = "contract"

    def __init__(self, step: str, said: str, advice: str) -> None:
        self.step, self.advice = step, advice
        super().__init__(f"{step}: {said}\n{advice}")


def retried(movement: Callable[[], Outcome], pause: Callable[[float], None] = time.sleep) -> Outcome:
    """What a movement gives; one that fails for a passing reason is made again, `ATTEMPTS` times in all.

    A movement is one transaction, or changes nothing when made twice.
    """
    for attempt in range(ATTEMPTS):
        try:
            return movement()
        except Exception as error:
            if classify(error).error_class != "transient" or attempt + 1 == ATTEMPTS:
                raise
            pause(FIRST_PAUSE_SECONDS * 4**attempt)
    raise AssertionError("unreachable")
