"""The demo's four accounts, one per plan, each with a key, its history and its invoices. Made once per data folder.

The keys' secrets are kept in that folder, for the demo alone: everywhere else a secret is shown once and forgotten.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import orjson

from gateway.books import periods, usage
from gateway.domain.contract import Contract, OverageMode
from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import RateLimit, Tier
from gateway.edges.demo.history import DAYS, Habit, Owner, events
from gateway.edges.demo.past_invoices import issue_past
from gateway.flows.accounts import Accounts
from gateway.flows.alerts import AlertWatch
from gateway.flows.contracts import Contracts
from gateway.flows.keys import Keys
from gateway.flows.terms import current_terms
from gateway.payments.fake import Fake
from gateway.stores import Stores

BATCH: Final = 500
KEYS: Final = "demo-keys.json"


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account of the demo, with its key's secret."""

    plan_id: str
    account_id: str
    project_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Story:
    """Who an account is meant to be. `percent`: how much of its included credits a period uses at most."""

    plan_id: str
    name: str
    percent: int
    habits: tuple[Habit, ...]
    contract: Contract | None = None


DELTAS_CONTRACT: Final = Contract(
    committed_millicredits=2_000_000 * MILLICREDITS_PER_CREDIT,
    price_cents=200_000,
    overage=OverageMode.PAY_AS_YOU_GO,
    tiers=(Tier(250_000 * MILLICREDITS_PER_CREDIT, 1_000), Tier(None, 800)),
    max_cents_per_period=1_000_000,
    rate_limits={"requests": RateLimit("requests", 12_000, 60_000)},
    net_days=30,
)


STORIES: Final = (
    Story(
        "free",
        "Ada's side project",
        60,
        (Habit("parse", "cost_effective", 6, (1, 12)), Habit("index", "retrieval", 8, (1, 1))),
    ),
    Story(
        "starter",
        "Bright Invoices",
        120,
        (
            Habit("parse", "cost_effective", 18, (1, 56)),
            Habit("parse", "agentic", 4, (1, 10)),
            Habit("extract", "cost_effective", 10, (1, 6)),
            Habit("classify", "fast", 12, (1, 4)),
        ),
    ),
    Story(
        "pro",
        "Cobalt Claims",
        90,
        (
            Habit("parse", "agentic", 40, (2, 24)),
            Habit("extract", "agentic", 22, (1, 10)),
            Habit("split", "cost_effective", 10, (4, 30)),
            Habit("classify", "fast", 30, (1, 6)),
            Habit("index", "retrieval", 60, (1, 1)),
        ),
    ),
    Story(
        "enterprise",
        "Delta Logistics",
        120,
        (
            Habit("parse", "agentic", 70, (20, 220)),
            Habit("parse", "agentic_plus", 10, (1, 60)),
            Habit("extract", "agentic", 40, (1, 24)),
            Habit("split", "cost_effective", 25, (4, 40)),
            Habit("index", "chat", 12, (1, 1)),
        ),
        contract=DELTAS_CONTRACT,
    ),
)


def known_accounts(data: Path) -> list[DemoAccount]:
    """Those made by an earlier start; none at the first."""
    try:
        return [DemoAccount(**one) for one in json.loads((data / KEYS).read_bytes())]
    except FileNotFoundError:
        return []


async def open_accounts(stores: Stores, data: Path) -> list[DemoAccount]:
    """The accounts of this data folder, made where they are not there yet."""
    if known := known_accounts(data):
        return known
    made = [await _open(stores, story, seed) for seed, story in enumerate(STORIES)]
    await issue_past(stores, [one.account_id for one in made])
    await _add_cards(stores, made)
    descriptor = os.open(data / KEYS, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as kept:
        kept.write(orjson.dumps([asdict(one) for one in made], option=orjson.OPT_INDENT_2))
    return made


async def _open(stores: Stores, story: Story, seed: int) -> DemoAccount:
    """One account, opened ninety days ago, with what it has used since."""
    now = stores.clock()
    then = now - timedelta(days=DAYS)
    opened = await _accounts(stores, lambda: then).create(story.name, story.plan_id, actor="demo")
    if story.contract is not None:
        agreed = Contracts(books=stores.books, tell=stores.tell, plans=stores.current.plans, clock=lambda: then)
        await agreed.agree(opened.id, story.contract, reason="Master agreement MSA-104", actor="demo")
    terms = await current_terms(stores.books, stores.current.plans(), opened.id, now)
    assert terms is not None, "the account was made a moment ago"  # noqa: S101
    key = await Keys(books=stores.books, tell=stores.tell, pepper=stores.pepper, clock=stores.clock).create(
        opened.id, project_id=opened.project_id, name="demo", actor="demo"
    )
    owner = Owner(opened.id, opened.project_id, key.id, story.plan_id)
    async with stores.books.read() as conn:
        past = await periods.of_account(conn, opened.id)
    history = list(
        events(
            owner,
            story.habits,
            past,
            stores.current.catalog.rate_card,
            from_ms=epoch_ms(then),
            to_ms=epoch_ms(now),
            most_millicredits=past[-1].allowance_millicredits * story.percent // 100,
            seed=seed,
        )
    )
    async with stores.books.begin() as conn:
        for first in range(0, len(history), BATCH):
            await usage.book(conn, history[first : first + BATCH])
    # What a relay does behind a booking: the running period's alerts are there from the start.
    await AlertWatch(books=stores.books, clock=stores.clock).notice([(opened.id, period.start_ms) for period in past])
    await stores.rebuild(opened.id)
    return DemoAccount(story.plan_id, opened.id, opened.project_id, key.secret)


async def _add_cards(stores: Stores, made: list[DemoAccount]) -> None:
    """A card that pays for whoever is on a plan with a list price; a contract is paid by transfer."""
    payments, plans = stores.till.payments, stores.current.plans()
    if payments.provider != Fake.name:
        return
    for one in made:
        plan = plans[one.plan_id]
        if plan.price_cents > 0 and not plan.contract:
            await payments.add_fake(one.account_id, "fake_ok", actor="demo")


def _accounts(stores: Stores, clock: Callable[[], datetime]) -> Accounts:
    return Accounts(books=stores.books, tell=stores.tell, plans=stores.current.plans, clock=clock)
