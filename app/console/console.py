"""The operators' page: the same file in Snowflake and on a laptop (`firn console`)."""

from __future__ import annotations

import acting
import header
import plan as plans
import reading
import shown
import streamlit as st
import tabs
import waiting

TABS = {
    "Runs": tabs.runs,
    "Freshness": tabs.freshness,
    "Quarantine": waiting.quarantine,
    "Accounts": tabs.accounts,
    "History": tabs.history,
    "KPIs": tabs.kpis,
    "Cost": tabs.cost,
    "Setup": tabs.setup,
}


def main() -> None:
    st.set_page_config(layout="wide")
    if "session" not in st.session_state:
        st.session_state["session"] = st.connection("snowflake").session()
    session = st.session_state["session"]
    applied = reading.specs(session)
    if applied.empty:
        st.title("Firn")
        st.info("No pipeline is applied yet. Apply one from a worksheet: CALL config.apply_packaged('retail')")
        return
    title, choice, clock, again = st.columns([4, 3, 2, 1], vertical_alignment="bottom")
    title.header("Firn")
    pipeline = choice.selectbox("Pipeline", applied["pipeline"], key="pipeline")
    clock.caption(f"as of {shown.now():%Y-%m-%d %H:%M:%S} UTC")
    again.button("Refresh", key="refresh", width="stretch")
    plan = plans.read(applied.set_index("pipeline").loc[pipeline, "spec"])
    header.header(session, pipeline, plan)
    # One chosen view and not st.tabs, which asks the account for all of them each time.
    chosen = st.radio("View", list(TABS), horizontal=True, key="tab", label_visibility="collapsed")
    acting.outcome()
    TABS[chosen](session, pipeline, plan)


main()
