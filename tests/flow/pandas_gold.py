"""Gold's numbers computed from the files alone: pandas over the CSV, JSON and Parquet of the generator, nothing of the pipeline.

Written from the meaning of the tables, not from their code: read everything, throw out what fails a check, keep the last word on
each key, sum.  Money is counted in whole cents.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

CUSTOMER = {"revenue", "orders", "cancelled_lines"}


def csv_rows(folder: Path, pattern: str) -> pd.DataFrame:
    """Every row as text; a short line has nothing in its last fields, a long one loses the surplus."""
    parts = []
    for file in sorted(folder.rglob(pattern)):
        head, *lines = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines() if line]
        parts.append(pd.DataFrame([(line + [""] * len(head))[: len(head)] for line in lines], columns=head))
    return pd.concat(parts, ignore_index=True).apply(lambda column: column.str.strip(" \t\r\n"))


def cents(money: pd.Series) -> pd.Series:
    whole, _, part = money.str.partition(".")[0], None, money.str.partition(".")[2].str.ljust(2, "0")
    return whole.astype("int64") * 100 + part.astype("int64")


def order_lines(generated: Path) -> pd.DataFrame:
    """The last word on every order line that passes: order_id, line_no, customer_id, sku, quantity, cents, region, status, at, month."""
    rows = csv_rows(generated, "shop/orders/*.csv")
    at = pd.to_datetime(rows["ordered_at"], errors="coerce", format="ISO8601")
    updated = pd.to_datetime(rows["updated_at"], errors="coerce", format="ISO8601")
    passes = (rows["order_id"] != "") & at.notna() & updated.notna() & (rows["quantity"].str.lstrip("-").str.isdigit())
    lines = rows[passes].assign(at=at[passes], updated=updated[passes], quantity=rows["quantity"][passes].astype("int64"))
    lines = lines[lines["quantity"] > 0]
    lines = lines.assign(cents=lines["quantity"] * cents(lines["unit_price"]), customer_id=pd.to_numeric(lines["customer_id"]).astype("Int64"))
    lines["region"], lines["status"], lines["sku"] = lines["region"].str.lower(), lines["status"].str.lower(), lines["sku"].str.upper()
    lines["month"] = lines["at"].dt.to_period("M").dt.start_time.dt.date
    # At one instant the greater content counts; the generator's ties differ in nothing that is summed here but quantity.
    lines = lines.sort_values(["updated", "quantity"], kind="stable")
    return lines.groupby(["order_id", "line_no"], sort=False).tail(1).reset_index(drop=True)


def monthly_metrics(lines: pd.DataFrame) -> pd.DataFrame:
    counted = lines[lines["status"] != "cancelled"]
    return counted.groupby("month").agg(revenue=("cents", "sum"), orders=("order_id", "nunique"), customers=("customer_id", "nunique"))


def orders_by_region(lines: pd.DataFrame) -> pd.DataFrame:
    counted = lines[lines["status"] != "cancelled"]
    return counted.groupby(["month", "region"]).agg(orders=("order_id", "nunique"), revenue=("cents", "sum"))


def sales_report(lines: pd.DataFrame) -> pd.DataFrame:
    counted = lines[lines["status"] != "cancelled"]
    counted = counted.assign(returned=counted["cents"].where(counted["status"] == "returned", 0))
    groups = counted.groupby(["month", "sku"])
    return groups.agg(orders=("order_id", "nunique"), quantity=("quantity", "sum"), revenue=("cents", "sum"), returned=("returned", "sum"))


def customer_report(lines: pd.DataFrame) -> pd.DataFrame:
    is_cancelled = lines["status"] == "cancelled"
    marked = lines.assign(
        living_order=lines["order_id"].where(~is_cancelled), cancelled=is_cancelled.astype("int64"), living=lines["cents"].where(~is_cancelled, 0)
    )
    return marked.groupby("customer_id", dropna=False).agg(
        orders=("living_order", "nunique"), cancelled_lines=("cancelled", "sum"), revenue=("living", "sum"), first_order_at=("at", "min"), last_order_at=("at", "max")
    )


def web_events(generated: Path) -> pd.DataFrame:
    """Events of the web site that pass, each once."""
    rows = pd.concat([pd.read_parquet(file) for file in sorted(generated.rglob("web/events/*.parquet"))], ignore_index=True)
    at = pd.to_datetime(rows["occurred_at"], errors="coerce", format="ISO8601")
    event_id = rows["event_id"].astype("string").str.strip()
    passes = event_id.notna() & (event_id != "") & at.notna() & rows["event_type"].notna()
    events = rows.assign(event_id=event_id, at=at)[passes].drop_duplicates("event_id")
    events["customer_id"] = pd.to_numeric(events["customer_id"]).astype("Int64")
    return events.assign(month=events["at"].dt.to_period("M").dt.start_time.dt.date, day=events["at"].dt.date)


def monthly_active_users(events: pd.DataFrame) -> pd.DataFrame:
    return events.groupby("month").agg(active_users=("customer_id", "nunique"), events=("event_id", "count"))


def user_activity(events: pd.DataFrame) -> pd.DataFrame:
    groups = events.groupby("customer_id", dropna=False)
    return groups.agg(
        events=("event_id", "count"), sessions=("session_id", "nunique"), active_days=("day", "nunique"), first_seen_at=("at", "min"), last_seen_at=("at", "max")
    )


def tables(generated: Path) -> dict[str, pd.DataFrame]:
    """Every KPI of retail.yml, by name; money in cents."""
    lines, events = order_lines(generated), web_events(generated)
    return {
        "monthly_metrics": monthly_metrics(lines),
        "orders_by_region": orders_by_region(lines),
        "sales_report": sales_report(lines),
        "customer_report": customer_report(lines),
        "monthly_active_users": monthly_active_users(events),
        "user_activity": user_activity(events),
    }


MONEY = ("revenue", "returned")


def plain(value: object) -> str:
    return "" if pd.isna(value) else str(value).removesuffix(".0")


def rows_of(table: pd.DataFrame) -> set[tuple[str, ...]]:
    """Index and columns as texts, comparable with `rows_of_gold`."""
    flat = table.reset_index()
    return {tuple(plain(value) for value in row) for row in flat.itertuples(index=False)}


def rows_of_gold(found: list[dict], columns: list[str]) -> set[tuple[str, ...]]:
    """The same columns of gold's rows; money as cents."""

    def cell(name: str, value: object) -> str:
        return plain(int(value * 100)) if name in MONEY and value is not None else plain(None if value is None else value)

    return {tuple(cell(name, row[name]) for name in columns) for row in found}
