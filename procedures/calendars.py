"""The date dimension: one row per day, for the range the facts need."""

from datetime import date, timedelta

import snowflake.snowpark.functions as F
from cleaning import snowpark_type
from snowflake.snowpark import Column, DataFrame

UNKNOWN = -1
# A year outside these is a slip of the pen; a row for every day up to it would drown the others.
FIRST, LAST = date(1900, 1, 1), date(2199, 12, 31)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def is_in_range(at: Column) -> Column:
    return (at >= F.lit(FIRST).cast("date")) & (at <= F.lit(LAST).cast("date"))


def date_key(at: Column) -> Column:
    """The key of a moment's day: YYYYMMDD, or UNKNOWN for no time and for one outside the calendar's range."""
    day = at.cast("date")
    number = F.year(day) * F.lit(10000) + F.month(day) * F.lit(100) + F.dayofmonth(day)
    return F.iff(F.coalesce(is_in_range(day), F.lit(False)), number, F.lit(UNKNOWN)).cast(snowpark_type("integer"))


def needed(at: str, stands: Column) -> list[Column]:
    """Of the rows that stand, the first and the last day that lie in the calendar's range: needed_from, needed_to."""
    day = F.col(at).cast("date")
    counts = F.iff(stands & F.coalesce(is_in_range(day), F.lit(False)), day, F.lit(None))
    return [F.min(counts).alias("needed_from"), F.max(counts).alias("needed_to")]


def missing_days(
    needed_from: date | None, needed_to: date | None, first: date | None, last: date | None
) -> list[tuple[date, date]]:
    """The runs of days to add to a calendar from `first` to `last`, so that it reaches over what is needed.

    >>> missing_days(date(2024, 1, 1), date(2024, 1, 9), date(2024, 1, 3), date(2024, 1, 5))
    [(datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)), (datetime.date(2024, 1, 6), datetime.date(2024, 1, 9))]
    >>> missing_days(date(2024, 1, 1), date(2024, 1, 9), None, None)
    [(datetime.date(2024, 1, 1), datetime.date(2024, 1, 9))]
    """
    if needed_from is None or needed_to is None:
        return []
    if first is None or last is None:
        return [(needed_from, needed_to)]
    before = [(needed_from, first - timedelta(days=1))] if needed_from < first else []
    after = [(last + timedelta(days=1), needed_to)] if needed_to > last else []
    return before + after


def days(numbers: DataFrame, start: date) -> DataFrame:
    """One row per day from `start` on, with the columns of `catalogue.CALENDAR`.

    Reads:  numbers  day_no, from 0 on
    """
    day = F.dateadd("day", F.col("day_no"), F.lit(start).cast("date")).cast("date")
    dated = numbers.select(day.alias("calendar_date"))
    at = F.col("calendar_date")
    weekday = F.call_function("dayofweekiso", at)
    return dated.select(
        date_key(at).alias("date_key"),
        at,
        F.year(at).alias("calendar_year"),
        F.quarter(at).alias("calendar_quarter"),
        F.month(at).alias("calendar_month"),
        worded(F.month(at), MONTHS).alias("month_name"),
        F.date_trunc("month", at).cast("date").alias("month_start"),
        F.call_function("yearofweekiso", at).alias("iso_year"),
        F.call_function("weekiso", at).alias("iso_week"),
        F.dayofmonth(at).alias("day_of_month"),
        weekday.alias("day_of_week"),
        worded(weekday, DAYS).alias("day_name"),
        (weekday >= F.lit(6)).alias("is_weekend"),
    )


def worded(number: Column, words: list[str]) -> Column:
    """The word with this number, from 1 on.  Snowflake's own MONTHNAME gives three letters."""
    chain = F.when(number == F.lit(1), F.lit(words[0]))
    for position, word in enumerate(words[1:], start=2):
        chain = chain.when(number == F.lit(position), F.lit(word))
    return chain
