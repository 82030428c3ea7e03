"""How dates, times and numbers are written: the formats of a pipeline file, and the shape a text must have for each.

The shape decides, before anything is parsed: left to themselves, parsers read `32154` as a date, in different ways.
"""

import re

# Element of a format -> what stands in its place.  Longer ones are looked for first.
ELEMENTS = {
    "YYYY": "[0-9]{4}",
    "YY": "[0-9]{2}",
    "MON": "[A-Za-z]{3}",
    "MM": "[0-9]{2}",
    "DD": "[0-9]{2}",
    "HH24": "[0-9]{2}",
    "HH12": "[0-9]{2}",
    "MI": "[0-9]{2}",
    "SS": "[0-9]{2}",
    "FF": "[0-9]{1,9}",
    "AM": "[AaPp][Mm]",
    "TZH:TZM": "[+-][0-9]{2}:[0-9]{2}",
}
PLAIN = "-/. ,:_T"
PIECE = re.compile("|".join(sorted(map(re.escape, ELEMENTS), key=len, reverse=True)) + f"|[{re.escape(PLAIN)}]")

# Numbers that stand for a day or a moment.
COUNTED = {
    "date": ("excel_days", "unix_days"),
    "timestamp": ("unix_seconds", "unix_milliseconds"),
}
# How a number may be written, by example: (what parts thousands, what parts the fraction).
NUMBERS = {
    "1234.56": ("", "."),
    "1,234.56": (",", "."),
    "1234,56": ("", ","),
    "1.234,56": (".", ","),
    "1 234,56": (" ", ","),
    "1 234.56": (" ", "."),
    "1'234.56": ("'", "."),
    "(1,234.56)": (",", "."),  # below zero in brackets
    "1,234.56-": (",", "."),  # the sign behind
}


def is_number(type_name: str) -> bool:
    return type_name.startswith("number") or type_name == "integer"


def pieces(pattern: str) -> list[str] | None:
    """The elements of a date format, or None where something is none.

    >>> pieces("DD.MM.YYYY"), pieces("YYYY'; drop")
    (['DD', '.', 'MM', '.', 'YYYY'], None)
    """
    found = PIECE.findall(pattern)
    return found if "".join(found) == pattern else None


def problem_of(pattern: str, type_name: str) -> str:
    """What keeps a format from being used for a type; nothing when it may be.

    >>> problem_of("DD.MM.YYYY", "date"), problem_of("1.234,56", "number")
    ('', '')
    >>> problem_of("DD.MM", "date")
    'format `DD.MM` does not say the day in full: it needs a year, a month and a day'
    """
    if is_number(type_name):
        known = ", ".join(f"`{example}`" for example in NUMBERS)
        return "" if pattern in NUMBERS else f"unknown format `{pattern}`. A number is written as one of: {known}"
    if type_name not in COUNTED:
        return f"a {type_name} has no formats; they are for dates, times and numbers"
    if pattern in COUNTED[type_name]:
        return ""
    found = pieces(pattern)
    if found is None:
        known = ", ".join((*ELEMENTS, *COUNTED[type_name]))
        return f"unknown format `{pattern}`. It may have: {known}, and between them `{PLAIN}`"
    if len([item for item in found if item in ELEMENTS]) != len({item for item in found if item in ELEMENTS}):
        return f"format `{pattern}` says something twice"
    if not ({"YYYY", "YY"} & set(found) and {"MM", "MON"} & set(found) and "DD" in found):
        return f"format `{pattern}` does not say the day in full: it needs a year, a month and a day"
    if type_name == "date" and {"HH24", "HH12", "MI", "SS", "FF", "AM", "TZH:TZM"} & set(found):
        return f"format `{pattern}` has a time; the column is a date"
    if ("HH12" in found) != ("AM" in found):
        return f"format `{pattern}`: HH12 and AM go together"
    return ""


def shape(pattern: str) -> str:
    """The regular expression of texts in a date format.

    >>> shape("DD.MM.YYYY")
    '^[0-9]{2}[.][0-9]{2}[.][0-9]{4}$'
    """
    found = pieces(pattern) or []
    return "^" + "".join(ELEMENTS.get(item, f"[{item}]" if item in "./-" else item) for item in found) + "$"


def number_shape(example: str) -> str:
    """The regular expression of numbers written as the example is.

    >>> number_shape("1.234,56")
    '^[+-]?([0-9]{1,3}([.][0-9]{3})+|[0-9]+)(,[0-9]+)?$'
    """
    thousands, fraction = (f"[{mark}]" if mark == "." else mark for mark in NUMBERS[example])
    whole = f"([0-9]{{1,3}}({thousands}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    digits = f"{whole}({fraction}[0-9]+)?"
    if example.startswith("("):
        return f"^([+-]?{digits}|[(]{digits}[)])$"
    return f"^([+-]?{digits}|{digits}-)$" if example.endswith("-") else f"^[+-]?{digits}$"
