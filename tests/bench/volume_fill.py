"""Fills books with a great many usage events, skewed as real ones are, by a few statements of SQL.

The rollups are made from the events by the rules that `usage.book` keeps them by. Only measurements use this: nothing
else may write events past `usage.book`.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.books import tables
from gateway.books.books import Books
from gateway.books.stretches import STRETCH_SEQS
from gateway.books.tables import usage_daily, usage_daily_by_mode, usage_hourly, usage_hourly_by_mode
from gateway.books.tables.usage import QUARTERS
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS, MINUTE_MS, epoch_ms
from gateway.flows.accounts import Accounts
from gateway.flows.terms import current_terms
from tests.billing import billing_over
from tests.made_up import NOON, PLANS, Clock

DAYS = 730
END_MS = epoch_ms(NOON)
START_MS = END_MS - DAYS * DAY_MS
CHUNK = 250_000
# One prime, and another factor for each column: every value is as frequent, and no column follows another.
PRIME = 2_147_483_647
FACTORS = (48_271, 69_621, 16_807, 39_373, 630_360)
MODES = (
    ("parse", "agentic", 10),
    ("parse", "cost_effective", 3),
    ("parse", "fast", 1),
    ("parse", "agentic_plus", 45),
    ("extract", "agentic", 25),
    ("extract", "cost_effective", 8),
    ("classify", "fast", 1),
    ("index", "retrieval", 1),
)
INDEXES = {
    "ix_usage_events_account_id_admitted_at_ms": "usage_events (account_id, admitted_at_ms)",
    "ix_usage_events_account_id_period_start_ms_seq": "usage_events (account_id, period_start_ms, seq)",
}
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)",
    "postgresql": (
        "WITH numbers(n) AS (SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint), CAST(1 AS bigint)))"
    ),
}
REQUEST_ID = {"sqlite": "printf('req_%032x', n)", "postgresql": "'req_' || lpad(to_hex(n), 32, '0')"}


@dataclass(frozen=True, slots=True)
class Account:
    """Whose events are measured."""

    id: str
    project_id: str


async def open_accounts(books: Books, count: int, *, days: int = DAYS, apart_min: int = 37) -> list[Account]:
    """Accounts that began `days` ago and some minutes before each other, with every period since booked."""
    clock = Clock()
    flow = Accounts(billing_over(books, clock))
    made = []
    for number in range(count):
        clock.now = NOON - timedelta(days=days, minutes=apart_min * number)
        opened = await flow.create(f"Account {number}", "pro" if number == 0 else "starter", actor="bench")
        await current_terms(books, PLANS, opened.id, NOON)
        made.append(Account(opened.id, opened.project_id))
    return made


async def known_accounts(books: Books) -> list[Account]:
    """Those that `open_accounts` made in these books before, in its order."""
    query = (
        select(tables.accounts.c.id, tables.projects.c.id)
        .join(tables.projects, tables.projects.c.account_id == tables.accounts.c.id)
        .order_by(tables.accounts.c.created_ms.desc())
    )
    async with books.read() as conn:
        return [Account(*row) for row in await conn.execute(query)]


def loader(url: str) -> AsyncEngine:
    """Connections that may take their time and need not survive a power cut."""
    return create_async_engine(url)


async def fill(
    engine: AsyncEngine,
    accounts: Sequence[Account],
    events: int,
    *,
    within_ms: tuple[int, int] = (START_MS, END_MS),
    skewed: bool = True,
) -> AsyncIterator[int]:
    """Book `events` in the order of time, tell how many there are so far.

    `skewed`: a fifth are the first account's, the others have fewer and fewer; else all have the same number.
    """
    dialect = engine.dialect.name
    async with engine.connect() as conn:
        if dialect == "sqlite":
            for pragma in ("synchronous=OFF", "cache_size=-1048576", "temp_store=MEMORY"):
                await conn.execute(text(f"PRAGMA {pragma}"))
        await conn.execute(text("CREATE TEMPORARY TABLE whose (number bigint PRIMARY KEY, id text, project_id text)"))
        rows = [{"number": n, "id": one.id, "project": one.project_id} for n, one in enumerate(accounts)]
        await conn.execute(text("INSERT INTO whose VALUES (:number, :id, :project)"), rows)
        await conn.execute(text("CREATE TEMPORARY TABLE modes (number bigint, p text, m text, price bigint)"))
        kinds = [{"n": n, "p": p, "m": m, "price": price * 1_000} for n, (p, m, price) in enumerate(MODES)]
        await conn.execute(text("INSERT INTO modes VALUES (:n, :p, :m, :price)"), kinds)
        for name in INDEXES:
            await conn.execute(text(f"DROP INDEX {name}"))
        await conn.commit()
        for first in range(1, events + 1, CHUNK):
            last = min(events, first + CHUNK - 1)
            made = _events(dialect, events, len(accounts), within_ms, skewed=skewed)
            await conn.execute(text(made), {"first": first, "last": last})
            await conn.execute(text(_ENTRIES), {"first": first, "last": last})
            await conn.commit()
            yield last
        for name, columns in INDEXES.items():
            await conn.execute(text(f"CREATE INDEX {name} ON {columns}"))
        await conn.commit()
        await _roll_up(conn)
        await conn.execute(text("INSERT INTO account_seq SELECT account_id, max(seq) FROM usage_events GROUP BY 1"))
        await conn.commit()
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="AUTOCOMMIT")
        # What a server would have done by now of itself; nobody gathers statistics of a SQLite file.
        await conn.execute(text("PRAGMA wal_checkpoint(TRUNCATE)" if dialect == "sqlite" else "VACUUM ANALYZE"))


def _events(dialect: str, events: int, accounts: int, within_ms: tuple[int, int], *, skewed: bool) -> str:
    drawn = ", ".join(
        f"(n % {PRIME}) * (n % {PRIME}) % {PRIME} * {factor} % {PRIME} AS r{number}"
        for number, factor in enumerate(FACTORS)
    )
    start_ms, end_ms = within_ms
    at_ms = f"{start_ms} + n * {end_ms - start_ms} / {events + 1}"
    others = f"1 + (r1 % 46337) * (r1 % 46337) * {max(0, accounts - 1)} / (46337 * CAST(46337 AS bigint))"
    whose = f"CASE WHEN r0 % 5 = 0 OR {accounts} = 1 THEN 0 ELSE {others} END" if skewed else f"n % {accounts}"
    return f"""
    INSERT INTO usage_events (id, request_id, ending, account_id, project_id, key_id, product, mode, unit, route,
        upstream, plan_id, rate_card_version, millicredits_per_unit, expected_units, quote_millicredits, units,
        evidence, held_millicredits, captured_millicredits, period_start_ms, admitted_at_ms, happened_at_ms, seq,
        job_id, booked_at_ms)
    {NUMBERS[dialect]},
    drawn AS (SELECT n, {drawn}, {at_ms} AS at_ms, {REQUEST_ID[dialect]} AS request_id FROM numbers),
    told AS (
        SELECT drawn.*, whose.id AS account_id, whose.project_id, r2 % 4 AS key_number, modes.*,
            1 + r4 % 12 AS units, CASE WHEN r4 % 50 = 0 THEN 0 ELSE 1 END AS taken
        FROM drawn
        JOIN whose ON whose.number = {whose}
        JOIN modes ON modes.number = r3 % {len(MODES)}
    )
    SELECT request_id || CASE WHEN taken = 1 THEN '.{Ending.CAPTURED}' ELSE '.{Ending.RELEASED}' END, request_id,
        CASE WHEN taken = 1 THEN '{Ending.CAPTURED}' ELSE '{Ending.RELEASED}' END, account_id,
        project_id || CASE WHEN key_number < 2 THEN '' ELSE '_2' END,
        'key_' || account_id || '_' || key_number, p, m, 'page', 'parse.upload', p, 'starter', '2026-11', price, 10,
        10 * price, CASE WHEN taken = 1 THEN units END, 'reported by the upstream', 10 * price, taken * units * price,
        (SELECT max(start_ms) FROM periods WHERE periods.account_id = told.account_id AND start_ms <= at_ms),
        at_ms, at_ms + 2000, n, NULL, at_ms + 3000
    FROM told"""  # noqa: S608 - nothing of it comes from outside


_ENTRIES = """
    INSERT INTO ledger_entries (transaction_id, leg, account_id, period_start_ms, debit, credit, amount_millicredits,
        booked_at_ms)
    SELECT id, 0, account_id, period_start_ms, 'allowance', 'used', captured_millicredits, booked_at_ms
    FROM usage_events WHERE captured_millicredits > 0 AND seq BETWEEN :first AND :last
        AND admitted_at_ms > 0"""


async def _roll_up(conn: Any) -> None:
    """The rollups of all events, from nothing."""
    told = "account_id, {start}, period_start_ms, project_id, key_id, product, mode"
    hour = f"admitted_at_ms / {HOUR_MS} * {HOUR_MS}"
    values = ("1", "coalesce(units, 0)", "captured_millicredits")
    whens = [f"WHEN admitted_at_ms - {hour} < {minute * MINUTE_MS}" for minute in QUARTERS]
    all_sums = [f"sum({value})" for value in values]
    all_sums += [f"sum(CASE {when} THEN {value} ELSE 0 END)" for when in whens for value in values]
    sums = ", ".join(f"CAST({each} AS bigint)" for each in all_sums)
    into = ", ".join(column.name for column in usage_hourly.columns)
    chosen = told.format(start=hour)
    await conn.execute(
        text(
            f"INSERT INTO usage_hourly ({into}) SELECT {chosen}, {sums} FROM usage_events "  # noqa: S608 - no input
            f"WHERE ending = '{Ending.CAPTURED}' GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7"
        )
    )
    await conn.commit()
    chosen = told.format(start=f"hour_ms / {DAY_MS} * {DAY_MS}")
    into = ", ".join(column.name for column in usage_daily.columns)
    added = "sum(calls), sum(units), sum(captured_millicredits)"
    await conn.execute(
        text(
            f"INSERT INTO usage_daily ({into}) SELECT {chosen}, {added} FROM usage_hourly "  # noqa: S608
            "GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7"
        )
    )
    for rollup, together in ((usage_hourly, usage_hourly_by_mode), (usage_daily, usage_daily_by_mode)):
        names = [column.name for column in together.columns]
        sums_together = [f"CAST(sum({name}) AS bigint)" for name in names[5:]]
        await conn.execute(
            text(
                f"INSERT INTO {together} ({', '.join(names)}) "  # noqa: S608
                f"SELECT {', '.join((*names[:5], *sums_together))} FROM {rollup} "
                "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
            )
        )
    told = f"account_id, period_start_ms, seq / {STRETCH_SEQS}, product, mode"
    await conn.execute(
        text(
            f"INSERT INTO usage_stretches SELECT {told}, CAST(sum(captured_millicredits) AS bigint), "  # noqa: S608
            "min(admitted_at_ms), max(admitted_at_ms) FROM usage_events WHERE captured_millicredits > 0 "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        )
    )
    await conn.execute(
        text(
            "INSERT INTO period_usage (account_id, period_start_ms, captured_millicredits) "
            "SELECT account_id, period_start_ms, sum(captured_millicredits) FROM usage_daily GROUP BY 1, 2"
        )
    )
    await conn.commit()
