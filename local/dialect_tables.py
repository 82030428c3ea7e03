"""What stands in FROM: VALUES, table functions, earlier results, sequences; and the names of a result's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import Expr as Expression
from sqlglot import exp, tokenize
from sqlglot.tokens import Token, TokenType

from local.dialect_errors import COMPILATION, error, unsupported
from local.dialect_names import REGISTERED, dotted, full_name

if TYPE_CHECKING:
    from local.duck import Connection


def values_columns(tree: Expression) -> None:
    """Give VALUES in FROM its columns, and turn $1, $2, … into them (what Snowpark's create_dataframe sends).

    docs.snowflake.com/en/sql-reference/constructs/values: unnamed columns are column1, column2, …
    """
    for select in list(tree.find_all(exp.Select)):
        source = select.args.get("from_")
        values = source.this if source is not None else None
        if not isinstance(values, exp.Values) or not values.expressions:
            continue
        first = values.expressions[0]
        width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
        alias = values.args.get("alias")
        if alias is None or not alias.args.get("columns"):
            columns = [exp.to_identifier(f"COLUMN{i + 1}", quoted=True) for i in range(width)]
            name = alias.this if alias is not None and alias.this else exp.to_identifier("VALUES", quoted=True)
            values.set("alias", exp.TableAlias(this=name, columns=columns))
        names = [c.name for c in values.args["alias"].args["columns"]]
        for parameter in list(select.find_all(exp.Parameter)):
            if isinstance(parameter.this, exp.Literal) and parameter.find_ancestor(exp.Select) is select:
                position = int(parameter.this.name) - 1
                if position >= len(names):
                    raise error(f"{COMPILATION}error line 1 at position 0\ninvalid identifier '${position + 1}'", 904, "42000")
                column = exp.column(exp.to_identifier(names[position], quoted=True))
                holder = parameter.parent if isinstance(parameter.parent, exp.Column) else parameter
                holder.replace(column)


def table_functions(tree: Expression, session: Connection) -> None:
    """Only Snowflake's table functions may stand in FROM: DuckDB's would read files."""
    for table in list(tree.find_all(exp.Table, exp.TableFromRows)):
        function = table.this
        if isinstance(table, exp.Table) and isinstance(function, exp.Identifier):
            continue
        name = str(function.this).upper() if isinstance(function, exp.Anonymous) else type(function).__name__.upper()
        if name in ("_SF.FLATTEN", "EXPLODE", "GENERATOR", "EXPLODINGGENERATESERIES"):
            continue
        if name == "RESULT_SCAN":
            table.replace(result_scan(function, session, table.args.get("alias")))
        elif isinstance(function, exp.Func):
            raise error(f"{COMPILATION}Unknown table function {name}", 2141, "42601")
        elif not isinstance(function, exp.Expression) or isinstance(function, (exp.Literal, exp.Parameter)):
            raise unsupported(table.sql("snowflake"))


def result_scan(function: exp.Anonymous, session: Connection, alias: Expression | None) -> exp.Table:
    """docs.snowflake.com/en/sql-reference/functions/result_scan; the last results of this session only."""
    asked = function.expressions[0] if function.expressions else None
    query_id = asked.name if isinstance(asked, exp.Literal) else session.last_query_id
    if query_id not in session.results:
        raise error(f"Statement {query_id} not found", 709, "02000")
    name = f"{REGISTERED}{query_id.replace('-', '_')}"
    session._duck_conn.register(name, session.results[query_id])
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=alias)


def sequences(tree: Expression, session: Connection) -> None:
    """s.NEXTVAL: docs.snowflake.com/en/user-guide/querying-sequences"""
    for column in list(tree.find_all(exp.Column)):
        if column.name == "NEXTVAL" and column.table:
            parts = [p.name for p in (column.args.get("catalog"), column.args.get("db"), column.args.get("table")) if p]
            table = exp.Table(**{k: exp.to_identifier(p, quoted=True) for k, p in zip(("this", "db", "catalog"), reversed(parts), strict=False)})
            name = dotted(full_name(table, session))
            value = exp.Anonymous(this="nextval", expressions=[exp.Literal.string(name)])
            column.replace(exp.alias_(value, "NEXTVAL", quoted=True) if isinstance(column.parent, exp.Select) else value)


def sequence_order(tree: Expression) -> None:
    """ROW_NUMBER() OVER (ORDER BY SEQ8()), Snowpark's range(): SEQ8 is a window function in DuckDB, which may not stand there."""
    for node in list(tree.find_all(exp.Seq1, exp.Seq2, exp.Seq4, exp.Seq8)):
        if isinstance(ordered := node.parent, exp.Ordered) and ordered.find_ancestor(exp.Window):
            node.replace(exp.Null())


def order_by_all(tree: Expression) -> None:
    """ORDER BY ALL is a word, not a column: docs.snowflake.com/en/sql-reference/constructs/order-by"""
    for ordered in tree.find_all(exp.Ordered):
        column = ordered.this
        if isinstance(column, exp.Column) and column.name == "ALL" and not column.this.quoted and not column.table:
            ordered.set("this", exp.var("ALL"))


# --- names of the columns of a result


def projection_texts(sql: str) -> list[str]:
    """The text of each expression of the first SELECT list, as written: Snowflake names a column without alias by it.

    >>> projection_texts("select count(*), a + 1 from t")
    ['count(*)', 'a + 1']
    """
    tokens = tokenize(sql, read="snowflake")
    start = next((i + 1 for i, t in enumerate(tokens) if t.token_type == TokenType.SELECT), len(tokens))
    texts, depth, begin = [], 0, start
    for i in range(start, len(tokens) + 1):
        token = tokens[i] if i < len(tokens) else None
        if token is not None:
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        ends = token is None or depth < 0 or (depth == 0 and ends_list(token))
        if ends or (depth == 0 and token is not None and token.token_type == TokenType.COMMA):
            if i > begin:
                texts.append(sql[tokens[begin].start : tokens[i - 1].end + 1])
            begin = i + 1
        if ends:
            break
    return texts


def ends_list(token: Token) -> bool:
    return token.token_type in (TokenType.FROM, TokenType.SEMICOLON, TokenType.UNION, TokenType.WHERE, TokenType.ORDER_BY, TokenType.LIMIT)


def name_columns(tree: Expression, sql: str) -> None:
    """Alias the expressions of the outermost SELECT that have no name, as Snowflake names them: by their text, in upper case."""
    select = tree
    while isinstance(select, (exp.SetOperation, exp.Subquery, exp.Paren)):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    unnamed = [i for i, e in enumerate(select.expressions) if not (isinstance(e, (exp.Alias, exp.Column, exp.Star, exp.Aliases)) or e.is_star)]
    if not unnamed:
        return
    texts = projection_texts(sql)
    for i in unnamed:
        node = select.expressions[i]
        text = texts[i] if len(texts) == len(select.expressions) else node.sql("snowflake")
        select.set("expressions", exp.alias_(node, text.upper(), quoted=True), i)
