"""The demo's four accounts, one per plan, each with a key, its history and its invoices. Made once per data folder.

The keys' secrets are kept in that folder, for the demo alone: everywhere else a secret is shown once and forgotten.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import orjson

from gateway.books import periods, usage
from gateway.books.billing_details import SELLER
from gateway.domain.contract import Contract, OverageMode
from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import RateLimit, Tier
from gateway.edges.demo.history import EVENINGS, SPARE_TIME, Habit, Owner, Rhythm, events
from gateway.edges.demo.past_invoices import billing_at, issue_past
from gateway.flows.accounts import Accounts, OpenedAccount
from gateway.flows.alerts import AlertWatch
from gateway.flows.contracts import Contracts
from gateway.flows.invoices import Invoices
from gateway.flows.keys import CreatedKey, Keys
from gateway.flows.terms import current_terms
from gateway.payments.fake import Fake
from gateway.stores import Stores

BATCH: Final = 500
KEYS: Final = "demo-keys.json"
FIRST_PROJECT: Final = "default"
SOLD_BY: Final = {
    "name": "Your company, selling document AI",
    "address": "1 Example Street\nSpringfield",
    "email": "billing@example.com",
}


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account of the demo, with its key's secret."""

    plan_id: str
    account_id: str
    project_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Story:
    """Who an account is meant to be, and for how many days. `most_percent`: what a period uses of its credits at most.

    `keys` are the projects of its keys, by name; the first key, of the first project, is the one that signs in.
    """

    plan_id: str
    name: str
    days: int
    habits: tuple[Habit, ...]
    rhythm: Rhythm
    keys: Mapping[str, str]
    address: str = ""
    most_percent: int = 400
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
        104,
        (
            Habit("parse", "cost_effective", 6, (1, 24)),
            Habit("index", "retrieval", 8, (1, 1)),
            Habit("extract", "cost_effective", 3, (1, 6), since_days=40),
        ),
        Rhythm(SPARE_TIME, EVENINGS, {58: 0, 57: 0, 56: 0, 55: 0, 54: 0, 20: 2.2}),
        {"production": FIRST_PROJECT},
        most_percent=90,
    ),
    Story(
        "starter",
        "Bright Invoices",
        106,
        (
            Habit("parse", "cost_effective", 16, (1, 80)),
            Habit("parse", "agentic", 6, (1, 20), since_days=52),
            Habit("extract", "cost_effective", 11, (1, 20)),
            Habit("classify", "fast", 14, (1, 9)),
        ),
        Rhythm(days_out={83: 1.7, 82: 1.9, 53: 1.6, 52: 2.1, 31: 0.1, 23: 1.8, 22: 2.0}),
        {"production": FIRST_PROJECT, "staging": FIRST_PROJECT},
        "48 Mill Lane\nBristol BS1 4XX\nUnited Kingdom",
    ),
    Story(
        "pro",
        "Cobalt Claims",
        110,
        (
            Habit("parse", "agentic", 30, (2, 52)),
            Habit("parse", "cost_effective", 14, (4, 80), key="nightly import"),
            Habit("extract", "agentic", 24, (1, 15)),
            Habit("split", "cost_effective", 14, (4, 60), key="nightly import"),
            Habit("classify", "fast", 20, (1, 20)),
            Habit("index", "retrieval", 34, (1, 1), key="assistant", since_days=48),
            Habit("index", "chat", 9, (1, 1), key="assistant", since_days=30),
        ),
        Rhythm(days_out={74: 0.3, 41: 2.3, 40: 1.6, 16: 0.45}),
        {"production": FIRST_PROJECT, "nightly import": FIRST_PROJECT, "assistant": "Claims assistant"},
        "Kobaltgasse 7\n1010 Vienna\nAustria",
    ),
    Story(
        "enterprise",
        "Delta Logistics",
        117,
        (
            Habit("parse", "agentic", 30, (20, 580)),
            Habit("parse", "agentic_plus", 7, (1, 150), key="customs", since_days=66),
            Habit("extract", "agentic", 26, (1, 80), key="customs"),
            Habit("split", "cost_effective", 16, (4, 300)),
            Habit("classify", "multimodal", 18, (4, 280)),
            Habit("index", "chat", 24, (1, 1), key="helpdesk", since_days=57),
        ),
        Rhythm(days_out={89: 1.5, 61: 1.7, 60: 1.4, 37: 0.25, 12: 1.5}),
        {"production": FIRST_PROJECT, "customs": "Customs", "helpdesk": "Helpdesk"},
        "Pier 3, Gate 12\n3011 Rotterdam\nNetherlands",
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
    first = stores.clock() - timedelta(days=max(story.days for story in STORIES))
    await Invoices(billing_at(stores, first)).change_details(SELLER, SOLD_BY, actor="demo")
    # The oldest first, so that invoices are numbered in the order of their days.
    opened = {
        story.plan_id: await _open(stores, story, seed)
        for seed, story in sorted(enumerate(STORIES), key=lambda one: -one[1].days)
    }
    made = [opened[story.plan_id] for story in STORIES]
    await issue_past(stores, [one.account_id for one in made], with_cards=_with_cards(stores, made))
    descriptor = os.open(data / KEYS, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as kept:
        kept.write(orjson.dumps([asdict(one) for one in made], option=orjson.OPT_INDENT_2))
    return made


async def _open(stores: Stores, story: Story, seed: int) -> DemoAccount:
    """One account, opened so many days ago, with what it has used since."""
    now = stores.clock()
    then = now - timedelta(days=story.days)
    billing = billing_at(stores, then)
    flow = Accounts(billing)
    opened = await flow.create(story.name, story.plan_id, actor="demo")
    if story.contract is not None:
        await Contracts(billing).agree(opened.id, story.contract, reason="Master agreement MSA-104", actor="demo")
    terms = await current_terms(stores.books, stores.current.plans(), opened.id, now)
    assert terms is not None, "the account was made a moment ago"  # noqa: S101
    if story.address:
        await Invoices(billing_at(stores, then)).change_details(opened.id, {"address": story.address}, actor="demo")
    keys = await _keys(stores, flow, opened, story, then)
    owner = Owner(opened.id, {name: (key.id, key.project_id) for name, key in keys.items()})
    async with stores.books.read() as conn:
        past = await periods.of_account(conn, opened.id)
    history = list(
        events(
            owner,
            story.habits,
            story.rhythm,
            past,
            stores.current.catalog.rate_card,
            from_ms=epoch_ms(then),
            to_ms=epoch_ms(now),
            most_percent=story.most_percent,
            seed=seed,
        )
    )
    async with stores.books.begin() as conn:
        for first in range(0, len(history), BATCH):
            await usage.book(conn, history[first : first + BATCH])
    # What a relay does behind a booking: the running period's alerts are there from the start.
    await AlertWatch(books=stores.books, clock=stores.clock).notice([(opened.id, period.start_ms) for period in past])
    await stores.rebuild(opened.id)
    return DemoAccount(story.plan_id, opened.id, opened.project_id, next(iter(keys.values())).secret)


async def _keys(
    stores: Stores, flow: Accounts, opened: OpenedAccount, story: Story, then: datetime
) -> dict[str, CreatedKey]:
    """The account's keys by name, and the projects that they are of."""
    projects, made = {FIRST_PROJECT: opened.project_id}, {}
    keys = Keys(books=stores.books, tell=stores.billing.tell, pepper=stores.pepper, clock=lambda: then)
    for name, project in story.keys.items():
        if project not in projects:
            projects[project] = (await flow.create_project(opened.id, project, actor="demo")).id
        made[name] = await keys.create(opened.id, project_id=projects[project], name=name, actor="demo")
    return made


def _with_cards(stores: Stores, made: Sequence[DemoAccount]) -> list[str]:
    """Whoever is on a plan with a list price pays with a card; a contract is paid by transfer."""
    plans = stores.current.plans()
    paying = (one for one in made if plans[one.plan_id].price_cents > 0 and not plans[one.plan_id].contract)
    return [one.account_id for one in paying] if stores.till.payments.provider == Fake.name else []
