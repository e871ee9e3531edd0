"""What all tables share: their naming, and columns that return again and again."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def text_column(name: str, *, nullable: bool = False) -> Column[str]:
    """Text of any length."""
    return Column(name, Text, nullable=nullable)


def whole_column(name: str, *, nullable: bool = False) -> Column[int]:
    """A whole number of 64 bit: millicredits, cents, or epoch milliseconds."""
    return Column(name, BigInteger, nullable=nullable)


def account_column() -> Column[str]:
    """The account a row is of, which must be there."""
    return Column("account_id", Text, ForeignKey("accounts.id"), nullable=False)
