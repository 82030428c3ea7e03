-- Made by `firn setup-sql` from the sources of pipeline retail; change the pipeline file, not this.
-- Customers, products, orders and web events of the shop. Bronze tables, every column as text, and the pipes that fill them.
-- ON_ERROR = SKIP_FILE: a file whose structure is broken stays out whole, stays in the bucket and is told of (90_verify);
-- mend it and put it there under another name. IF NOT EXISTS: a replaced pipe would forget what it has loaded (firn pipes replace).
-- After this script: firn aws apply, which sends the bucket's events of each prefix to the pipes' queue.
USE ROLE firn_loader;

-- customers, CSV: CRM extract. A tombstone: op = 'D'.
CREATE TABLE IF NOT EXISTS firn_landing.bronze.customers (
    customer_id    VARCHAR,
    name           VARCHAR,
    email          VARCHAR,
    age            VARCHAR,
    gender         VARCHAR,
    customer_type  VARCHAR,
    city           VARCHAR,
    country        VARCHAR,
    updated_at     VARCHAR,
    op             VARCHAR,
    _file_name     VARCHAR,        -- object in the bucket
    _row_number    NUMBER,         -- place in the file
    _content_key   VARCHAR,        -- the object's checksum
    _modified_at   TIMESTAMP_NTZ,  -- when the object was written, UTC
    _loaded_at     TIMESTAMP_NTZ   -- when the file was read, UTC
);

CREATE PIPE IF NOT EXISTS firn_landing.bronze.customers_pipe
    AUTO_INGEST = TRUE
    COMMENT = 'Firn: s3://<bucket>/crm/customers/ into bronze.customers'
AS
    COPY INTO firn_landing.bronze.customers
    FROM @firn_landing.bronze.landing/crm/customers/
    FILE_FORMAT = (FORMAT_NAME = 'firn_landing.bronze.csv_with_header')
    MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
    INCLUDE_METADATA = (
        _file_name = METADATA$FILENAME,
        _row_number = METADATA$FILE_ROW_NUMBER,
        _content_key = METADATA$FILE_CONTENT_KEY,
        _modified_at = METADATA$FILE_LAST_MODIFIED,
        _loaded_at = METADATA$START_SCAN_TIME
    )
    ON_ERROR = SKIP_FILE;

-- inventory, JSON, one document per line: ERP stock list: one document per product and change.
CREATE TABLE IF NOT EXISTS firn_landing.bronze.inventory (
    record        VARIANT,        -- the document as it came
    _file_name    VARCHAR,        -- object in the bucket
    _row_number   NUMBER,         -- place in the file
    _content_key  VARCHAR,        -- the object's checksum
    _modified_at  TIMESTAMP_NTZ,  -- when the object was written, UTC
    _loaded_at    TIMESTAMP_NTZ   -- when the file was read, UTC
);

-- A whole document has no column names to match, so this pipe selects it; VALIDATE_PIPE_LOAD does not work on it, COPY_HISTORY does.
CREATE PIPE IF NOT EXISTS firn_landing.bronze.inventory_pipe
    AUTO_INGEST = TRUE
    COMMENT = 'Firn: s3://<bucket>/erp/inventory/ into bronze.inventory'
AS
    COPY INTO firn_landing.bronze.inventory (record, _file_name, _row_number, _content_key, _modified_at, _loaded_at)
    FROM (
        SELECT
            $1,
            METADATA$FILENAME,
            METADATA$FILE_ROW_NUMBER,
            METADATA$FILE_CONTENT_KEY,
            METADATA$FILE_LAST_MODIFIED,
            METADATA$START_SCAN_TIME
        FROM @firn_landing.bronze.landing/erp/inventory/
    )
    FILE_FORMAT = (FORMAT_NAME = 'firn_landing.bronze.json_documents')
    ON_ERROR = SKIP_FILE;

-- web_events, Parquet: The web site's log.
CREATE TABLE IF NOT EXISTS firn_landing.bronze.web_events (
    event_id      VARCHAR,
    customer_id   VARCHAR,
    event_type    VARCHAR,
    page          VARCHAR,
    occurred_at   VARCHAR,
    session_id    VARCHAR,
    _file_name    VARCHAR,        -- object in the bucket
    _row_number   NUMBER,         -- place in the file
    _content_key  VARCHAR,        -- the object's checksum
    _modified_at  TIMESTAMP_NTZ,  -- when the object was written, UTC
    _loaded_at    TIMESTAMP_NTZ   -- when the file was read, UTC
);

CREATE PIPE IF NOT EXISTS firn_landing.bronze.web_events_pipe
    AUTO_INGEST = TRUE
    COMMENT = 'Firn: s3://<bucket>/web/events/ into bronze.web_events'
AS
    COPY INTO firn_landing.bronze.web_events
    FROM @firn_landing.bronze.landing/web/events/
    FILE_FORMAT = (FORMAT_NAME = 'firn_landing.bronze.parquet_columns')
    MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
    INCLUDE_METADATA = (
        _file_name = METADATA$FILENAME,
        _row_number = METADATA$FILE_ROW_NUMBER,
        _content_key = METADATA$FILE_CONTENT_KEY,
        _modified_at = METADATA$FILE_LAST_MODIFIED,
        _loaded_at = METADATA$START_SCAN_TIME
    )
    ON_ERROR = SKIP_FILE;

-- orders, CSV: Order lines of the shop; a later row of the same line corrects it.
CREATE TABLE IF NOT EXISTS firn_landing.bronze.orders (
    order_id      VARCHAR,
    line_no       VARCHAR,
    customer_id   VARCHAR,
    sku           VARCHAR,
    quantity      VARCHAR,
    unit_price    VARCHAR,
    currency      VARCHAR,
    region        VARCHAR,
    status        VARCHAR,
    ordered_at    VARCHAR,
    updated_at    VARCHAR,
    _file_name    VARCHAR,        -- object in the bucket
    _row_number   NUMBER,         -- place in the file
    _content_key  VARCHAR,        -- the object's checksum
    _modified_at  TIMESTAMP_NTZ,  -- when the object was written, UTC
    _loaded_at    TIMESTAMP_NTZ   -- when the file was read, UTC
);

CREATE PIPE IF NOT EXISTS firn_landing.bronze.orders_pipe
    AUTO_INGEST = TRUE
    COMMENT = 'Firn: s3://<bucket>/shop/orders/ into bronze.orders'
AS
    COPY INTO firn_landing.bronze.orders
    FROM @firn_landing.bronze.landing/shop/orders/
    FILE_FORMAT = (FORMAT_NAME = 'firn_landing.bronze.csv_with_header')
    MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
    INCLUDE_METADATA = (
        _file_name = METADATA$FILENAME,
        _row_number = METADATA$FILE_ROW_NUMBER,
        _content_key = METADATA$FILE_CONTENT_KEY,
        _modified_at = METADATA$FILE_LAST_MODIFIED,
        _loaded_at = METADATA$START_SCAN_TIME
    )
    ON_ERROR = SKIP_FILE;
