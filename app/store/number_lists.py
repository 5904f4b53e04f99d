"""A column among numbers that are given with each call, as one parameter: one statement for lists of any length.

An IN with a parameter for each number is another statement for each length. Each connection keeps its last 128
statements, 70 kB each where a live text asks for hundreds of features, and none may have more than 32,766 parameters.
"""

import json
from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import ColumnElement, Dialect, Integer, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


def among(column: InstrumentedAttribute[int], parameter: str) -> ColumnElement[bool]:
    """parameter: the name under which the statement is given a collection of int."""
    return cast(ColumnElement[bool], _Among(column, bindparam(parameter, type_=_NumberList)))


class _NumberList(TypeDecorator[Collection[int]]):
    """Sent as JSON to SQLite, and as an array's text to PostgreSQL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> str:
        listed = json.dumps(list(value or ()))
        return f"{{{listed[1:-1]}}}" if dialect.name == "postgresql" else listed


class _Among(GenericFunction[int]):
    """Of a column and a parameter."""

    type = Integer()  # SQLAlchemy compares a boolean one with 1 in SQLite, which then uses no index
    inherit_cache = True


@compiles(_Among, "sqlite")
def _in_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, place = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({place}))"  # noqa: S608  # a bound parameter's place, never its value


@compiles(_Among, "postgresql")
def _in_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    # An array: rows of a function, as SQLite has them, are planned and joined in longer than it is looked through.
    column, place = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY (CAST({place} AS integer[]))"
