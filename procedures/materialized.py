"""Materialized views of KPIs: which numbers may be one, and why the others may not.

Rules: https://docs.snowflake.com/en/user-guide/views-materialized#limitations-on-creating-materialized-views.  The numbers of gold
do not need them; they spare a query the aggregation when a fact is read that has just changed.
"""

from collections.abc import Iterable
from typing import Any

import ddl
from expressions import APP_FUNCTIONS, Token, tokens
from runs import Run
from snowflake.snowpark.exceptions import SnowparkSQLException
from specs import Kpi, Measure, Pipeline

AGGREGATES = frozenset(
    """
    approx_count_distinct avg bitand_agg bitor_agg bitxor_agg count count_if max min stddev stddev_samp stddev_pop sum
    variance variance_samp var_samp variance_pop var_pop
    """.split()
)
CHANGING = frozenset("current_date current_time current_timestamp current_user random uuid_string sysdate getdate localtimestamp".split())


def objection(measure: Measure) -> str:
    """Why a measure cannot stand in a materialized view; empty when it can.

    >>> objection(Measure("revenue", "sum(amount)"))
    ''
    >>> objection(Measure("users", "count(distinct customer_id)"))
    'count(distinct …): DISTINCT cannot be combined with an aggregate; exact distinct counts stay in the table of gold'
    """
    pieces = list(tokens(measure.expression))
    words = [piece.text.lower() for piece in pieces]
    name = words[0] if words else ""
    if name not in AGGREGATES:
        return f"`{name}` is not one of the aggregates a materialized view may use, or stands around one"
    if "distinct" in words:
        return f"{name}(distinct …): DISTINCT cannot be combined with an aggregate; exact distinct counts stay in the table of gold"
    if not is_one_call(pieces):
        return "only a bare aggregate is let through: an expression around one, or several, is not"
    if any(word in AGGREGATES for word in words[1:]):
        return "aggregates cannot be nested"
    return unsafe(words)


def is_one_call(pieces: list[Token]) -> bool:
    """Whether the first bracket closes with the last piece: `sum(a) + 1` is more than a call."""
    depth = 0
    for position, piece in enumerate(pieces):
        depth += {"(": 1, ")": -1}.get(piece.text, 0) if piece.kind == "sign" else 0
        if position and depth == 0:
            return position == len(pieces) - 1
    return False


def unsafe(words: Iterable[str]) -> str:
    """Why words of an expression keep it out: functions of the app, windows, values that change by themselves."""
    for word in words:
        if word in APP_FUNCTIONS:
            return f"`{word}` is a user-defined function"
        if word in CHANGING:
            return f"`{word}` gives another value each time"
        if word == "over":
            return "window functions are not allowed"
    return ""


def refusal(kpi: Kpi) -> str:
    """Why nothing of a KPI can be a materialized view; empty when some of it can."""
    if kpi.period == "week":
        return "where a week begins is a parameter of the session, and a materialized view may not depend on one"
    filtered = unsafe(piece.text.lower() for piece in tokens(kpi.where)) if kpi.where else ""
    if filtered:
        return f"its filter: {filtered}"
    if all(objection(measure) for measure in kpi.measures):
        return "; ".join(f"{measure.name}: {objection(measure)}" for measure in kpi.measures)
    return ""


def wanted(pipeline: Pipeline, name: str | None) -> list[Kpi]:
    """The KPI asked for, or those by period."""
    return [kpi for kpi in pipeline.kpis if (kpi.name == name if name else kpi.period)]


def enable(run: Run, name: str | None) -> dict[str, Any]:
    """Creates the views that may be; says of the others why not, in our words or in the account's."""
    created, refused, left_out = [], {}, {}
    for kpi in wanted(run.pipeline, name):
        if reason := refusal(kpi):
            refused[kpi.name] = reason
            continue
        try:
            for statement in ddl.materialized_view(kpi, run.pipeline.fact(kpi.fact), [m for m in kpi.measures if not objection(m)]):
                run.session.sql(statement).collect()
        except SnowparkSQLException as error:  # not Enterprise edition, or an account that has none
            refused[kpi.name] = f"the account refused: {error.message}"
            continue
        created.append(ddl.view_name(kpi))
        left_out |= {f"{kpi.name}.{measure.name}": why for measure in kpi.measures if (why := objection(measure))}
    return {"created": created, "left_out": left_out, "refused": refused}


def disable(run: Run, name: str | None) -> dict[str, Any]:
    """Drops them again; a view that is not there is no fault."""
    dropped, refused = [], {}
    for kpi in wanted(run.pipeline, name):
        if not refusal(kpi):
            try:
                run.session.sql(ddl.drop_materialized_view(kpi)).collect()
                dropped.append(ddl.view_name(kpi))
            except SnowparkSQLException as error:
                refused[kpi.name] = f"the account refused: {error.message}"
    return {"dropped": dropped, "refused": refused}
