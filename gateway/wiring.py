"""The roof: settings become running parts. Knows every part and holds no rule.

Two stacks: `open_stores` for whoever works on the books and the ledger (each command), `open_gateway` for a process
that serves. They open in order and close in reverse. Importing this opens nothing.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, assert_never

from pydantic import SecretStr

from gateway import settings as config
from gateway.books import meta
from gateway.books.books import Books
from gateway.catalog import Catalog
from gateway.domain.instant import DAY_MS
from gateway.domain.plan import Plan
from gateway.domain.quote import PricePart
from gateway.domain.terms import Terms
from gateway.domain.usage import CallFacts
from gateway.edges.background import Background
from gateway.edges.dashboard.parts import DashboardParts
from gateway.edges.desk import Desk, desk_over
from gateway.edges.proxy.app import Proxy
from gateway.edges.proxy.call import Record
from gateway.edges.proxy.parts import Offer, Parts, Peers, Target
from gateway.edges.proxy.request_body import Spool
from gateway.flows.admit import Admission
from gateway.flows.alerts import AlertWatch
from gateway.flows.audit import Auditor
from gateway.flows.authenticate import Directory
from gateway.flows.deliver_webhooks import Deliverer
from gateway.flows.expire_holds import Sweeper
from gateway.flows.fake_bank import FakeBank
from gateway.flows.first_call import FirstCalls
from gateway.flows.follow_job import Follower, TellsOperators
from gateway.flows.issue_invoice import Closer
from gateway.flows.job_documents import Followed
from gateway.flows.live_holds import LiveHolds
from gateway.flows.old_jobs import OldJobs
from gateway.flows.rebuild import Rebuilder
from gateway.flows.relay import Relay
from gateway.flows.saved_modes import SavedModes
from gateway.flows.settle import Settler
from gateway.flows.sign_in import SignIns
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.flows.till import Till, till_over
from gateway.flows.watch_store import StoreWatch
from gateway.ledger.cluster import ClusterConnection
from gateway.ledger.connection import RedisConnection
from gateway.ledger.holds import Holds
from gateway.ledger.idempotency import Idempotency
from gateway.ledger.keys import SHARDS
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.redis_at import reader_at, redis_at
from gateway.ledger.server import EmbeddedValkey
from gateway.pages.page_counter import PageCounter
from gateway.payments.fake import Fake
from gateway.payments.manual import Manual
from gateway.payments.provider import Provider
from gateway.payments.stripe import Stripe
from gateway.sinks.webhook import WebhookSender
from gateway.upstream.connection import UpstreamTimeouts
from gateway.upstream.pool import PoolLimits, UpstreamPool
from gateway.wire.price_parts import parts_of
from gateway.wire.route import Overrun

SETTLE_WITHIN_S: Final = 5.0


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
        self.offer = Offer(catalog.routes, catalog.rate_card, catalog.job_kinds)
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
    tell: TellLedger
    rebuild: Rebuilder
    clock: Callable[[], datetime]
    webhooks: config.WebhookSettings
    till: Till
    billing_url: str

    async def terms_of(self, account_id: str, at: datetime) -> Terms | None:
        """An account's terms at an instant, its due periods booked."""
        return await current_terms(self.books, self.current.plans(), account_id, at)

    def parts_of(self, facts: CallFacts) -> tuple[PricePart, ...] | None:
        """What a call's price was made of, as far as the rate card in force can tell."""
        return parts_of(facts, self.current.catalog.rate_card, self.current.catalog.routes)


def books_url(settings: config.Settings) -> str:
    """Where the books are: the embedded ones where no others are named."""
    return _secret(settings.books.url) or f"sqlite:///{settings.data / 'books.sqlite'}"


@asynccontextmanager
async def open_stores(settings: config.Settings, catalog: Catalog) -> AsyncIterator[Stores]:
    """Books and ledger, embedded ones joined or started. BooksUnavailable; a Redis that is away is no error here."""
    current, clock = Current(catalog), system_clock
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(settings.data.mkdir, mode=0o700, parents=True, exist_ok=True)
        redis_url, embedded = _secret(settings.redis.url), None
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

        async def terms_of(account_id: str, at: datetime) -> Terms | None:
            return await current_terms(books, current.plans(), account_id, at)

        tell = TellLedger(books=books, ledger=ledger, plans=current.plans, clock=clock)
        provider = _provider(settings.payments, books)
        stack.push_async_callback(provider.close)
        yield Stores(
            books=books,
            store=store,
            ledger=ledger,
            outbox=outbox,
            embedded=embedded,
            current=current,
            pepper=await asyncio.to_thread(_pepper, settings),
            tell=tell,
            rebuild=Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock),
            clock=clock,
            webhooks=settings.webhooks,
            billing_url=_billing_url(settings),
            till=till_over(books=books, provider=provider, tell=tell, plans=current.plans, clock=clock, ledger=ledger),
        )


def _billing_url(settings: config.Settings) -> str:
    """Where people come back to from a payment provider's page, when nobody's request says it better."""
    listen = settings.listen
    return f"{settings.public_url or f'http://{listen.host}:{listen.port}'}/settings/billing"


def _provider(settings: config.PaymentSettings, books: Books) -> Provider:
    """Who takes payments. ProviderMissing where its library is not installed."""
    match settings.provider:
        case config.PaymentProvider.MANUAL:
            return Manual()
        case config.PaymentProvider.FAKE:
            return Fake(FakeBank(books))
        case config.PaymentProvider.STRIPE:
            return Stripe(_secret(settings.stripe.api_key) or "", api_base=settings.stripe.api_base)
        case _:
            assert_never(settings.provider)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A serving process's parts."""

    stores: Stores
    proxy: Proxy
    directory: Directory
    saved_modes: SavedModes
    live: LiveHolds
    watch: StoreWatch
    background: Background


@asynccontextmanager
async def open_gateway(
    settings: config.Settings, stores: Stores, *, record: Record, tell: TellsOperators
) -> AsyncIterator[Gateway]:
    """The proxy and the background work over open stores. On leaving, settlements under way are finished."""
    async with AsyncExitStack() as stack:
        directory = Directory(books=stores.books, terms_of=stores.terms_of, pepper=stores.pepper, clock=stores.clock)
        live = LiveHolds(stores.ledger)
        settler = Settler(stores.ledger, stores.books, live, stores.rebuild)
        auditor = Auditor(books=stores.books, ledger=stores.ledger, rebuild=stores.rebuild)
        watch = StoreWatch(stores.ledger, [directory.forget_all, settler.settle_again, auditor.look_at_all])
        stores.store.on_reconnect = watch.reached_again
        targets = {name: _target(upstream) for name, upstream in settings.upstreams.items()}
        for target in targets.values():
            stack.push_async_callback(target.upstream.aclose)
        stack.push_async_callback(settler.close, SETTLE_WITHIN_S)
        followed = {name: Followed(target.upstream, target.credential) for name, target in targets.items()}
        apart = {name: followed[name] for name, target in targets.items() if target.isolates}
        saved_modes = SavedModes(apart, stores.clock)
        counter = PageCounter()
        stack.push_async_callback(counter.close)
        follower = Follower(
            stores.ledger,
            settler,
            job_kinds=lambda: stores.current.catalog.job_kinds,
            upstreams=followed,
            tell=tell,
            capped=lambda route: route in stores.current.capped_routes,
            shards=stores.ledger.shards,
        )
        proxy = Proxy(
            Parts(
                offer=lambda: stores.current.offer,
                targets=targets,
                directory=directory,
                admission=Admission(
                    stores.ledger,
                    directory,
                    load=stores.rebuild,
                    plans=stores.current.plans,
                    clock=stores.clock,
                    recall=OldJobs(stores.books, stores.ledger).recall,
                ),
                saved_modes=saved_modes,
                first_calls=FirstCalls(Idempotency(stores.store, shards=stores.ledger.shards), stores.books),
                settler=settler,
                live=live,
                follower=follower,
                peers=Peers(settings.trusted_proxies),
                spool=_spool(settings),
                counter=counter,
                record=record,
                upgrade_url=f"{settings.public_url or ''}/settings/billing",
            )
        )
        sender = WebhookSender(allow_private=settings.webhooks.allow_private)
        stack.push_async_callback(sender.close)
        background = Background(
            relay=Relay(
                outbox=stores.outbox,
                books=stores.books,
                consumer=f"relay-{secrets.token_hex(6)}",
                doubt=auditor.doubt,
                noticed=AlertWatch(books=stores.books, clock=stores.clock),
            ),
            sweeper=Sweeper(stores.ledger, stores.ledger.shards),
            follower=follower,
            closer=closer(stores),
            auditor=auditor,
            deliverer=_deliverer(stores, sender),
            collector=stores.till.collector,
        )
        yield Gateway(stores, proxy, directory, saved_modes, live, watch, background)


def desk(stores: Stores) -> Desk:
    """The flows that doors for people and programs ask."""
    return desk_over(
        books=stores.books,
        ledger=stores.ledger,
        holds=Holds(stores.store, shards=stores.ledger.shards),
        tell=stores.tell,
        terms_of=stores.terms_of,
        parts_of=stores.parts_of,
        pepper=stores.pepper,
        plans=stores.current.plans,
        rate_card=lambda: stores.current.catalog.rate_card,
        clock=stores.clock,
        private_webhooks=stores.webhooks.allow_private,
        till=stores.till,
    )


def dashboard_parts(settings: config.Settings, stores: Stores, asked: Desk) -> DashboardParts:
    """What the pages for people work with, the customer's and the operator's."""
    return DashboardParts(
        desk=asked,
        sign_ins=SignIns(
            books=stores.books, pepper=stores.pepper, clock=stores.clock, admin_token=_secret(settings.admin.token)
        ),
        trusted=Peers(settings.trusted_proxies).trusted,
        trusted_header=settings.dashboard.trusted_header,
        public_url=settings.public_url,
    )


def _deliverer(stores: Stores, sender: WebhookSender) -> Deliverer:
    return Deliverer(
        books=stores.books,
        sender=sender,
        pepper=stores.pepper,
        clock=stores.clock,
        disable_after_ms=stores.webhooks.disable_after_days * DAY_MS,
        keep_ms=stores.webhooks.keep_days * DAY_MS,
    )


def closer(stores: Stores) -> Closer:
    """What closes billing periods; no hold outlives the longest job."""

    def longest_hold_ms() -> int:
        return max((kind.limit_ms for kind in stores.current.catalog.job_kinds.values()), default=0)

    return Closer(
        books=stores.books,
        ledger=stores.ledger,
        plans=stores.current.plans,
        longest_hold_ms=longest_hold_ms,
        clock=stores.clock,
        tell=stores.tell,
    )


def always(gateway: Gateway, *, background: bool) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """The loops a process runs besides serving, each until cancelled."""
    loops: list[Callable[[], Coroutine[Any, Any, None]]] = [gateway.live.run, gateway.watch.run]
    if gateway.stores.embedded is not None:
        loops.append(gateway.stores.embedded.watch)
    if background:
        loops.append(gateway.background.run)
    return loops


def _target(upstream: config.Upstream) -> Target:
    times = upstream.timeouts
    field = upstream.credential_field()
    pool = UpstreamPool(
        upstream.url,
        limits=PoolLimits(max_connections=upstream.max_connections),
        timeouts=UpstreamTimeouts(
            connect_s=times.connect_s, first_byte_s=times.first_byte_s, between_bytes_s=times.idle_s
        ),
    )
    return Target(
        pool,
        None if field is None else (field[0].lower().encode(), field[1].encode()),
        upstream.isolates_by is config.IsolatesBy.HEADERS,
    )


def _spool(settings: config.Settings) -> Spool:
    directory = Path(settings.spool.directory) if settings.spool.directory else settings.data / "spool"
    return Spool(directory, settings.spool.max_bytes)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _pepper(settings: config.Settings) -> bytes:
    """The configured pepper, else one made at the first start and kept beside the books, readable by us alone."""
    configured = _secret(settings.keys.pepper)
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
