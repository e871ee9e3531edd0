"""Where the books are: the URL forms an operator may write, turned into what the drivers want. Opens nothing."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.books.faults import BooksUnavailable

# libpq settings that people paste along with a URL and that asyncpg has under another name, or not at all.
_RENAMED = {"sslmode": "ssl", "connect_timeout": "timeout"}
_DROPPED = ("channel_binding", "gssencmode", "target_session_attrs")


def address(url: str) -> URL:
    """`sqlite:///path`, `postgresql://…` or `postgres://…` with the driver that the gateway uses.

    BooksUnavailable where it is neither.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text may hold a password, so it is not repeated.
        raise BooksUnavailable("books.url is not a URL; write sqlite:///path/to/file or postgresql://…") from None
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"}:
        query = {_RENAMED.get(name, name): value for name, value in parsed.query.items() if name not in _DROPPED}
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    raise BooksUnavailable(f"books.url begins with {backend!r}; only sqlite and postgresql are known")


def sqlite_file(url: URL) -> Path | None:
    """The file of SQLite books, None for a server. BooksUnavailable for a database in memory: it could not last."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise BooksUnavailable("books.url must name a file, like sqlite:///path/to/books.sqlite3")
    return Path(url.database)
