"""Reads the statements that neither DuckDB nor sqlglot has a tree for: tasks, pipes, procedures, grants, …

A statement is a list of tokens (sqlglot's Snowflake tokenizer, so strings, comments and `$$ … $$` are right), read from left to right.
"""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot.tokens import Token, TokenType

from local.errors import syntax

STRINGS = (TokenType.STRING, TokenType.RAW_STRING, TokenType.HEREDOC_STRING)


def tokenize(sql: str) -> list[Token]:
    """The statement's tokens. sqlglot takes what follows EXECUTE, SHOW or CALL as one string; here it is read too."""
    tokens = sqlglot.tokenize(sql, read="snowflake")
    if len(tokens) > 1 and tokens[0].token_type in sqlglot.tokens.Tokenizer.COMMANDS:
        first = tokens[0]
        blanked = sql[: first.start] + "_" * len(first.text) + sql[first.start + len(first.text) :]
        tokens = [first, *sqlglot.tokenize(blanked, read="snowflake")[1:]]
    return tokens


def single_words(token: Token) -> list[Token]:
    """sqlglot joins some keywords ("FILE FORMAT") into one token; here every word stands alone."""
    if token.token_type in (*STRINGS, TokenType.IDENTIFIER) or " " not in token.text:
        return [token]
    words, at = [], token.start
    for text in token.text.split():
        words.append(Token(TokenType.VAR, text, token.line, token.col, at, at + len(text) - 1))
        at += len(text) + 1
    return words


class Reader:
    """A position in a statement. `word` consumes what it matches, and what is not there is a syntax error."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        try:
            self.tokens: list[Token] = [part for t in tokenize(sql) for part in single_words(t)]
        except sqlglot.errors.TokenError as e:
            raise syntax(f"syntax error: {e}") from None
        while self.tokens and self.tokens[-1].token_type == TokenType.SEMICOLON:
            self.tokens.pop()
        self.at = 0

    # --- looking

    @property
    def done(self) -> bool:
        return self.at >= len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        """The upper-cased text of a coming token ('' past the end)."""
        i = self.at + ahead
        return self.tokens[i].text.upper() if i < len(self.tokens) else ""

    def is_string(self) -> bool:
        return not self.done and self.tokens[self.at].token_type in STRINGS

    def starts(self, *words: str) -> bool:
        return all(self.peek(i) == word for i, word in enumerate(words)) and not self.is_string()

    def position(self) -> int:
        """Where the next token starts in the statement's text."""
        return self.tokens[self.at].start if not self.done else len(self.sql)

    # --- taking

    def words(self, *words: str) -> bool:
        """Take these words if they come next, all or none."""
        if self.starts(*words):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.words(*words):
            raise syntax(f"syntax error at '{self.peek() or '<EOF>'}' (position {self.position()}): expected {' '.join(words)}")

    def token(self) -> Token:
        if self.done:
            raise syntax("syntax error: unexpected end of statement")
        self.at += 1
        return self.tokens[self.at - 1]

    def string(self) -> str:
        if not self.is_string():
            raise syntax(f"syntax error at '{self.peek() or '<EOF>'}': expected a string")
        return self.token().text

    def name(self) -> tuple[str, ...]:
        """A possibly qualified name, upper-cased unless quoted: `firn.core.x` → ('FIRN', 'CORE', 'X')."""
        parts = [self._name_part()]
        while self.words("."):
            parts.append(self._name_part())
        return tuple(parts)

    def _name_part(self) -> str:
        if self.words("IDENTIFIER", "("):
            text = self.string()
            self.expect(")")
            return text.upper()
        token = self.token()
        if token.token_type == TokenType.IDENTIFIER:
            return token.text
        if not (token.text[:1].isalpha() or token.text[:1] == "_"):
            raise syntax(f"syntax error at '{token.text}': expected a name")
        return token.text.upper()

    def stage_path(self) -> str:
        """`@db.schema.stage/dir/file` or a quoted '@…', as written, without the '@'."""
        if self.is_string():
            return self.string().lstrip("@")
        start = self.position()
        i = start
        while i < len(self.sql) and not self.sql[i].isspace() and self.sql[i] not in ",;)":
            i += 1
        while not self.done and self.tokens[self.at].start < i:
            self.at += 1
        return self.sql[start:i].lstrip("@")

    def parenthesised(self) -> str:
        """The raw text between a '(' that comes next and its ')'."""
        start = self.position() + 1
        self.expect("(")
        depth = 1
        while depth:
            token = self.token()
            if token.token_type not in STRINGS:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
        return self.sql[start : self.tokens[self.at - 1].start]

    def rest(self) -> str:
        """Everything that is left, as written."""
        start = self.position()
        self.at = len(self.tokens)
        return self.sql[start:].strip().rstrip(";").strip()

    def value(self) -> Any:
        """An option's value: string, number, boolean, word, dotted name, or a parenthesised list or set of options."""
        if self.is_string():
            return self.string()
        if self.starts("("):
            inner = Reader(self.parenthesised())
            if not inner.done and inner.peek(1) in ("=", "=>"):
                return inner.options()
            items = []
            while not inner.done:
                items.append(inner.value())
                inner.words(",")
            return items
        if self.words("-"):
            return -self.value()
        token = self.token()
        if token.token_type == TokenType.NUMBER:
            return float(token.text) if "." in token.text else int(token.text)
        if token.text.upper() in ("TRUE", "FALSE"):
            return token.text.upper() == "TRUE"
        self.at -= 1
        return ".".join(self.name())

    def options(self, *stops: str) -> dict[str, Any]:
        """`KEY = value KEY = (A = 1, B = 2) …` until the end or one of the stop words; keys in upper case."""
        found: dict[str, Any] = {}
        while not self.done and self.peek() not in stops:
            if self.words(","):
                continue
            key = self.token().text.upper()
            if not (self.words("=") or self.words("=>")):
                raise syntax(f"syntax error at '{self.peek() or '<EOF>'}': expected = after {key}")
            found[key] = self.value()
        return found
