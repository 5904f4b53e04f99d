"""A column among numbers that are given with each call, as one parameter: one statement for lists of any length.

An IN with a parameter for each number is another statement for each length. Each connection keeps its last 128
statements, 70 kB each where a live text asks for hundreds of features, and none may have more than 32,766 parameters.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Integer, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


def among(column: InstrumentedAttribute[int], parameter: str) -> ColumnElement[bool]:
    """parameter: the name under which the statement is given a collection of int."""
    return column.op("IN", is_comparison=True)(_NumbersOf(bindparam(parameter, type_=_NumberList)))


class _NumberList(TypeDecorator[Collection[int]]):
    """Sent as JSON, which both databases can read."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Collection[int] | None, _: Dialect) -> str:
        return json.dumps(list(value or ()))


class _NumbersOf(GenericFunction[int]):
    type = Integer()
    inherit_cache = True


@compiles(_NumbersOf, "sqlite")
def _in_sqlite(element: _NumbersOf, compiler: SQLCompiler, **options: Any) -> str:
    place = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_each({place}))"  # noqa: S608  # a bound parameter's place, never its value


@compiles(_NumbersOf, "postgresql")
def _in_postgresql(element: _NumbersOf, compiler: SQLCompiler, **options: Any) -> str:
    place = compiler.process(element.clauses, **options)
    listed = f"json_array_elements_text(CAST({place} AS json))"
    return f"(SELECT CAST(value AS integer) FROM {listed})"  # noqa: S608  # a bound parameter's place, never its value
