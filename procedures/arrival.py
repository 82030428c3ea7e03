"""The streams of a pipeline that runs on arrival: they say when to look, never what to take.

A load reads its stream in its own transaction, so that the stream moves exactly when LETS and ledger do.  Which rows it takes
is decided by LETS and ledger alone: what a stream missed, because it went stale or was made anew, is taken all the same.
"""

from dataclasses import dataclass, field
from typing import Any

import names
from runs import Run
from snowflake.snowpark.exceptions import SnowparkSQLException
from specs import Source

READ_INTO = "control.stream_read"


@dataclass(frozen=True)
class Heard:
    """What became of a stream: it had rows and was read, or it could not be read, which `detail` tells the log."""

    is_consumed: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


def consume(run: Run, source: Source) -> Heard:
    """Moves the source's stream to the present, if the pipeline runs on arrival; commits with the load.

    A stream that is stale, missing or not granted stops no load: it is told in the log, and the rows come by LETS.
    """
    if run.pipeline.when != "arrival":
        return Heard()
    stream = names.qualified(*run.bronze_schema, source.stream)
    try:
        answer = run.session.sql(f"SELECT SYSTEM$STREAM_HAS_DATA({names.text(stream)}) AS has_data").collect()
        if str(answer[0]["HAS_DATA"]).lower() != "true":
            return Heard()
        # Takes no row and moves the offset: https://docs.snowflake.com/en/user-guide/streams-intro (offset storage)
        run.session.sql(f"INSERT INTO {READ_INTO} (content_key) SELECT _content_key FROM {stream} WHERE 0 = 1").collect()
    except SnowparkSQLException as error:
        return Heard(detail={"stream_unreadable": f"{stream}: {error.message}"[:500]})
    return Heard(is_consumed=True)
