-- Made by `python -m local.bi` from app/pipelines/retail.yml; changes here are lost.
-- Never run here: the local account has no semantic views.  Who runs it needs app_reader and CREATE SEMANTIC VIEW on a schema:
-- snow sql -f app/bi/retail/semantic_view.sql -D place=analytics.public
CREATE OR REPLACE SEMANTIC VIEW <% place %>.firn_retail
    TABLES (
        dim_date AS firn.gold.dim_date PRIMARY KEY (date_key) COMMENT = 'One row per day between the first and the last that a fact names',
        dim_customer AS firn.gold.dim_customer PRIMARY KEY (customer_version_key) COMMENT = 'One row per customer and period in which city, country and type stayed the same',
        dim_product AS firn.gold.dim_product PRIMARY KEY (product_version_key) COMMENT = 'One row per product and price',
        fact_orders AS firn.gold.fact_orders PRIMARY KEY (order_id, line_no) COMMENT = 'One row per order line, as it stands after its last correction',
        fact_web_events AS firn.gold.fact_web_events PRIMARY KEY (event_id) COMMENT = 'One row per event of the web site'
    )
    RELATIONSHIPS (
        fact_orders_customer AS fact_orders (customer_version_key) REFERENCES dim_customer (customer_version_key),
        fact_orders_product AS fact_orders (product_version_key) REFERENCES dim_product (product_version_key),
        fact_orders_date AS fact_orders (date_key) REFERENCES dim_date (date_key),
        fact_web_events_customer AS fact_web_events (customer_version_key) REFERENCES dim_customer (customer_version_key),
        fact_web_events_date AS fact_web_events (date_key) REFERENCES dim_date (date_key)
    )
    FACTS (
        fact_orders.quantity AS quantity COMMENT = 'Pieces ordered; after a short delivery those delivered',
        fact_orders.unit_price AS unit_price COMMENT = 'Price of one piece, in the currency of the line',
        fact_orders.amount AS amount COMMENT = 'Pieces times price, in USD'
    )
    DIMENSIONS (
        dim_date.calendar_date AS calendar_date COMMENT = 'The day, UTC',
        dim_date.calendar_year AS calendar_year COMMENT = 'Year',
        dim_date.calendar_quarter AS calendar_quarter COMMENT = 'Quarter of the year, 1 to 4',
        dim_date.calendar_month AS calendar_month COMMENT = 'Month of the year, 1 to 12',
        dim_date.month_name AS month_name COMMENT = 'Month in English',
        dim_date.month_start AS month_start COMMENT = 'First day of the month',
        dim_date.iso_year AS iso_year COMMENT = 'Year of the ISO week; around New Year it differs from the calendar''s',
        dim_date.iso_week AS iso_week COMMENT = 'ISO week, 1 to 53; weeks begin on Monday',
        dim_date.day_of_month AS day_of_month COMMENT = 'Day of the month, 1 to 31',
        dim_date.day_of_week AS day_of_week COMMENT = 'Day of the week, 1 Monday to 7 Sunday',
        dim_date.day_name AS day_name COMMENT = 'Day of the week in English',
        dim_date.is_weekend AS is_weekend COMMENT = 'Saturday or Sunday',
        dim_customer.customer_id AS customer_id COMMENT = 'Number of the customer in the CRM: natural key',
        dim_customer.city AS city COMMENT = 'City of residence: a change opens a version',
        dim_customer.country AS country COMMENT = 'Country of residence, ISO 3166-1 alpha-2: a change opens a version',
        dim_customer.customer_type AS customer_type COMMENT = 'Regular, Premium or Unknown: a change opens a version',
        dim_customer.name AS name COMMENT = 'Name of the customer: the latest value, on all versions',
        dim_customer.email AS email COMMENT = 'E-mail address, lower case: the latest value, on all versions',
        dim_customer.age AS age COMMENT = 'Age in years: the latest value, on all versions',
        dim_customer.gender AS gender COMMENT = 'male, female or unknown: the latest value, on all versions',
        dim_customer.valid_from AS valid_from COMMENT = 'The version holds from here on',
        dim_customer.valid_to AS valid_to COMMENT = 'and until before this; NULL while it holds',
        dim_customer.is_current AS is_current COMMENT = 'The last known version of a customer that is there',
        dim_customer.is_inferred AS is_inferred COMMENT = 'Only facts have named this customer so far; it has no values yet',
        dim_product.sku AS sku COMMENT = 'Number of the product in the ERP, upper case: natural key',
        dim_product.unit_price AS unit_price COMMENT = 'List price in USD: a change opens a version',
        dim_product.product_name AS product_name COMMENT = 'Name of the product: the latest value, on all versions',
        dim_product.category AS category COMMENT = 'Category of the product, lower case: the latest value, on all versions',
        dim_product.stock AS stock COMMENT = 'Pieces in stock: the latest value, on all versions',
        dim_product.supplier AS supplier COMMENT = 'Name of the supplier: the latest value, on all versions',
        dim_product.supplier_country AS supplier_country COMMENT = 'Country of the supplier: the latest value, on all versions',
        dim_product.valid_from AS valid_from COMMENT = 'The version holds from here on',
        dim_product.valid_to AS valid_to COMMENT = 'and until before this; NULL while it holds',
        dim_product.is_current AS is_current COMMENT = 'The last known version of a product that is there',
        dim_product.is_inferred AS is_inferred COMMENT = 'Only facts have named this product so far; it has no values yet',
        fact_orders.order_id AS order_id COMMENT = 'Number of the order in the shop',
        fact_orders.line_no AS line_no COMMENT = 'Number of the line in the order',
        fact_orders.ordered_at AS ordered_at COMMENT = 'When the order was placed, UTC',
        fact_orders.customer_id AS customer_id COMMENT = 'Customer who ordered',
        fact_orders.sku AS sku COMMENT = 'Product that was ordered',
        fact_orders.currency AS currency COMMENT = 'Currency of the line; only USD adds up, others wait in quarantine',
        fact_orders.region AS region COMMENT = 'Sales region, lower case',
        fact_orders.status AS status COMMENT = 'placed, completed, cancelled or returned',
        fact_web_events.event_id AS event_id COMMENT = 'Number of the event of the web site',
        fact_web_events.occurred_at AS occurred_at COMMENT = 'When it happened, UTC',
        fact_web_events.customer_id AS customer_id COMMENT = 'Customer who was signed in; NULL for a visitor who was not',
        fact_web_events.event_type AS event_type COMMENT = 'What the visitor did, lower case',
        fact_web_events.page AS page COMMENT = 'Page on which it happened',
        fact_web_events.session_id AS session_id COMMENT = 'Visit to which the event belongs'
    )
    METRICS (
        fact_orders.revenue AS SUM(CASE WHEN status <> 'cancelled' THEN amount END) COMMENT = 'Total revenue in USD',
        fact_orders.orders AS COUNT(DISTINCT CASE WHEN status <> 'cancelled' THEN order_id END) COMMENT = 'Orders',
        fact_orders.customers AS COUNT(DISTINCT CASE WHEN status <> 'cancelled' THEN customer_id END) COMMENT = 'Customers who ordered',
        fact_web_events.active_users AS COUNT(DISTINCT customer_id) COMMENT = 'Customers who were there and signed in',
        fact_web_events.events AS COUNT(event_id) COMMENT = 'Events, those of visitors without a sign-in too',
        fact_orders.sales_report_quantity AS SUM(CASE WHEN status <> 'cancelled' THEN quantity END) COMMENT = 'Pieces',
        fact_orders.returned AS COALESCE(SUM(CASE WHEN status <> 'cancelled' THEN CASE WHEN status = 'returned' THEN amount END END), 0) COMMENT = 'Of it sent back',
        fact_orders.cancelled_lines AS COALESCE(SUM(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END), 0) COMMENT = 'Lines that were',
        fact_orders.customer_report_revenue AS COALESCE(SUM(CASE WHEN status <> 'cancelled' THEN amount END), 0) COMMENT = 'Revenue in USD',
        fact_orders.first_order_at AS MIN(ordered_at) COMMENT = 'First order, UTC',
        fact_orders.last_order_at AS MAX(ordered_at) COMMENT = 'Last order, UTC',
        fact_web_events.sessions AS COUNT(DISTINCT session_id) COMMENT = 'Visits',
        fact_web_events.active_days AS COUNT(DISTINCT DATE_TRUNC('DAY', occurred_at)) COMMENT = 'Days with an event, UTC',
        fact_web_events.first_seen_at AS MIN(occurred_at) COMMENT = 'First event, UTC',
        fact_web_events.last_seen_at AS MAX(occurred_at) COMMENT = 'Last event, UTC'
    )
    COMMENT = 'Customers, products, orders and web events of the shop';
