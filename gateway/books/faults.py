"""What can go wrong with the books that is nobody's question: they are away. One exception, no recovery."""


class BooksUnavailable(Exception):
    """The books cannot be read or written now: away, locked, full, or of another version. `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the books are not available: {reason}")
        self.reason = reason
