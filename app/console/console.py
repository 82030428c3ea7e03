"""The operators' page: the same file in Snowflake and on a laptop (`firn console`)."""

from __future__ import annotations

import plan as plans
import reading
import streamlit as st
import tabs

TABS = {
    "Runs": tabs.runs,
    "Freshness": tabs.freshness,
    "Quarantine": tabs.quarantine,
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
    title, choice, again = st.columns([5, 3, 1], vertical_alignment="bottom")
    title.title("Firn")
    pipeline = choice.selectbox("Pipeline", applied["pipeline"], key="pipeline")
    again.button("Refresh", key="refresh", width="stretch")
    plan = plans.read(applied.set_index("pipeline").loc[pipeline, "spec"])
    tabs.header(session, pipeline)
    # A radio and not st.tabs, which asks the account for all of them each time.
    chosen = st.radio("View", list(TABS), horizontal=True, key="tab", label_visibility="collapsed")
    TABS[chosen](session, pipeline, plan)


main()
