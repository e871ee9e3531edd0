"""An alert is raised once for each period and threshold, however often and by whom usage is booked."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

import orjson
import pytest
from sqlalchemy import select

from gateway.books import alerts, limits, webhooks
from gateway.books.alerts import RaisedAlert
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.tables import period_usage, usage_hourly, webhook_messages
from gateway.domain.instant import epoch_ms
from gateway.domain.limits import SpendLimits
from gateway.domain.usage import UsageEvent
from gateway.flows.accounts import Accounts, OpenedAccount
from gateway.flows.alerts import Alerts, AlertWatch
from gateway.flows.authenticate import TermsOf
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import NoSuchThing
from gateway.flows.relay import Relay
from gateway.flows.webhooks import Webhooks
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.outbox import OutboxLag, OutboxRecord
from tests.made_up import CREDIT, Clock, event

PEPPER = b"a pepper for tests"


class Outbox:
    """Hands the same events to whoever reads, and forgets none: as after deaths before acknowledgement."""

    def __init__(self, *events: UsageEvent) -> None:
        self.events = list(events)

    async def read(
        self, consumer: str, *, count: int, block_ms: int, shards: Sequence[int] | None = None
    ) -> list[OutboxRecord]:
        return [OutboxRecord(0, f"1-{number}", one, {}, "") for number, one in enumerate(self.events)]

    async def ack(self, records: Iterable[OutboxRecord]) -> int:
        return len(list(records))

    async def lag(self) -> OutboxLag:
        raise StoreUnavailable("not asked")


@pytest.fixture
async def acme(accounts: Accounts) -> OpenedAccount:
    """On Starter: 40,000 credits, then 8 a cent, up to $500."""
    return await accounts.create("Acme", "starter")


@pytest.fixture
def watch(books: Books, clock: Clock) -> AlertWatch:
    return AlertWatch(books=books, clock=clock)


def used(acme: OpenedAccount, clock: Clock, number: int, credits_used: int) -> UsageEvent:
    start_ms = epoch_ms(clock())
    return event(
        acme.id, number, captured=credits_used * CREDIT, period_start_ms=start_ms, admitted_at_ms=start_ms, units=1
    )


async def relayed(books: Books, watch: AlertWatch, *events: UsageEvent) -> None:
    await Relay(outbox=Outbox(*events), books=books, consumer="one", noticed=watch).drain_once()


async def raised(books: Books, account_id: str) -> list[tuple[str, int]]:
    async with books.read() as conn:
        found = await alerts.of_account(conn, account_id)
    return sorted((str(one.kind), one.threshold) for one in found)


async def test_crossing_a_threshold_raises_its_alert_as_the_usage_is_booked(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    await relayed(books, watch, used(acme, clock, 1, 19_999))
    assert await raised(books, acme.id) == []
    await relayed(books, watch, used(acme, clock, 2, 1))
    assert await raised(books, acme.id) == [("allowance_threshold", 50)]
    await relayed(books, watch, used(acme, clock, 3, 20_000))
    assert await raised(books, acme.id) == [
        ("allowance_threshold", 50),
        ("allowance_threshold", 80),
        ("allowance_threshold", 90),
        ("free_credits_exhausted", 100),
    ]


async def test_repeats_and_several_relays_at_once_raise_nothing_twice(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    hooks = Webhooks(books=books, pepper=PEPPER, clock=clock)
    await hooks.create(acme.id, "https://example.com/")
    events = [used(acme, clock, number, 4_000) for number in range(12)]
    halves = [events, events[::-1], events[:6], events[6:]]
    await asyncio.gather(*(relayed(books, watch, *half) for half in halves * 2))
    names = [name for name, _ in await raised(books, acme.id)]
    assert names == ["allowance_threshold"] * 4 + ["free_credits_exhausted"]
    async with books.read() as conn:
        bodies = list((await conn.execute(select(webhook_messages.c.body))).scalars())
    told = [orjson.loads(body)["data"]["threshold"]["percent"] for body in bodies if "alert.raised" in body]
    assert sorted(told) == [50, 80, 90, 100, 120]


async def test_a_relay_that_died_between_booking_and_noticing_is_made_good_for_when_the_records_are_read_again(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    crossing = used(acme, clock, 1, 20_000)
    await Relay(outbox=Outbox(crossing), books=books, consumer="dies").drain_once()
    assert await raised(books, acme.id) == []
    await relayed(books, watch, crossing)
    assert await raised(books, acme.id) == [("allowance_threshold", 50)]


async def test_an_alert_and_its_webhook_are_written_together_or_not_at_all(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Webhooks(books=books, pepper=PEPPER, clock=clock).create(acme.id, "https://example.com/")
    crossing = used(acme, clock, 1, 20_000)

    async def dies(*_: object, **__: object) -> list[str]:
        raise BooksUnavailable("unplugged")

    with monkeypatch.context() as patched:
        patched.setattr(webhooks, "add_message", dies)
        with pytest.raises(BooksUnavailable):
            await relayed(books, watch, crossing)
    assert await raised(books, acme.id) == []
    await relayed(books, watch, crossing)
    assert await raised(books, acme.id) == [("allowance_threshold", 50)]


async def test_a_mistake_in_noticing_keeps_no_usage_from_being_booked(
    books: Books, acme: OpenedAccount, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> list[RaisedAlert]:
        raise ZeroDivisionError

    watch = AlertWatch(books=books, clock=clock)
    monkeypatch.setattr(watch, "notice", broken)
    relay = Relay(outbox=Outbox(used(acme, clock, 1, 20_000)), books=books, consumer="one", noticed=watch)
    assert await relay.drain_once() == 1
    assert relay.counts.booked == 1


async def test_an_upgrade_starts_a_period_with_thresholds_of_its_own(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock, accounts: Accounts
) -> None:
    await relayed(books, watch, used(acme, clock, 1, 20_000))
    clock.forward(days=3)
    await accounts.change_plan(acme.id, "pro", when=ChangeAt.NOW)
    await relayed(books, watch, used(acme, clock, 2, 199_999))
    assert await raised(books, acme.id) == [("allowance_threshold", 50)]
    await relayed(books, watch, used(acme, clock, 3, 1))
    assert await raised(books, acme.id) == [("allowance_threshold", 50)] * 2


async def test_thresholds_and_ceiling_of_the_account_count(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    own = SpendLimits(max_cents=2_000, alert_percents=(75,), alert_cents=(1_000,))
    async with books.begin() as conn:
        await limits.set_own(conn, acme.id, own, epoch_ms(clock()))
    await relayed(books, watch, used(acme, clock, 1, 56_000))
    assert await raised(books, acme.id) == [
        ("allowance_threshold", 75),
        ("configured_spend_limit_exceeded", 2_000),
        ("free_credits_exhausted", 100),
        ("plan_spend_limit_soft_alert", 1_000),
    ]


async def test_under_a_raised_ceiling_the_plans_own_is_not_told_of(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    at_ms = epoch_ms(clock())
    async with books.begin() as conn:
        await limits.add_raise(
            conn,
            acme.id,
            from_ms=at_ms,
            until_ms=at_ms + 86_400_000,
            max_cents=60_000,
            max_millicredits=None,
            reason="a rush",
        )
    await relayed(books, watch, used(acme, clock, 1, 440_000))
    assert "plan_spend_limit_exceeded" not in dict(await raised(books, acme.id))
    await relayed(books, watch, used(acme, clock, 2, 80_000))
    assert ("plan_spend_limit_exceeded", 60_000) in await raised(books, acme.id)


async def test_credits_given_make_room_and_an_alert_is_not_raised_again(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock, accounts: Accounts
) -> None:
    await relayed(books, watch, used(acme, clock, 1, 20_000))
    await accounts.adjust(acme.id, 10_000 * CREDIT, reason="an apology")
    await relayed(books, watch, used(acme, clock, 2, 5_000))
    assert await raised(books, acme.id) == [("allowance_threshold", 50)]


async def test_the_running_sum_is_what_the_hours_come_to(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock
) -> None:
    events = [used(acme, clock, number, number) for number in range(1, 30)]
    for first in range(0, 30, 7):
        await relayed(books, watch, *events[first : first + 9])
    async with books.read() as conn:
        hours = sum((await conn.execute(select(usage_hourly.c.captured_millicredits))).scalars())
        running = list((await conn.execute(select(period_usage.c.captured_millicredits))).scalars())
    assert running == [hours] == [sum(range(1, 30)) * CREDIT]


async def test_an_account_sees_the_alerts_of_its_current_period(
    books: Books, watch: AlertWatch, acme: OpenedAccount, clock: Clock, terms_of: TermsOf
) -> None:
    shown = Alerts(books=books, terms_of=terms_of, clock=clock)
    await relayed(books, watch, used(acme, clock, 1, 32_000))
    assert [one.threshold for one in await shown.of_account(acme.id)] == [80, 50]
    clock.forward(days=32)
    assert await shown.of_account(acme.id) == []
    assert [one.threshold for one in await shown.history(acme.id)] == [80, 50]
    for asked in (shown.of_account, partial(shown.history)):
        with pytest.raises(NoSuchThing):
            await asked("acc_nobody")
