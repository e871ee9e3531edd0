from collections.abc import AsyncIterator

import pytest

from gateway.books.books import Books


@pytest.fixture
async def books(books_url: str) -> AsyncIterator[Books]:
    """Empty books of either kind."""
    opened = await Books.open(books_url)
    yield opened
    await opened.close()
