"""The fake provider's memory, in the books: what it did survives a restart, as a bank's would."""

from gateway.books import payment_events
from gateway.books.books import Books


class FakeBank:
    """Keeps answers by idempotency key, the first of each for good unless it is changed by name."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def begun(self, key: str, answer: str) -> str:
        """Keep the answer where there is none yet; the one that is kept."""
        async with self._books.begin() as conn:
            await payment_events.begin_fake(conn, key, answer)
            return await payment_events.fake_answer(conn, key) or answer

    async def answer(self, key: str) -> str | None:
        """What is kept."""
        async with self._books.read() as conn:
            return await payment_events.fake_answer(conn, key)

    async def change(self, key: str, old: tuple[str, ...], new: str) -> None:
        """Another answer, where it is one of the old ones."""
        async with self._books.begin() as conn:
            await payment_events.change_fake(conn, key, old, new)
