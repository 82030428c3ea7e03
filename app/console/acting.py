"""What the page's buttons do: call a procedure of the application, and keep what came of it for the page drawn next.

A button's call runs before the page is drawn again, so that the header already shows what it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import reading
import streamlit as st
from shown import number, said, verbatim

OUTCOME = "outcome"  # of the newest call: (worked, what to say, the error's text), shown once
TRIED = "tried"  # the newest dry run: (source, check, its answer)


def button(place: Any, label: str, key: str, action: Callable[..., None], *arguments: Any, **options: Any) -> None:
    place.button(label, key=key, on_click=action, args=arguments, **options)


def outcome() -> None:
    """What the newest button did."""
    if OUTCOME not in st.session_state:
        return
    worked, text, error = st.session_state.pop(OUTCOME)
    (st.success if worked else st.error)(text)
    if error:
        verbatim(error)


def carry_out(what: str, spoken: Callable[[Mapping[str, Any]], str], session: Any, procedure: str, *arguments: Any) -> Mapping[str, Any] | None:
    """Calls a procedure; gives its answer, or None when it raised."""
    try:
        answer = reading.called(session, procedure, *arguments)
    except Exception as error:
        st.session_state[OUTCOME] = (False, f"{what} did not work.", said(str(error)))
        return None
    st.session_state[OUTCOME] = (True, spoken(answer), None)
    return answer


def run_now(session: Any, pipeline: str) -> None:
    answer = carry_out("The run", lambda _: "The run is over.", session, "core.run_pipeline", pipeline) or {}
    if failures := answer.get("failures"):
        st.session_state[OUTCOME] = (False, f"The run is over; {len(failures)} steps failed. They are below, with what to do.", None)
    elif answer:
        moved = answer.get("status") != "nothing new"
        st.session_state[OUTCOME] = (True, "The run is over." if moved else "The run is over: nothing new had arrived.", None)


def resume(session: Any, run_id: str) -> None:
    answer = carry_out("The retry", lambda _: "What had failed was made again.", session, "core.resume", run_id) or {}
    failed = [step for step in answer.get("steps", []) if step.get("status") == "failed"]
    if failed:
        st.session_state[OUTCOME] = (False, f"The retry is over; {len(failed)} steps failed again. They are below, with what to do.", None)


def try_replay(session: Any, source: str, check: str | None) -> None:
    """A dry run: what would pass now.  Writes nothing."""
    st.session_state.pop(TRIED, None)
    answer = carry_out("The trial", lambda _: "", session, "core.replay_quarantine", source, check, True)
    if answer is not None:
        st.session_state.pop(OUTCOME)
        st.session_state[TRIED] = (source, check, answer)


def replay(session: Any, source: str, check: str | None) -> None:
    def spoken(answer: Mapping[str, Any]) -> str:
        released = answer.get("written", 0) + answer.get("duplicate", 0)
        return f"{number(released)} rows left the quarantine, {number(answer.get('quarantined'))} go on waiting. The next run brings them to gold: Runs, Run now."

    st.session_state.pop(TRIED, None)
    carry_out("The replay", spoken, session, "core.replay_quarantine", source, check, False)


def correct(session: Any, quarantine_id: str, column: str) -> None:
    """Another value for one column of a waiting row; what is typed is read from the page's field."""

    def spoken(answer: Mapping[str, Any]) -> str:
        left = answer.get("failed_checks") or []
        return f"Corrected. It would still fail {len(left)} checks." if left else "Corrected; it would pass now. Try the replay below, then replay."

    st.session_state.pop(TRIED, None)
    carry_out("The correction", spoken, session, "core.correct_quarantine", quarantine_id, {column: st.session_state["value"]})


def reconcile(session: Any, pipeline: str) -> None:
    carry_out("Reconcile found that sides differ, or", lambda _: "Both sides of every movement agree.", session, "core.reconcile", pipeline)
