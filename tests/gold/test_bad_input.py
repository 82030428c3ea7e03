"""Facts that are wrong in some way: what becomes of each is what the pipeline file says, counted and explained (docs/star-schema.md)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.gold.landing import LINE


@pytest.mark.parametrize(("order", "failed"), [
    pytest.param("", ["order_id_is_given"], id="a null in the grain"),
    pytest.param("notime", ["ordered_at_is_given"], id="no event time: required by the pipeline file"),
    pytest.param("negative", ["quantity_is_positive"], id="a negative quantity"),
    pytest.param("zero", ["quantity_is_positive"], id="a quantity of zero"),
    pytest.param("euro", ["currency_is_usd"], id="an amount that does not add up with the others"),
])  # fmt: skip
def test_what_cannot_be_a_fact_waits_in_quarantine_with_its_reason(landing, order, failed):
    assert landing.waiting()[f"shop/orders/a.csv:{LINE[order]}"] == failed


@pytest.mark.parametrize(("order", "customer", "version", "product_is_inferred"), [
    pytest.param("good", 2, "version", True, id="a good line; its product is not known yet"),
    pytest.param("nobody", None, -1, True, id="no customer: the unknown member"),
    pytest.param("stranger", 99, "inferred", True, id="a customer nobody knows: an inferred member"),
    pytest.param("noproduct", 2, "version", None, id="no product: the unknown member"),
    pytest.param("newproduct", 2, "version", True, id="a product nobody knows: an inferred member"),
    pytest.param("early", 1, -3, True, id="before the first version: early, the customer stands"),
    pytest.param("deleted", 1, -2, True, id="after the deletion: gap, the customer stands"),
])  # fmt: skip
def test_what_finds_no_version_points_to_the_member_that_says_why(landing, order, customer, version, product_is_inferred):
    (fact,) = landing.rows(f"""
        SELECT fact.customer_version_key AS version, member.customer_id, product.is_inferred AS product_is_inferred, who.is_inferred, fact.product_key
        FROM firn.gold.fact_orders AS fact
        LEFT JOIN (SELECT DISTINCT customer_key, customer_id FROM firn.gold.dim_customer) AS member USING (customer_key)
        JOIN firn.gold.dim_customer AS who ON who.customer_version_key = fact.customer_version_key
        JOIN firn.gold.dim_product AS product ON product.product_version_key = fact.product_version_key
        WHERE order_id = '{order}'""")

    assert fact["customer_id"] == customer
    assert fact["version"] == version if isinstance(version, int) else fact["is_inferred"] == (version == "inferred") and fact["version"] > 0
    assert (fact["product_is_inferred"] or None) == product_is_inferred and (fact["product_key"] == -1) == (product_is_inferred is None)


def test_a_line_number_given_twice_is_one_line_and_the_other_is_superseded(landing):
    """At one instant content decides, whichever came first: the greater quantity."""
    assert landing.rows("SELECT quantity, amount FROM firn.gold.fact_orders WHERE order_id = 'twice'") == [{"quantity": 5, "amount": Decimal("50.00")}]
    assert landing.log("fact fact_orders")["rows_superseded"] == 1


def test_every_row_is_counted(landing):
    load, fact = landing.log("load orders"), landing.log("fact fact_orders")

    assert (load["rows_read"], load["rows_written"], load["rows_quarantined"]) == (15, 10, 5)
    assert (fact["rows_read"], fact["rows_written"], fact["rows_superseded"]) == (10, 9, 1)
    assert landing.rows("SELECT sum(revenue) AS revenue FROM firn.gold.monthly_metrics")[0]["revenue"] == Decimal("150.00")


def test_a_day_far_away_is_the_unknown_day_and_the_calendar_stays_small(landing):
    assert landing.rows("SELECT date_key FROM firn.gold.fact_orders WHERE order_id = 'far'") == [{"date_key": -1}]
    assert landing.rows("SELECT count(*) AS days, min(date_key) AS first, max(date_key) AS last FROM firn.gold.dim_date WHERE date_key > 0") == [
        {"days": 33, "first": 20240109, "last": 20240210}
    ]
