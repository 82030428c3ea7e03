"""A small sales table as an online shop's database holds it, with the faults such tables have, and the truth about it.

The lines are put into Postgres, `firn extract` sends them to S3, and what gold makes of them is held against `sales_truth`,
which counts the lines themselves with plain Python.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

TABLE = "shop.sales"
COLUMN = "InvoiceDate"  # tells when a line was written; the table only grows
CREATE = """
CREATE TABLE shop.sales (
    "InvoiceNo" text NOT NULL, "StockCode" text NOT NULL, "Description" text, "Quantity" integer NOT NULL,
    "InvoiceDate" timestamp NOT NULL, "UnitPrice" numeric(12, 2) NOT NULL, "CustomerID" integer, "Country" text
)
"""
INVOICES_A_DAY = 40
MOST_LINES = 12
COUNTRIES = ("United Kingdom", "Germany", "France", "EIRE")
THINGS = ("LANTERN", "MUG", "CAKE STAND", 'CLOCK "PARIS"', "BUNTING, 3 M", "T-LIGHT HOLDER", "RÉTRO SIGN", "GIFT WRAP 50% OFF")
COLOURS = ("WHITE", "RED", "GREEN", "VINTAGE", "PINK")
CHARGES = (("POST", "POSTAGE"), ("M", "Manual"), ("BANK CHARGES", "Bank Charges"))


@dataclass(frozen=True)
class Line:
    """One line of an invoice, as the table has it."""

    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    invoiced_at: datetime
    unit_price: Decimal
    customer_id: int | None
    country: str

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


def sales(seed: int = 7, days: int = 6, start: date = date(2024, 3, 1)) -> list[Line]:
    """The lines of so many days, in the order they were written; the same arguments give the same lines.

    Among them: cancellations (`C…`, negative quantities), charges that are no products, lines without a customer or a
    description, prices of 0, padded descriptions, a code with another description on another day, and lines that are
    there twice and mean it.
    """
    rng = random.Random(f"sales {seed}")
    catalogue = [(f"{code}{rng.choice('ABCab') if code % 5 == 0 else ''}", Decimal(rng.randint(29, 2995)) / 100) for code in range(20001, 20121)]
    lines: list[Line] = []
    number = 536_000
    for day in range(days):
        opens = datetime.combine(start + timedelta(days=day), datetime.min.time()) + timedelta(hours=8)
        for minute in sorted(rng.sample(range(600), INVOICES_A_DAY)):
            number += 1
            lines += invoice(rng, number, opens + timedelta(minutes=minute), catalogue, lines)
    return lines


def invoice(rng: random.Random, number: int, at: datetime, catalogue: Sequence[tuple[str, Decimal]], before: Sequence[Line]) -> list[Line]:
    """The lines of one invoice; one in twelve takes back lines of an invoice before it."""
    if before and rng.random() < 1 / 12:
        gone = rng.sample(before, min(2, len(before)))
        return [Line(f"C{number}", e.stock_code, e.description, -abs(e.quantity), at, e.unit_price, e.customer_id, e.country) for e in gone]
    customer = None if rng.random() < 0.2 else rng.randint(12_346, 12_500)
    country = rng.choices(COUNTRIES, (85, 6, 6, 3))[0]
    made = []
    for code, price in rng.sample(catalogue, rng.randint(1, MOST_LINES)):
        free = rng.random() < 0.01
        shown = None if free else described(rng, code, at)
        made.append(Line(str(number), code, shown, rng.randint(1, 48), at, Decimal("0.00") if free else price, customer, country))
    if rng.random() < 0.1:
        code, name = rng.choice(CHARGES)
        made.append(Line(str(number), code, name, 1, at, Decimal(rng.randint(100, 4000)) / 100, customer, country))
    if rng.random() < 0.05:
        made.append(made[0])
    return made


def described(rng: random.Random, code: str, at: datetime) -> str:
    """What a code is called: another colour from the fourth of the month on for some, and sometimes padded."""
    place = int(code[:5])
    colour = COLOURS[(place + (at.day >= 4 and place % 7 == 0)) % len(COLOURS)]
    pad = "  " if rng.random() < 0.2 else ""
    return f"{pad}{colour} {THINGS[place % len(THINGS)]} {place % 40}{pad}"


def insert(connection: Any, lines: Iterable[Line]) -> None:
    """Put the lines into the table of a Postgres, in one transaction."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} FROM STDIN") as rows:
        for line in lines:
            rows.write_row((line.invoice_no, line.stock_code, line.description, line.quantity, line.invoiced_at, line.unit_price, line.customer_id, line.country))


def sales_truth(lines: Sequence[Line]) -> dict[str, Any]:
    """What `invoices` and `products` must hold when all lines are in: counts and sums, and every row of both.

    invoices  number → lines, quantity, amount
    products  code → lines, quantity, amount, description (the latest one given; None if there never was one)
    """
    invoices: dict[str, list[Any]] = {}
    products: dict[str, list[Any]] = {}
    for line in sorted(lines, key=lambda each: (each.invoiced_at, (each.description or "").strip())):
        for table, key in ((invoices, line.invoice_no), (products, line.stock_code)):
            row = table.setdefault(key, [0, 0, Decimal(0), None])
            row[:3] = row[0] + 1, row[1] + line.quantity, row[2] + line.amount
            row[3] = line.description.strip() if line.description else row[3]
    return {
        "lines": len(lines),
        "customers": len({line.customer_id for line in lines} - {None}),
        "amount": sum(line.amount for line in lines),
        "invoices": {number: tuple(row[:3]) for number, row in invoices.items()},
        "products": {code: tuple(row) for code, row in products.items()},
    }
