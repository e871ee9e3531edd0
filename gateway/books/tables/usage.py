"""What was used: usage events, what they move in the ledger, their sums by the hour, and the jobs behind them."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, SmallInteger, Table, Text

from gateway.books.tables.columns import metadata, text_column, whole_column

# One row moves an amount from one ledger account to another, so every transaction sums to zero by its shape.
ledger_entries: Final = Table(
    "ledger_entries",
    metadata,
    Column("transaction_id", Text, primary_key=True),  # a usage event's id or a grant's
    Column("leg", SmallInteger, primary_key=True, autoincrement=False),
    text_column("account_id"),
    whole_column("period_start_ms"),
    text_column("debit"),
    text_column("credit"),
    whole_column("amount_millicredits"),
    whole_column("booked_at_ms"),
    CheckConstraint("amount_millicredits > 0", name="positive"),
    CheckConstraint("debit <> credit", name="two_sides"),
    Index(None, "account_id", "period_start_ms"),
    sqlite_with_rowid=False,
)

usage_events: Final = Table(
    "usage_events",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("request_id"),
    text_column("ending"),
    text_column("account_id"),
    text_column("project_id"),
    text_column("key_id"),
    text_column("product"),
    text_column("mode"),
    text_column("unit"),
    text_column("route"),
    text_column("upstream"),
    text_column("plan_id"),
    text_column("rate_card_version"),
    whole_column("millicredits_per_unit"),
    whole_column("expected_units"),
    whole_column("quote_millicredits"),
    whole_column("units", nullable=True),
    text_column("evidence"),
    whole_column("held_millicredits"),
    whole_column("captured_millicredits"),
    whole_column("period_start_ms"),
    whole_column("admitted_at_ms"),
    whole_column("happened_at_ms"),
    whole_column("seq"),
    text_column("job_id", nullable=True),
    whole_column("booked_at_ms"),
    text_column("billed_mode", nullable=True),
    Index(None, "account_id", "period_start_ms", "seq"),
    Index(None, "account_id", "admitted_at_ms"),
)

# Zones are whole hours from UTC, or these minutes more.
QUARTERS: Final = (15, 30, 45)
SUMS: Final = ("calls", "units", "captured_millicredits")


def up_to(name: str, minute: int) -> str:
    """The column of an hour's sum that has what came before this minute of it."""
    return f"{name}_to_{minute}"


def _rollup(name: str, start: str, told: Sequence[str], sums: Sequence[str], *more: Index) -> Table:
    """Sums of an account's windows that begin at `start`, told apart by period and by columns of text."""
    return Table(
        name,
        metadata,
        Column("account_id", Text, primary_key=True),
        Column(start, BigInteger, primary_key=True, autoincrement=False),
        Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
        *(Column(each, Text, primary_key=True) for each in told),
        *(whole_column(each) for each in sums),
        *more,
        sqlite_with_rowid=False,
    )


_MODES: Final = ("product", "mode")
_OWNERS: Final = ("project_id", "key_id")
_HOURS_SUMS: Final = (*SUMS, *(up_to(name, minute) for minute in QUARTERS for name in SUMS))

# By the hour in which the call was admitted, since that is what puts it into its period; and by period, because an
# anchor seldom falls on a full hour. Long ranges and whole periods are read from the days of UTC. What an hour had come
# to by each quarter stands in the same row: hours of India or Nepal are read from it, for a tenth more room. Rows by
# the quarter would be two and a half times as many, to read and to write, for everybody.
usage_hourly: Final = _rollup("usage_hourly", "hour_ms", (*_OWNERS, *_MODES), _HOURS_SUMS)
usage_daily: Final = _rollup(
    "usage_daily", "day_ms", (*_OWNERS, *_MODES), SUMS, Index(None, "account_id", "period_start_ms")
)
# The same for all projects and keys together. A chart by product or mode, which is what most people look at, costs no
# more for a thousand keys than for one.
usage_hourly_by_mode: Final = _rollup("usage_hourly_by_mode", "hour_ms", _MODES, _HOURS_SUMS)
usage_daily_by_mode: Final = _rollup("usage_daily_by_mode", "day_ms", _MODES, SUMS)


def rollups(told: Iterable[str]) -> tuple[Table, Table]:
    """By the hour and by the day: those of fewest rows that have these columns."""
    if set(_OWNERS).isdisjoint(told):
        return usage_hourly_by_mode, usage_daily_by_mode
    return usage_hourly, usage_daily


# By the order of settlement, which decides what is inside a grant and what is beyond: `books.stretches`.
usage_stretches: Final = Table(
    "usage_stretches",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("stretch", BigInteger, primary_key=True, autoincrement=False),
    Column("product", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    whole_column("captured_millicredits"),
    whole_column("first_admitted_ms"),
    whole_column("last_admitted_ms"),
    sqlite_with_rowid=False,
)

account_seq: Final = Table(
    "account_seq",
    metadata,
    Column("account_id", Text, primary_key=True),
    whole_column("seq"),
    sqlite_with_rowid=False,
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    text_column("account_id"),
    text_column("project_id"),
    text_column("request_id"),
    text_column("kind"),
    whole_column("attached_at_ms"),
    Index(None, "request_id"),
    Index(None, "job_id"),
)

# Refused calls of late, for whoever asks why. Kept on best effort and trimmed: no record of what was used.
refusals: Final = Table(
    "refusals",
    metadata,
    Column("request_id", Text, primary_key=True),
    whole_column("at_ms"),
    text_column("account_id"),
    text_column("project_id"),
    text_column("key_id"),
    text_column("method"),
    text_column("route"),
    Column("status", Integer, nullable=False),
    text_column("code"),
    text_column("product"),
    text_column("mode"),
    text_column("plan_id"),
    text_column("rate_card_version"),
    whole_column("expected_units", nullable=True),
    whole_column("millicredits_per_unit", nullable=True),
    whole_column("required_millicredits", nullable=True),
    whole_column("available_millicredits", nullable=True),
    text_column("limit_name"),
    whole_column("retry_in_ms", nullable=True),
    whole_column("resets_at_ms", nullable=True),
    Index(None, "at_ms"),
    sqlite_with_rowid=False,
)

# Deleted when the job's end is booked.
running_jobs: Final = Table(
    "running_jobs",
    metadata,
    Column("request_id", Text, primary_key=True),
    text_column("account_id"),
    text_column("facts"),  # a JSON object
    text_column("kind"),
    text_column("upstream"),
    text_column("job_id"),
    whole_column("held_millicredits"),
    whole_column("period_start_ms"),
    whole_column("admitted_at_ms"),
    whole_column("deadline_ms"),
    whole_column("attached_at_ms"),
    whole_column("seq"),
    Index(None, "account_id"),
    sqlite_with_rowid=False,
)

poison_records: Final = Table(
    "poison_records",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("stream_id", Text, primary_key=True),
    text_column("raw"),
    text_column("reason"),
    whole_column("found_at_ms"),
)
