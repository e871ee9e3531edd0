"""The few places where SQLite and PostgreSQL differ in words: upserts, long lists, the store's own clock. No tables."""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Column, ColumnElement, Table, Text, any_, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Upsert: TypeAlias = postgresql.Insert | sqlite.Insert


def upsert(conn: AsyncConnection, table: Table) -> Upsert:
    """An INSERT that knows ON CONFLICT, in the words of the connection's store."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def one_of(conn: AsyncConnection, column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a text is among these: one parameter and the same words for any number of them."""
    listed = list(values)
    if conn.dialect.name == "postgresql":
        return column == any_(literal(listed, postgresql.ARRAY(Text)))
    each = func.json_each(literal(json.dumps(listed), Text)).table_valued("value")
    return column.in_(select(each.c.value))


class now_ms(FunctionElement[int]):  # noqa: N801 - it is used as a function
    """The store's own time in epoch milliseconds: when something was booked, by one clock for all processes."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _postgresql_now_ms(_element: now_ms, _compiler: Any, **_options: Any) -> str:
    return "(extract(epoch from clock_timestamp()) * 1000)::bigint"


@compiles(now_ms, "sqlite")
def _sqlite_now_ms(_element: now_ms, _compiler: Any, **_options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
