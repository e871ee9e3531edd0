"""The stores that the tests themselves run on."""

from pathlib import Path

import asyncpg
import pytest
import redis
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.books import accounts, webhook_endpoints
from gateway.books.books import Books
from gateway.books.tables import metadata
from tests.made_up import PLANS
from tests.postgres import Postgres


async def test_books_of_either_kind_answer_sql(books_url: str) -> None:
    engine = create_async_engine(books_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE only_here (id BIGINT PRIMARY KEY)"))
            assert (await connection.execute(text("SELECT count(*) FROM only_here"))).scalar_one() == 0
    finally:
        await engine.dispose()


@pytest.mark.parametrize("time", ["first", "second"])
async def test_migrated_books_are_ready_and_nobody_elses(migrated_books_url: str, time: str) -> None:
    books = await Books.open(migrated_books_url)
    try:
        async with books.begin() as connection:
            for table in metadata.sorted_tables:
                rows = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                assert (table.name, rows) == (table.name, 0)
            account_id = (await accounts.create(connection, f"the {time} one's", PLANS["starter"], 1)).id
            await webhook_endpoints.add(
                connection, account_id=account_id, url="", description="", event_types=None, seed="", at_ms=1
            )
    finally:
        await books.close()


async def test_a_database_can_be_copied_with_what_is_in_it(postgres: Postgres) -> None:
    await postgres.create("original")
    original = await asyncpg.connect(postgres.url("original").replace("+asyncpg", ""))
    await original.execute("CREATE TABLE only_here (id BIGINT PRIMARY KEY)")
    await original.close()
    copy = await asyncpg.connect((await postgres.create("copy", template="original")).replace("+asyncpg", ""))
    assert await copy.fetchval("SELECT count(*) FROM only_here") == 0
    await copy.close()
    await postgres.drop("copy")
    await postgres.drop("original")


def test_redis_is_empty_for_everyone_who_asks(redis_url: str, valkey_socket: Path) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
    assert redis_url == f"unix://{valkey_socket}"


def test_redis_is_empty_for_the_next_one_too(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
