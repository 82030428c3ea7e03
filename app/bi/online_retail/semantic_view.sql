-- Made by `python -m local.bi` from app/pipelines/online_retail.yml; changes here are lost.
-- Never run here: the local account has no semantic views.  Who runs it needs app_reader and CREATE SEMANTIC VIEW on a schema:
-- snow sql -f app/bi/online_retail/semantic_view.sql -D place=analytics.public
CREATE OR REPLACE SEMANTIC VIEW <% place %>.firn_online_retail
    TABLES (
        dim_item AS firn.gold.dim_item PRIMARY KEY (item_version_key) COMMENT = 'One row per stock code, with the latest description given (type 1)',
        fact_sales AS firn.gold.fact_sales PRIMARY KEY (file_name, row_number) COMMENT = 'One row per line of an invoice'
    )
    RELATIONSHIPS (
        fact_sales_item AS fact_sales (item_version_key) REFERENCES dim_item (item_version_key)
    )
    FACTS (
        fact_sales.quantity AS quantity COMMENT = 'quantity of sales',
        fact_sales.unit_price AS unit_price COMMENT = 'unit_price of sales',
        fact_sales.amount AS amount COMMENT = 'quantity * unit_price'
    )
    DIMENSIONS (
        dim_item.stock_code AS stock_code COMMENT = 'stock_code of sales: natural key',
        dim_item.description AS description COMMENT = 'description of sales: the latest value, on all versions',
        dim_item.valid_from AS valid_from COMMENT = 'The version holds from here on',
        dim_item.valid_to AS valid_to COMMENT = 'and until before this; NULL while it holds',
        dim_item.is_current AS is_current COMMENT = 'The last known version of a item that is there',
        dim_item.is_inferred AS is_inferred COMMENT = 'Only facts have named this item so far; it has no values yet',
        fact_sales.file_name AS file_name COMMENT = 'file_name of sales',
        fact_sales.row_number AS row_number COMMENT = 'row_number of sales',
        fact_sales.invoiced_at AS invoiced_at COMMENT = 'invoiced_at of sales',
        fact_sales.stock_code AS stock_code COMMENT = 'stock_code of sales',
        fact_sales.invoice_no AS invoice_no COMMENT = 'invoice_no of sales',
        fact_sales.description AS description COMMENT = 'description of sales',
        fact_sales.customer_id AS customer_id COMMENT = 'customer_id of sales',
        fact_sales.country AS country COMMENT = 'country of sales',
        fact_sales.line_kind AS line_kind COMMENT = 'line_kind of sales'
    )
    METRICS (
        fact_sales.invoices_invoiced_at AS MIN(invoiced_at) COMMENT = 'invoiced_at',
        fact_sales.invoices_customer_id AS MAX(customer_id) COMMENT = 'customer_id',
        fact_sales.invoices_country AS MAX(country) COMMENT = 'country',
        fact_sales.lines AS COUNT(file_name) COMMENT = 'lines',
        fact_sales.invoices_quantity AS SUM(quantity) COMMENT = 'quantity',
        fact_sales.invoices_amount AS SUM(amount) COMMENT = 'amount',
        fact_sales.products_description AS SUBSTRING(MAX(TO_CHAR(invoiced_at, 'YYYY-MM-DD HH24:MI:SS') || ' ' || description), 21) COMMENT = 'description',
        fact_sales.first_sold_at AS MIN(invoiced_at) COMMENT = 'first_sold_at',
        fact_sales.last_sold_at AS MAX(invoiced_at) COMMENT = 'last_sold_at',
        fact_sales.products_quantity AS SUM(quantity) COMMENT = 'quantity',
        fact_sales.products_amount AS SUM(amount) COMMENT = 'amount',
        fact_sales.revenue AS SUM(amount) COMMENT = 'revenue',
        fact_sales.invoices AS COUNT(DISTINCT invoice_no) COMMENT = 'invoices',
        fact_sales.customers AS COUNT(DISTINCT customer_id) COMMENT = 'customers'
    )
    COMMENT = 'Sales of an online shop, from its daily extracts';
