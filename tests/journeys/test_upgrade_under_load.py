"""An upgrade in the middle of 200 calls a second: nobody is refused, each call is charged once, in the period in which
it was admitted, and the two invoices that the old period ends up on come to its true price.

Two gateways, calls that are charged at once and jobs that are charged later; embedded stores, and separate ones.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest
import yaml
from sqlalchemy import select

from gateway.books.books import Books
from gateway.books.tables import closed_events, invoices, usage_events
from gateway.books.usage import CAPTURES
from gateway.domain.hold import Ending
from gateway.domain.money import rounded
from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Launcher, Place, eventually
from tests.journeys.kill_load import PARSE, Callers, Reply
from tests.journeys.stand_ins import StandIns
from tests.journeys.tcp_valkey import running_valkey
from tests.postgres import Postgres

CALLS_PER_S: Final = 200
UPGRADE_AT, DOWNGRADE_AT, END_AT = 450, 800, 1_200
NEARLY_USED_UP: Final = 300
STARTER_CENTS, PRO_CENTS, STARTER_CREDITS = 5_000, 50_000, 40_000


def unlimited(place: Place) -> None:
    """Sells the shipped plans without rate limits: 600 a minute are fewer than the calls of this test."""
    file = place.config.parent / "plans.yaml"
    plans = yaml.safe_load(file.read_text())
    for plan in plans.values():
        plan["rate_limits"] = dict.fromkeys(plan["rate_limits"], "unlimited")
    file.write_text(yaml.safe_dump(plans, sort_keys=False))


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What names the stores: nothing for the embedded ones, else a Valkey over TCP and a database."""
    if request.param == "embedded":
        yield {"REDIS_URL": "", "DATABASE_URL": ""}
        return
    server: Postgres = request.getfixturevalue("postgres")
    with running_valkey() as redis_url:
        url = asyncio.run(server.create("upgrades"))
        yield {"REDIS_URL": redis_url, "DATABASE_URL": url.replace("+asyncpg", "")}
        asyncio.run(server.drop("upgrades"))


@pytest.fixture
def crossroads(launcher: Launcher, stand_ins: StandIns, stores: dict[str, str]) -> Iterator[Town]:
    """Two gateways that serve plans without rate limits."""
    with closing(Place(launcher, stand_ins.url, environment=stores)) as place:
        unlimited(place)
        first, second = place.begin(), place.begin()
        eventually(lambda: first.ready() and second.ready(), within_s=60)
        yield Town(place, first, second, place.account("pro"))


@dataclass(frozen=True)
class Event:
    """A usage event of the books that took credits, and the invoice that its closing made."""

    request_id: str
    captured_millicredits: int
    held_millicredits: int
    period_start_ms: int
    admitted_at_ms: int
    happened_at_ms: int
    invoice: str | None


async def events_of(place: Place, account: Account) -> list[Event]:
    """In the order in which they were settled."""
    table = usage_events.c
    names = ["request_id", "captured_millicredits", "held_millicredits", "period_start_ms", "admitted_at_ms"]
    columns = [*(table[name] for name in (*names, "happened_at_ms")), invoices.c.number]
    query = (
        select(*columns, table.ending)
        .outerjoin(closed_events, closed_events.c.event_id == table.id)
        .outerjoin(invoices, invoices.c.closing_id == closed_events.c.closing_id)
        .where(table.account_id == account.id)
        .order_by(table.seq)
    )
    url = place.environment["DATABASE_URL"] or f"sqlite:///{place.data / 'books.sqlite'}"
    books = await Books.open(url, read_only=True)
    try:
        async with books.read() as conn:
            return [Event(*row[:-1]) for row in await conn.execute(query) if Ending(row[-1]) in CAPTURES]
    finally:
        await books.close()


@dataclass(frozen=True)
class Changed:
    """What the command said while calls came in. `told_cents` is the preview's price, where one was asked for."""

    number: str
    total_cents: int
    told_cents: int | None


async def upgrade(place: Place, account: Account, *, ask_first: bool) -> Changed:
    """To Pro, at once."""

    async def plan(*arguments: str) -> dict[str, Any]:
        return await asyncio.to_thread(place.cli, "account", "plan", account.id, *arguments)

    told = int((await plan("pro", "--preview"))["total_cents"]) if ask_first else None
    said = await plan("pro")
    return Changed(said["invoice"], int(said["total_cents"]), told)


async def waver(place: Place, account: Account) -> None:
    """Back to Starter, and then after all not."""
    for arguments, takes_effect in ((("starter",), "period_end"), (("pro",), "stays")):
        said = await asyncio.to_thread(place.cli, "account", "plan", account.id, *arguments)
        assert said["takes_effect"] == takes_effect
        assert said["total_cents"] == 0


async def go_through(town: Town, nearly: Account, plenty: Account) -> tuple[Callers, dict[str, Changed]]:
    """The calls, and what was changed meanwhile."""
    place, keys = town.place, [nearly.key, plenty.key]
    busy = Callers(
        urls=[town.first.url, town.second.url],
        keys=keys,
        job_keys=frozenset(keys),
        seed=1,
        calls_per_s=CALLS_PER_S,
        job_share=0.15,
        call_body={"index_id": "idx-demo", "query": "Where?", "top_k": 1},
        job_body={"tier": "cost_effective", "source_url": "https://example.com/report.pdf", "disable_cache": True},
    )

    async def until(calls: int) -> None:
        while busy.calls < calls:  # noqa: ASYNC110 - the count is a number, not an event
            await asyncio.sleep(0.02)

    async with busy.calling():
        await until(UPGRADE_AT)
        changed = {
            nearly.id: await upgrade(place, nearly, ask_first=True),
            plenty.id: await upgrade(place, plenty, ask_first=False),
        }
        await until(max(DOWNGRADE_AT, busy.calls + 100))
        for account in (nearly, plenty):
            await waver(place, account)
        await until(max(END_AT, busy.calls + 100))
    return busy, changed


def billed(town: Town, account: Account, replies: Sequence[Reply]) -> dict[str, Decimal]:
    """What each of the account's calls cost, by its own reply or its job's."""
    costs = {}
    with town.first.caller(account) as client:
        for reply in replies:
            if reply.job_id is None:
                assert reply.charged is not None
                costs[reply.request_id] = Decimal(reply.charged)
            else:
                answer = client.get(f"{PARSE}/{reply.job_id}", params={"expand": "usage"}).raise_for_status()
                costs[reply.request_id] = Decimal(str(answer.json()["job"]["usage"]["credits"]))
    return costs


def lines_of(invoice: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in invoice["lines"]:
        found[line["kind"]].append(line)
    return found


def overage_cents(used_millicredits: int, granted_credits: int) -> Fraction:
    return Fraction(max(0, used_millicredits - granted_credits * 1000), 8000)


def check_calls(events: Sequence[Event], costs: dict[str, Decimal], old_start_ms: int, new_start_ms: int) -> None:
    """Each is charged once, what its reply said, in the period in which it was admitted."""
    assert max(Counter(event.request_id for event in events).values()) == 1
    assert {event.request_id: Decimal(event.captured_millicredits) / 1000 for event in events} == costs
    of_period = {
        start_ms: [event for event in events if event.period_start_ms == start_ms]
        for start_ms in (old_start_ms, new_start_ms)
    }
    old, new = of_period.values()
    assert old
    assert new
    assert len(old) + len(new) == len(events)
    assert min(event.admitted_at_ms for event in new) >= new_start_ms
    assert max(event.admitted_at_ms for event in old) <= min(event.admitted_at_ms for event in new)
    # Some ran across the boundary: else this has shown nothing of holds.
    assert any(event.happened_at_ms > new_start_ms for event in old)


def held_at_some_instant_after(events: Sequence[Event], taken: Sequence[Event]) -> set[int]:
    """What the old period's open holds can have come to when everything in `taken`, and nothing else, was settled."""
    later = [event for event in events if event not in taken]
    since = max(event.happened_at_ms for event in taken)
    until = min((event.happened_at_ms for event in later), default=since)
    instants = {since, until, *(event.admitted_at_ms for event in later if since <= event.admitted_at_ms <= until)}
    return {sum(event.held_millicredits for event in later if event.admitted_at_ms <= at) for at in instants}


def check_upgrade_invoice(
    invoice: dict[str, Any], old: Sequence[Event], taken: Sequence[Event], granted_credits: int
) -> None:
    """Pay-as-you-go so far + the new fee - the value of what was neither used nor held."""
    lines = lines_of(invoice)
    used = sum(event.captured_millicredits for event in taken)
    overage = sum(line["amount_cents"] for line in lines["pay_as_you_go"])
    assert overage == rounded(overage_cents(used, granted_credits))
    assert [line["amount_cents"] for line in lines["plan_fee"]] == [PRO_CENTS]
    possible = {
        max(0, min(STARTER_CREDITS, granted_credits) * 1000 - used - held)
        for held in held_at_some_instant_after(old, taken)
    }
    unused = int(sum(line["credits"] for line in lines["unused_allowance"]) * 1000)
    assert unused in possible
    given_back = sum(line["amount_cents"] for line in lines["unused_allowance"])
    assert given_back == -rounded(Fraction(unused * STARTER_CENTS, STARTER_CREDITS * 1000))
    assert invoice["total_cents"] == overage + PRO_CENTS + given_back


def check_both_invoices(
    upgrade: dict[str, Any], following: dict[str, Any], old: Sequence[Event], granted_credits: int
) -> None:
    """Together they charge the old period's true usage; the later part names the invoice it corrects."""
    used = sum(event.captured_millicredits for event in old)
    left = max(0, min(STARTER_CREDITS, granted_credits) * 1000 - used)
    exact = rounded(overage_cents(used, granted_credits)) - rounded(
        Fraction(left * STARTER_CENTS, STARTER_CREDITS * 1000)
    )
    of_old = {"pay_as_you_go", "unused_allowance"}
    charged = [line for invoice in (upgrade, following) for line in invoice["lines"] if line["kind"] in of_old]
    assert sum(line["amount_cents"] for line in charged) == exact
    corrections = [line for line in following["lines"] if line["corrects"] is not None]
    assert {line["corrects"] for line in corrections} == {upgrade["number"]}


@pytest.mark.parametrize("stores", ["embedded", "separate"], indirect=True)
def test_an_upgrade_amid_200_calls_a_second_loses_no_call_and_no_cent(crossroads: Town) -> None:
    place = crossroads.place
    nearly, plenty = place.account("starter", credits_=NEARLY_USED_UP), place.account("starter")
    busy, changed = asyncio.run(go_through(crossroads, nearly, plenty))
    assert (dict(busy.codes), busy.broken) == ({}, 0)
    assert set(busy.statuses) <= {200, 201, 202}
    assert len(busy.complete) == busy.calls

    for account, granted in ((nearly, NEARLY_USED_UP), (plenty, STARTER_CREDITS)):
        # Hundreds of jobs are looked at one after the other, on a machine that may do much else.
        place.settled(account, within_s=60)
        said = changed[account.id]
        # Takes the account to another period, which puts what is still to be corrected on an invoice.
        place.cli("account", "plan", account.id, "free", "--at", "now", "--reason", "to see the next invoice")
        shown = place.cli("invoice", "list", "--account", account.id)["invoices"]
        following, upgrade_invoice, _ = [one for one in shown if one["number"] is not None]
        events = asyncio.run(events_of(place, account))
        starts = sorted({event.period_start_ms for event in events})
        replies = [reply for reply in busy.complete if reply.key == account.key]
        check_calls(events, billed(crossroads, account, replies), *starts)
        old = [event for event in events if event.period_start_ms == starts[0]]
        assert (said.number, said.total_cents) == (upgrade_invoice["number"], upgrade_invoice["total_cents"])
        assert said.told_cents in {None, said.total_cents}
        check_upgrade_invoice(upgrade_invoice, old, [event for event in old if event.invoice == said.number], granted)
        check_both_invoices(upgrade_invoice, following, old, granted)
    assert place.cli("reconcile")["ok"]
    assert place.cli("invoice", "check")["ok"]
