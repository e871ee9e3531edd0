"""Bringing the books to this version's tables, by Alembic, however many processes start at once.

All missing migrations run in one transaction of the caller, who holds the store's lock; nobody sees half of them.
There is no way back down: the books are a system of record.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from gateway.books.faults import BooksUnavailable

# The newest migration; a test compares it with the folder. Kept here so that a start with nothing to do, which is
# nearly every one, need not load Alembic.
HEAD: Final = "0019"
_FOLDER: Final = Path(__file__).parent / "migrations"


def is_current(conn: Connection) -> bool:
    """Whether the tables are this version's. BooksUnavailable where a newer version has written them."""
    if not inspect(conn).has_table("alembic_version"):
        return False
    found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found is not None and found > HEAD:
        raise BooksUnavailable(f"they are of version {found}, this gateway knows {HEAD}; install a newer gateway")
    return found == HEAD


def migrate(conn: Connection) -> None:
    """Run what is missing, unless another process was faster."""
    if is_current(conn):
        return
    from alembic import command  # noqa: PLC0415 - a quarter of a second, and mostly not needed
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
