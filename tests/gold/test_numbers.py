"""Numbers that are said in several places are the same in all of them; the calendar is the one everybody knows."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from local.place import ROOT

VIEW = (ROOT / "app" / "bi" / "retail" / "semantic_view.sql").read_text()


def test_the_metrics_of_the_semantic_view_are_the_numbers_of_the_kpis(landing):
    """As plain SQL over the fact: the local account has no semantic views."""
    metrics = dict(re.findall(r"^        fact_orders\.(\w+) AS (.*) COMMENT = '(?:[^']|'')*',?$", VIEW, re.M))
    wanted = {"month": "DATE_TRUNC('month', ordered_at)::DATE", **{name: metrics[name] for name in ("revenue", "orders", "customers")}}
    query = "SELECT " + ", ".join(f"{sql} AS {name}" for name, sql in wanted.items()) + " FROM gold.fact_orders GROUP BY DATE_TRUNC('month', ordered_at)::DATE"

    found = sorted(tuple(row) for row in landing.bench.session.sql(query).collect())

    expected = landing.rows("SELECT month, revenue, orders, customers FROM firn.gold.monthly_metrics")
    assert found == sorted(tuple(row.values()) for row in expected) and len(found) > 1


def test_the_calendar_is_pythons(landing):
    days = landing.rows("SELECT * FROM firn.gold.dim_date WHERE date_key > 0")

    assert len(days) > 30
    for row in days:
        day: dt.date = row["calendar_date"]
        year, week, weekday = day.isocalendar()
        assert row == {
            "date_key": int(day.strftime("%Y%m%d")), "calendar_date": day, "calendar_year": day.year, "calendar_quarter": (day.month + 2) // 3,
            "calendar_month": day.month, "month_name": calendar.month_name[day.month], "month_start": day.replace(day=1), "iso_year": year, "iso_week": week,
            "day_of_month": day.day, "day_of_week": weekday, "day_name": calendar.day_name[day.weekday()], "is_weekend": weekday >= 6,
        }  # fmt: skip
