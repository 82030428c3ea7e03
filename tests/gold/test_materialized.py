"""enable_materialized_views: what may be one is asked for in legal SQL, what may not is explained, and an account without them says so."""

from __future__ import annotations

import dataclasses

import ddl
import materialized
import pytest
from specs import Kpi, Measure

from tests.gold.landing import Landing


@pytest.mark.parametrize(("expression", "said"), [
    pytest.param("sum(amount)", "", id="a sum"),
    pytest.param("count(*)", "", id="a count of rows"),
    pytest.param("sum(case when status = 'returned' then amount else 0 end)", "", id="an expression inside an aggregate"),
    pytest.param("count(distinct order_id)", "DISTINCT cannot be combined", id="distinct"),
    pytest.param("median(amount)", "not one of the aggregates", id="an aggregate it does not know"),
    pytest.param("coalesce(sum(amount), 0)", "stands around one", id="a function around an aggregate"),
    pytest.param("sum(amount) / count(*)", "only a bare aggregate", id="two aggregates"),
    pytest.param("sum(sum(amount))", "cannot be nested", id="nested"),
    pytest.param("count_if(is_email(email))", "user-defined function", id="a function of the app"),
    pytest.param("max(datediff(day, ordered_at, current_date()))", "another value each time", id="a value that changes by itself"),
    pytest.param("sum(amount) over (partition by region)", "only a bare aggregate", id="a window"),
])  # fmt: skip
def test_a_measure_is_let_through_or_told_why_not(expression, said):
    found = materialized.objection(Measure("m", expression))

    assert said in found and bool(found) == bool(said)


@pytest.mark.parametrize(("kpi", "said"), [
    pytest.param(Kpi("k", "f", (Measure("n", "count(*)"),), period="week"), "where a week begins", id="weeks"),
    pytest.param(Kpi("k", "f", (Measure("n", "count(*)"),), period="month", where="is_email(email)"), "its filter", id="a filter with a function of the app"),
    pytest.param(Kpi("k", "f", (Measure("n", "count(distinct a)"),), period="month"), "n: count(distinct …)", id="nothing left"),
    pytest.param(Kpi("k", "f", (Measure("n", "count(*)"), Measure("u", "count(distinct a)")), period="month"), "", id="some of it"),
])  # fmt: skip
def test_a_kpi_is_refused_as_a_whole_when_nothing_of_it_may_be_one(kpi, said):
    found = materialized.refusal(kpi)

    assert said in found and bool(found) == bool(said)


def test_revenue_by_month_and_by_region_are_the_legal_ones_of_the_shop(landing):
    by_period = materialized.wanted(landing.spec, None)
    legal = {kpi.name: [measure.name for measure in kpi.measures if not materialized.objection(measure)] for kpi in by_period if not materialized.refusal(kpi)}

    assert legal == {"monthly_metrics": ["revenue"], "orders_by_region": ["revenue"], "monthly_active_users": ["events"], "sales_report": ["quantity", "revenue"]}


def test_the_select_of_a_view_is_what_the_kpi_says(landing):
    """The local account has no materialized views, so the query inside the statement is run."""
    spec = landing.spec
    kpi, fact = spec.kpi("orders_by_region"), spec.fact("fact_orders")
    statement, _ = ddl.materialized_view(kpi, fact, [measure for measure in kpi.measures if not materialized.objection(measure)])
    query = statement.split("\nAS\n")[1]

    found = [tuple(row) for row in landing.bench.session.sql(query).collect()]
    expected = landing.rows("SELECT month::TIMESTAMP AS month, region, revenue FROM firn.gold.orders_by_region")

    assert sorted(found) == sorted((row["month"], row["region"], row["revenue"]) for row in expected) and len(found) > 1


def test_an_account_without_them_refuses_and_nothing_is_made(landing: Landing):
    told = materialized.enable(landing.run, None)

    assert told["created"] == []
    assert set(told["refused"]) == {"monthly_metrics", "orders_by_region", "monthly_active_users", "sales_report"}
    assert all("the account refused" in reason and "MATERIALIZED VIEW" in reason for reason in told["refused"].values())


def test_an_illegal_request_is_explained_before_the_account_is_asked(landing: Landing):
    """Exact monthly active users, the wish of every dashboard, cannot be one."""
    users = Kpi("users", "fact_web_events", (Measure("active_users", "count(distinct customer_id)"),), period="month")
    run = dataclasses.replace(landing.run, pipeline=dataclasses.replace(landing.spec, kpis=(users,)))
    before = dict(landing.bench.account.counted)

    told = materialized.enable(run, "users")

    assert told["refused"] == {"users": "active_users: " + materialized.objection(users.measures[0])} and told["created"] == []
    assert landing.bench.account.counted == before
