"""Functions for checks that SQL says badly; vectorised: a block of rows comes in, a column goes out."""

import pandas

# One @, no blanks, labels of the domain neither empty nor beginning or ending in a hyphen, at least one dot.
EMAIL = r"[^@\s,;<>()\[\]\"]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"


def is_email(block: pandas.DataFrame) -> pandas.Series:
    """Whether each text could receive mail, by its form; FALSE for NULL.

    >>> is_email(pandas.DataFrame({0: ["ann@example.com", "ann@example", "a b@example.com", None]})).tolist()
    [True, False, False, False]
    """
    texts = block.iloc[:, 0].astype("string")
    dotted = texts.str.fullmatch(EMAIL) & ~texts.str.contains("..", regex=False) & ~texts.str.startswith(".")
    return dotted.fillna(False).astype(bool)


is_email._sf_vectorized_input = pandas.DataFrame  # type: ignore[attr-defined]
