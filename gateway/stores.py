"""The stores that every process works on: books and ledger, opened in order and closed in reverse.

What a command needs and no more, so that one starts without everything that only serving needs (`gateway.wiring`).
Importing this opens nothing.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import NamedTemporaryFile
from typing import assert_never

from pydantic import SecretStr

from gateway import settings as config
from gateway.books import meta
from gateway.books.books import Books
from gateway.catalog import Catalog
from gateway.domain.plan import Plan
from gateway.domain.quote import PricePart
from gateway.domain.usage import CallFacts
from gateway.flows.billing import Billing
from gateway.flows.fake_bank import FakeBank
from gateway.flows.rebuild import Rebuilder
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.till import Till, till_over
from gateway.ledger.cluster import ClusterConnection
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import SHARDS
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.redis_at import reader_at, redis_at
from gateway.ledger.server import EmbeddedValkey
from gateway.payments.fake import Fake
from gateway.payments.manual import Manual
from gateway.payments.provider import Provider
from gateway.payments.stripe import Stripe
from gateway.wire.price_parts import parts_of
from gateway.wire.route import Overrun


def system_clock() -> datetime:
    """The one place where the system's clock comes in."""
    return datetime.now(UTC)


class Current:
    """The catalog in force; a reload replaces it as a whole, and a call keeps the one it began with."""

    def __init__(self, catalog: Catalog) -> None:
        self.replace(catalog)

    def replace(self, catalog: Catalog) -> None:
        """From the next call on, this."""
        self.catalog = catalog
        self.capped_routes = frozenset(
            route.name for route in catalog.routes.routes if route.metered and route.metered.overrun is Overrun.CAP
        )

    def plans(self) -> Mapping[str, Plan]:
        """The plans in force."""
        return self.catalog.plans


@dataclass(frozen=True, slots=True)
class Stores:
    """Open books and ledger, with what every command needs beside them. `embedded` None: Redis is somebody else's."""

    books: Books
    store: RedisConnection | ClusterConnection
    ledger: Ledger
    outbox: Outbox
    embedded: EmbeddedValkey | None
    current: Current
    pepper: bytes
    billing: Billing
    rebuild: Rebuilder
    clock: Callable[[], datetime]
    webhooks: config.WebhookSettings
    till: Till
    billing_url: str
    """Where people come back to from a payment provider's page, when nobody's request says it better."""

    def parts_of(self, facts: CallFacts) -> tuple[PricePart, ...] | None:
        """What a call's price was made of, as far as the rate card in force can tell."""
        return parts_of(facts, self.current.catalog.rate_card, self.current.catalog.routes)


def books_url(settings: config.Settings) -> str:
    """Where the books are: the embedded ones where no others are named."""
    return secret(settings.books.url) or f"sqlite:///{settings.data / 'books.sqlite'}"


@asynccontextmanager
async def open_stores(settings: config.Settings, catalog: Catalog) -> AsyncIterator[Stores]:
    """Books and ledger, embedded ones joined or started. BooksUnavailable; a Redis that is away is no error here."""
    current, clock = Current(catalog), system_clock
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(settings.data.mkdir, mode=0o700, parents=True, exist_ok=True)
        redis_url, embedded = secret(settings.redis.url), None
        if redis_url is None:
            embedded = await stack.enter_async_context(EmbeddedValkey(settings.data))
            redis_url = f"unix://{embedded.socket_path}"
        books = await Books.open(books_url(settings))
        stack.push_async_callback(books.close)
        async with books.begin() as conn:
            shards = await meta.decide_shards(conn, SHARDS)
        # The relay waits on a connection of its own: a blocking read would hold up everybody else's commands.
        store, reader = redis_at(redis_url), reader_at(redis_url)
        for connection in (store, reader):
            if connection is not None:
                await connection.open()
                stack.push_async_callback(connection.close)
        ledger = Ledger(store, shards=shards)
        outbox = Outbox(store, shards=shards, reader=reader)
        tell = TellLedger(books=books, ledger=ledger, plans=current.plans, clock=clock)
        billing = Billing(books=books, plans=current.plans, clock=clock, ledger=ledger, tell=tell)
        provider = _provider(settings, books)
        stack.push_async_callback(provider.close)
        yield Stores(
            books=books,
            store=store,
            ledger=ledger,
            outbox=outbox,
            embedded=embedded,
            current=current,
            pepper=await asyncio.to_thread(_pepper, settings),
            billing=billing,
            rebuild=Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=billing.terms_of, clock=clock),
            clock=clock,
            webhooks=settings.webhooks,
            billing_url=f"{_origin(settings)}/settings/billing",
            till=till_over(billing, provider),
        )


def _origin(settings: config.Settings) -> str:
    """The gateway's address as people know it, as far as the settings tell."""
    return settings.public_url or f"http://{settings.listen.host}:{settings.listen.port}"


def _provider(settings: config.Settings, books: Books) -> Provider:
    """Who takes payments. ProviderMissing where its library is not installed."""
    payments = settings.payments
    match payments.provider:
        case config.PaymentProvider.MANUAL:
            return Manual()
        case config.PaymentProvider.FAKE:
            return Fake(FakeBank(books), _origin(settings))
        case config.PaymentProvider.STRIPE:
            return Stripe(secret(payments.stripe.api_key) or "", api_base=payments.stripe.api_base)
        case _:
            assert_never(payments.provider)


def secret(value: SecretStr | None) -> str | None:
    """What a secret setting says; None where it is not set."""
    return None if value is None else value.get_secret_value()


def _pepper(settings: config.Settings) -> bytes:
    """The configured pepper, else one made at the first start and kept beside the books, readable by us alone."""
    configured = secret(settings.keys.pepper)
    if configured is not None:
        return configured.encode()
    file = settings.data / "pepper"
    if not file.exists():
        with NamedTemporaryFile(dir=settings.data) as new:
            new.write(secrets.token_hex(32).encode())
            new.flush()
            # Of several first starts one wins, and nobody ever reads half a pepper.
            with suppress(FileExistsError):
                os.link(new.name, file)
    return file.read_bytes()
