"""The roof: settings become running parts. Knows every part and holds no rule.

`open_gateway` makes the parts of a process that serves, over the stores that `gateway.stores` opens. They open in order
and close in reverse. Importing this opens nothing.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from gateway import settings as config
from gateway.catalog import Catalog
from gateway.domain.instant import DAY_MS
from gateway.edges.background import Background
from gateway.edges.dashboard.operator.parts import OperatorParts
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
from gateway.flows.deliver_webhooks import CountsWebhooks, Deliverer
from gateway.flows.expire_holds import Sweeper
from gateway.flows.first_call import FirstCalls
from gateway.flows.follow_job import Follower, TellsOperators
from gateway.flows.issue_invoice import Closer
from gateway.flows.job_documents import Followed
from gateway.flows.live_holds import LiveHolds
from gateway.flows.look_in import LookIns
from gateway.flows.look_up import LookUp
from gateway.flows.old_jobs import OldJobs
from gateway.flows.overview import Overviews
from gateway.flows.reconcile_runs import ReconcileRuns
from gateway.flows.relay import Relay
from gateway.flows.saved_modes import SavedModes
from gateway.flows.settle import Settler
from gateway.flows.sign_in import SignIns
from gateway.flows.watch_store import StoreWatch
from gateway.ledger.holds import Holds
from gateway.ledger.idempotency import Idempotency
from gateway.ledger.server_state import ServerState
from gateway.pages.page_counter import PageCounter
from gateway.sinks.webhook import WebhookSender
from gateway.stores import Current, Stores, secret
from gateway.upstream.connection import UpstreamTimeouts
from gateway.upstream.pool import PoolLimits, UpstreamPool

SETTLE_WITHIN_S: Final = 5.0


class Offers:
    """What the proxy offers by the catalog in force: made when a reload has replaced it, by the next call."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._catalog = current.catalog
        self._offer = _offer(self._catalog)

    def __call__(self) -> Offer:
        """The offer in force."""
        catalog = self._current.catalog
        if catalog is not self._catalog:
            self._offer, self._catalog = _offer(catalog), catalog
        return self._offer


def _offer(catalog: Catalog) -> Offer:
    return Offer(catalog.routes, catalog.rate_card, catalog.job_kinds)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A serving process's parts."""

    stores: Stores
    offer: Offers
    proxy: Proxy
    directory: Directory
    saved_modes: SavedModes
    live: LiveHolds
    watch: StoreWatch
    background: Background


class Tells(TellsOperators, CountsWebhooks, Protocol):
    """The numbers that operators look at."""


@asynccontextmanager
async def open_gateway(
    settings: config.Settings, stores: Stores, *, record: Record, tell: Tells
) -> AsyncIterator[Gateway]:
    """The proxy and the background work over open stores. On leaving, settlements under way are finished."""
    async with AsyncExitStack() as stack:
        offers = Offers(stores.current)
        directory = Directory(
            books=stores.books, terms_of=stores.billing.terms_of, pepper=stores.pepper, clock=stores.clock
        )
        stack.push_async_callback(directory.close)
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
        follower = _follower(stores, settler, followed, tell)
        proxy = Proxy(
            Parts(
                offer=offers,
                targets=targets,
                directory=directory,
                admission=_admission(stores, directory),
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
            relay=_relay(stores, auditor),
            sweeper=Sweeper(stores.ledger, stores.ledger.shards),
            follower=follower,
            closer=closer(stores),
            auditor=auditor,
            deliverer=_deliverer(stores, sender, tell),
            collector=stores.till.collector,
        )
        yield Gateway(stores, offers, proxy, directory, saved_modes, live, watch, background)


def desk(stores: Stores) -> Desk:
    """The flows that doors for people and programs ask."""
    return desk_over(
        stores.billing,
        ledger=stores.ledger,
        holds=Holds(stores.store, shards=stores.ledger.shards),
        parts_of=stores.parts_of,
        pepper=stores.pepper,
        rate_card=lambda: stores.current.catalog.rate_card,
        private_webhooks=stores.webhooks.allow_private,
        till=stores.till,
    )


def dashboard_parts(settings: config.Settings, stores: Stores, asked: Desk) -> DashboardParts:
    """What the pages for people work with, the owners' and the operator's."""
    return DashboardParts(
        desk=asked,
        sign_ins=SignIns(
            books=stores.books, pepper=stores.pepper, clock=stores.clock, admin_token=secret(settings.admin.token)
        ),
        trusted=Peers(settings.trusted_proxies).trusted,
        trusted_header=settings.dashboard.trusted_header,
        public_url=settings.public_url,
    )


def operator_parts(
    settings: config.Settings, stores: Stores, pages: DashboardParts, problems: Callable[[], Sequence[str]]
) -> OperatorParts:
    """What the operator's pages work with beside those of the accounts. Its `runs` want to be run."""
    return OperatorParts(
        dashboard=pages,
        overviews=Overviews(
            books=stores.books,
            server=ServerState(stores.store, shards=stores.ledger.shards),
            lag=stores.outbox.lag,
            usage=stores.ledger.usage,
            clock=stores.clock,
        ),
        runs=ReconcileRuns(books=stores.books, ledger=stores.ledger, clock=stores.clock),
        look_up=LookUp(books=stores.books),
        look_ins=LookIns(books=stores.books, clock=stores.clock),
        issue_due=closer(stores).close_account,
        problems=problems,
        public_url=stores.billing_url.removesuffix("/settings/billing"),
        on=bool(secret(settings.admin.token)),
    )


def _admission(stores: Stores, directory: Directory) -> Admission:
    return Admission(
        stores.ledger,
        directory,
        load=stores.rebuild,
        plans=stores.current.plans,
        clock=stores.clock,
        recall=OldJobs(stores.books, stores.ledger).recall,
    )


def _follower(stores: Stores, settler: Settler, followed: Mapping[str, Followed], tell: TellsOperators) -> Follower:
    return Follower(
        stores.ledger,
        settler,
        job_kinds=lambda: stores.current.catalog.job_kinds,
        upstreams=followed,
        tell=tell,
        capped=lambda route: route in stores.current.capped_routes,
        shards=stores.ledger.shards,
    )


def _relay(stores: Stores, auditor: Auditor) -> Relay:
    return Relay(
        outbox=stores.outbox,
        books=stores.books,
        consumer=f"relay-{secrets.token_hex(6)}",
        doubt=auditor.doubt,
        noticed=AlertWatch(books=stores.books, clock=stores.clock),
    )


def _deliverer(stores: Stores, sender: WebhookSender, tell: CountsWebhooks) -> Deliverer:
    return Deliverer(
        books=stores.books,
        sender=sender,
        pepper=stores.pepper,
        clock=stores.clock,
        disable_after_ms=stores.webhooks.disable_after_days * DAY_MS,
        keep_ms=stores.webhooks.keep_days * DAY_MS,
        tell=tell,
    )


def closer(stores: Stores) -> Closer:
    """What closes billing periods; no hold outlives the longest job."""

    def longest_hold_ms() -> int:
        return max((kind.limit_ms for kind in stores.current.catalog.job_kinds.values()), default=0)

    return Closer(stores.billing, longest_hold_ms=longest_hold_ms)


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
