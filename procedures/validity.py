"""Functions for checks that SQL says badly; vectorised: a block of rows comes in, a column goes out."""

import re

import pandas

# One @, no blanks, no dot at the beginning and no two in a row; labels of the domain neither empty nor beginning or ending in a
# hyphen, at least one dot.
EMAIL = r"(?!\.)(?!.*\.\.)[^@\s,;<>()\[\]\"]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"


def is_email(block: pandas.DataFrame) -> pandas.Series:
    """Whether each text could receive mail, by its form; FALSE for NULL.

    >>> is_email(pandas.DataFrame({0: ["ann@example.com", "ann@example", "a b@example.com", None]})).tolist()
    [True, False, False, False]
    """
    fits = re.compile(EMAIL).fullmatch
    found = [isinstance(text, str) and fits(text) is not None for text in block.iloc[:, 0].tolist()]
    return pandas.Series(found, index=block.index, dtype=bool)


is_email._sf_vectorized_input = pandas.DataFrame  # type: ignore[attr-defined]
