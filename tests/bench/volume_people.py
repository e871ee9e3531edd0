"""Who asks in the volume benchmark: a key of an account, and the ids of what the account can look at.

Beside usage and invoices an account has keys, budgets, and a webhook endpoint with a long log; all of it is made once.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select

from gateway.books import accounts, payment_methods
from gateway.books.books import Books
from gateway.books.ids import new_id
from gateway.books.payment_methods import BookedMethod
from gateway.books.tables import api_keys, sessions, usage_events
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import MethodKind
from gateway.domain.webhook import EventType
from gateway.flows.invoices import Invoices
from gateway.flows.keys import Keys
from gateway.flows.limits import Limits
from gateway.flows.tell_account import emit
from gateway.flows.webhooks import Webhooks
from tests.bench.volume_fill import Account
from tests.bench.volume_served import ASKED_AT
from tests.billing import billing_over
from tests.made_up import CREDIT, NOON_MS, Clock

PEPPER = "a pepper for benchmarks"
PROVIDER = "fake"
KEYS = 20
MESSAGES = 500


@dataclass(frozen=True, slots=True)
class Person:
    """An owner. `secret` is their key; `request_id` a call they made, `issued` and `draft` invoices by id."""

    account_id: str
    account_name: str
    project_id: str
    secret: str
    key_id: str
    usage_key_id: str
    request_id: str
    issued: str
    number: str
    draft: str
    endpoint_id: str
    delivery_id: str
    method_id: str


async def person(books: Books, account: Account) -> Person:
    """The account's owner, with a new key in the place of those of an earlier run, and nobody signed in."""
    clock = Clock(ASKED_AT)
    billing = billing_over(books, clock)
    keys = Keys(books=books, tell=billing.tell, pepper=PEPPER.encode(), clock=clock)
    async with books.begin() as conn:
        # The operator's too: under a clock that begins anew, the oldest of a full house would be the one just begun.
        await conn.execute(delete(sessions))
        await conn.execute(delete(api_keys).where(api_keys.c.account_id == account.id))
    made = [await keys.create(account.id, name=f"Key {number}", actor="bench") for number in range(KEYS)]
    limits = Limits(billing)
    await limits.set_budget(account.id, account.project_id, 900_000_000 * CREDIT, actor="bench")
    webhooks = Webhooks(books=books, pepper=PEPPER.encode(), clock=clock)
    endpoint_id, delivery_id = await _hooked(books, webhooks, account.id)
    invoices = Invoices(billing)
    found = await invoices.of_account(account.id)
    issued = next(one for one in found if one.status is not InvoiceStatus.DRAFT)
    draft = next(one for one in found if one.status is InvoiceStatus.DRAFT)
    name, usage_key_id, request_id = await _used(books, account.id)
    return Person(
        account_id=account.id,
        account_name=name,
        project_id=account.project_id,
        secret=made[0].secret,
        key_id=made[0].id,
        usage_key_id=usage_key_id,
        request_id=request_id,
        issued=issued.id,
        number=issued.document["number"],
        draft=draft.id,
        endpoint_id=endpoint_id,
        delivery_id=delivery_id,
        method_id=await _card(books, account.id),
    )


async def _used(books: Books, account_id: str) -> tuple[str, str, str]:
    """The account's name, and a call of it: the key that made it, and its request id."""
    event = usage_events.c
    query = select(event.key_id, event.request_id).where(
        event.account_id == account_id, event.admitted_at_ms < NOON_MS, event.captured_millicredits > 0
    )
    async with books.read() as conn:
        account = await accounts.get(conn, account_id)
        assert account is not None
        key_id, request_id = (await conn.execute(query.order_by(event.admitted_at_ms.desc()).limit(1))).one()
    return account.name, key_id, request_id


async def _hooked(books: Books, webhooks: Webhooks, account_id: str) -> tuple[str, str]:
    """The account's endpoint and the latest delivery to it; made, with its log, where there is none yet."""
    known = await webhooks.of_account(account_id)
    if not known:
        made = await webhooks.create(account_id, "https://hooks.example/billing", actor="bench")
        known = [made.endpoint]
        async with books.begin() as conn:
            for number in range(MESSAGES):
                await emit(conn, account_id, EventType.ALERT_RAISED, {"threshold": number}, NOON_MS - number * 60_000)
    deliveries = await webhooks.deliveries(known[0].id, account_id=account_id, limit=1)
    return known[0].id, deliveries[0].id


async def _card(books: Books, account_id: str) -> str:
    """A card of the account's, made where there is none."""
    async with books.begin() as conn:
        known = await payment_methods.of_account(conn, account_id, PROVIDER)
        if known:
            return known[0].id
        card = BookedMethod(
            id=new_id("pm"),
            account_id=account_id,
            provider=PROVIDER,
            ref=f"card_of_{account_id}",
            kind=MethodKind.CARD,
            brand="visa",
            last4="4242",
            exp_month=12,
            exp_year=2030,
            is_default=True,
            added_ms=NOON_MS,
            removed_ms=None,
        )
        await payment_methods.add(conn, card)
    return card.id
