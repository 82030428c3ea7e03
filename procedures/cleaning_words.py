"""The cleaning vocabulary on frames: what each word of a pipeline file does to a text, and how texts become values."""

import snowflake.snowpark.functions as F
import snowflake.snowpark.types as T
from formats import COUNTED, NUMBERS, number_shape, pieces, shape
from snowflake.snowpark import Column
from spec_columns import NUMBER, Cleaning, constant
from specs import Column as SourceColumn

BLANKS = " \t\r\n"
SECONDS_A_DAY = 86_400
DAY_ZERO = {"excel_days": "1899-12-30", "unix_days": "1970-01-01"}  # Excel's own count is right from March 1900
OFFSET = "[+-][0-9]{2}:[0-9]{2}"
NTZ = T.TimestampType(T.TimestampTimeZone.NTZ)


def applied(value: Column, cleaning: Cleaning) -> Column:
    """A text after one cleaning; NULL stays NULL."""
    return WORDS[cleaning.word](value, cleaning.arguments)


def empty_to_null(value: Column) -> Column:
    return F.iff(F.trim(value, F.lit(BLANKS)) == F.lit(""), F.lit(None), value)


def without_prefix(value: Column, prefixes: tuple[str, ...]) -> Column:
    """Of several, the first that fits goes, once."""
    case = F.when(F.startswith(value, F.lit(prefixes[0])), tail(value, len(prefixes[0])))
    for prefix in prefixes[1:]:
        case = case.when(F.startswith(value, F.lit(prefix)), tail(value, len(prefix)))
    return case.otherwise(value)


def tail(value: Column, skipped: int) -> Column:
    return F.substring(value, F.lit(skipped + 1), F.length(value))


def without_suffix(value: Column, suffixes: tuple[str, ...]) -> Column:
    def head(suffix: str) -> Column:
        return F.substring(value, F.lit(1), F.length(value) - F.lit(len(suffix)))

    case = F.when(F.endswith(value, F.lit(suffixes[0])), head(suffixes[0]))
    for suffix in suffixes[1:]:
        case = case.when(F.endswith(value, F.lit(suffix)), head(suffix))
    return case.otherwise(value)


def part_of(value: Column, by: str, part: int) -> Column:
    found = F.call_function("split_part", value, F.lit(by), F.lit(part))
    return F.iff(found == F.lit(""), F.lit(None), found)


def replaced(value: Column, pattern: str, instead: str) -> Column:
    return F.regexp_replace(value, F.lit(pattern), F.lit(instead))


WORDS = {
    "trim": lambda value, _: F.trim(value, F.lit(BLANKS)),
    "lower": lambda value, _: F.lower(value),
    "upper": lambda value, _: F.upper(value),
    "title": lambda value, _: F.initcap(value),
    "empty_to_null": lambda value, _: empty_to_null(value),
    "collapse_spaces": lambda value, _: replaced(value, "[[:space:]]+", " "),
    "digits_only": lambda value, _: replaced(value, "[^0-9]", ""),
    "strip_prefix": without_prefix,
    "strip_suffix": without_suffix,
    "strip_characters": lambda value, given: F.call_function("translate", value, F.lit(given[0]), F.lit("")),
    "split": lambda value, given: part_of(value, given[0], int(given[1])),
    "replace": lambda value, given: replaced(value, given[0], given[1]),
    "null_if": lambda value, given: F.iff(value.in_([F.lit(word) for word in given]), F.lit(None), value),
}


def dated(text: Column, column: SourceColumn) -> Column:
    """A date or a moment in UTC, by the first of the column's formats whose shape the text has; NULL when none fits."""
    attempts = [dated_as(text, pattern, column) for pattern in column.formats]
    return F.coalesce(*attempts) if len(attempts) > 1 else attempts[0]


def dated_as(text: Column, pattern: str, column: SourceColumn) -> Column:
    """By one format.  Digits that may be one or two are made two, so that every engine reads the same."""
    if pattern in COUNTED[column.type]:
        return counted(text, pattern)
    elements = pieces(pattern) or []
    function = "try_to_date" if column.type == "date" else "try_to_timestamp_ntz"
    padded = twice_padded(text) if loose(pattern) else text
    if "TZH:TZM" not in elements:
        found = F.call_function(function, padded, F.lit(pattern))
        found = to_utc(found, column.zone) if column.type == "timestamp" else found
        return F.iff(text.rlike(F.lit(shape_of(pattern))), found, F.lit(None))
    whole = replaced(padded, "Z$", "+00:00")
    clock = F.call_function(function, F.substring(whole, F.lit(1), F.length(whole) - F.lit(6)), F.lit(pattern.replace("TZH:TZM", "")))
    return F.iff(text.rlike(F.lit(shape_of(pattern))), ahead(whole, clock), F.lit(None))


def loose(pattern: str) -> bool:
    """Whether days, months and hours may have one digit: they stand apart, and no fraction follows."""
    elements = pieces(pattern) or []
    return any(mark in elements for mark in "-/. ") and "FF" not in elements and "".join(elements[:2]) != "YYYYMM"


def shape_of(pattern: str) -> str:
    strict = shape(pattern).replace("[+-][0-9]{2}:[0-9]{2}", "([+-][0-9]{2}:[0-9]{2}|Z)")
    if not loose(pattern):
        return strict
    return "^" + "".join(
        "[0-9]{1,2}" if item in ("DD", "MM", "HH24", "HH12") else shape(item)[1:-1] for item in pieces(pattern) or []
    ).replace("[+-][0-9]{2}:[0-9]{2}", "([+-][0-9]{2}:[0-9]{2}|Z)") + "$"


def twice_padded(text: Column) -> Column:
    """`1/2/2024 8:05` as `01/02/2024 08:05`; twice, as neighbours share the mark between them."""
    once = replaced(text, "(^|[^0-9])([0-9])($|[^0-9])", r"\10\2\3")
    return replaced(once, "(^|[^0-9])([0-9])($|[^0-9])", r"\10\2\3")


def ahead(whole: Column, clock: Column) -> Column:
    """A clock's time less the offset that ends the text."""
    offset = F.substring(whole, F.length(whole) - F.lit(5), F.lit(6))
    hours = F.substring(offset, F.lit(2), F.lit(2)).try_cast(T.DecimalType(38, 0))
    minutes = F.substring(offset, F.lit(5), F.lit(2)).try_cast(T.DecimalType(38, 0))
    total = hours * F.lit(60) + minutes
    return F.dateadd("minute", F.iff(F.startswith(offset, F.lit("-")), total, F.lit(0) - total), clock)


def to_utc(clock: Column, zone: str) -> Column:
    """What a clock of the zone showed, in UTC."""
    return clock if zone == "UTC" else F.convert_timezone(F.lit("UTC"), clock, F.lit(zone))


def counted(text: Column, unit: str) -> Column:
    """Integers that count days or moments."""
    number = F.iff(text.rlike(F.lit("^-?[0-9]{1,13}$")), text.try_cast(T.DecimalType(38, 0)), F.lit(None))
    if unit in DAY_ZERO:
        in_reach = F.iff(number.between(F.lit(-700_000), F.lit(2_900_000)), number, F.lit(None))
        return F.dateadd("day", in_reach, F.lit(DAY_ZERO[unit]).cast(T.DateType()))
    part, limit = ("second", 10**11) if unit == "unix_seconds" else ("millisecond", 10**14)
    in_reach = F.iff(number.between(F.lit(-limit), F.lit(limit)), number, F.lit(None))
    return F.dateadd(part, in_reach, F.lit("1970-01-01 00:00:00").cast(NTZ))


def numbered(text: Column, column: SourceColumn, target: T.DataType) -> Column:
    """A number by the first of the column's formats whose shape the text has; NULL when none fits."""
    attempts = [F.iff(text.rlike(F.lit(number_shape(example))), plain_number(text, example), F.lit(None)) for example in column.formats]
    found = F.coalesce(*attempts) if len(attempts) > 1 else attempts[0]
    if column.type == "integer":
        found = F.iff(found.rlike(F.lit("^[+-]?[0-9]+([.]0*)?$")), found, F.lit(None))
    return found.try_cast(target)


def plain_number(text: Column, example: str) -> Column:
    """The number as Snowflake writes it: no marks between thousands, a point, the sign in front."""
    thousands, fraction = NUMBERS[example]
    found = F.replace(text, F.lit(thousands), F.lit("")) if thousands else text
    found = found if fraction == "." else F.replace(found, F.lit(fraction), F.lit("."))
    if example.startswith("("):
        return F.replace(F.replace(found, F.lit("("), F.lit("-")), F.lit(")"), F.lit(""))
    if example.endswith("-"):
        turned = F.concat(F.lit("-"), F.replace(found, F.lit("-"), F.lit("")))
        return F.iff(F.endswith(found, F.lit("-")), turned, found)
    return found


def bounded(value: Column, column: SourceColumn, target: T.DataType) -> Column:
    """The value, or NULL where it lies outside the column's bounds."""
    low, high = (None if end is None else F.lit(constant(end, column.type)).cast(target) for end in column.bounds)
    if low is None and high is None:
        return value
    inside = F.lit(True)
    inside = inside if low is None else value >= low
    inside = inside if high is None else (inside & (value <= high) if low is not None else value <= high)
    return F.iff(inside, value, F.lit(None).cast(target))


def text_judged(text: Column, parsed: Column, value: Column, column: SourceColumn) -> Column:
    """The text by which a column is judged: none, where the file says that NULL is the right reading of it."""
    if column.keeps_unreadable:
        return F.iff(value.is_null(), F.lit(None), text)
    if any(column.bounds):
        return F.iff(parsed.is_not_null() & value.is_null(), F.lit(None), text)
    return text


def is_numeric(type_name: str) -> bool:
    return type_name in ("number", "integer") or NUMBER.fullmatch(type_name) is not None
