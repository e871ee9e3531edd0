from collections.abc import AsyncIterator

import pytest

from gateway.books.books import Books


@pytest.fixture
async def books(migrated_books_url: str) -> AsyncIterator[Books]:
    """Migrated books of either kind, with nothing in them."""
    opened = await Books.open(migrated_books_url)
    yield opened
    await opened.close()
