"""Alerts: noticed where usage is booked, raised once for each period and threshold, and shown to who asks.

The relay says which periods it has just booked usage of; their running sums are looked at in a reading transaction of
its own, and only where something new was crossed is anything written: the alert and its webhooks, in one transaction.
A relay that dies in between reads its records again and looks again; of several relays, whoever commits last sees it
all. No call waits for any of this.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import alerts, limits
from gateway.books.alerts import PeriodKey, PeriodStanding, RaisedAlert
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.alert import EXHAUSTED_PERCENT, VENDOR_KINDS, Alert, Spending, crossed
from gateway.domain.credits import credits_text
from gateway.domain.instant import epoch_ms
from gateway.domain.limits import Sold, SpendLimits, ceiling
from gateway.domain.plan import NO_CEILING_MILLICREDITS
from gateway.domain.webhook import EventType
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import NoSuchThing
from gateway.flows.known_account import known_account
from gateway.flows.tell_account import emit
from gateway.flows.usage_report import UsageReport
from gateway.wire.standard_webhook import instant_text

log = structlog.get_logger()


class Alerts:
    """The alerts of all accounts. `terms_of` is `current_terms` with its books and plans."""

    def __init__(self, *, books: Books, terms_of: TermsOf, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._terms_of = terms_of
        self._clock = clock

    async def of_account(self, account_id: str) -> list[RaisedAlert]:
        """What was raised in the current period, newest first. NoSuchThing, BooksUnavailable."""
        now = self._clock()
        terms = await self._terms_of(account_id, now)
        if terms is None:
            raise NoSuchThing("account", account_id)
        period = terms.period_at(terms.own_ms(epoch_ms(now))) or terms.periods[0]
        async with self._books.read() as conn:
            return await alerts.of_account(conn, account_id, period_start_ms=period.start_ms)

    async def history(self, account_id: str, *, limit: int = 100) -> list[RaisedAlert]:
        """What was raised in any period, newest first. NoSuchThing, BooksUnavailable."""
        async with self._books.read() as conn:
            await known_account(conn, account_id)
            return await alerts.of_account(conn, account_id, limit=limit)

    async def active(self, report: UsageReport) -> tuple[Alert, ...]:
        """What holds now, live usage included, whether it was raised yet or not. BooksUnavailable.

        It may have been raised and hold no more: credits that were given since make room again.
        """
        key = (report.account_id, report.period.start_ms)
        async with self._books.read() as conn:
            own = await limits.own(conn, report.account_id)
            booked = await alerts.standing(conn, key)
            if booked is None:
                return ()
            live = replace(
                booked,
                captured_millicredits=report.credits.used_millicredits,
                granted_millicredits=report.credits.included_millicredits,
            )
            state = await _spending(conn, live, own, epoch_ms(self._clock()) + booked.clock_offset_ms)
        return crossed(state, percents=_percents(live, own), cents=own.alert_cents)


class AlertWatch:
    """Called with the periods that usage was just booked of, by any number of relays."""

    def __init__(self, *, books: Books, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._clock = clock

    async def __call__(self, keys: Collection[PeriodKey]) -> list[RaisedAlert]:
        """Raise what these periods have newly crossed; what that was. BooksUnavailable: ask again.

        Anything else that goes wrong is logged and not raised: usage is booked all the same, and the account's next
        call is another chance.
        """
        try:
            return await self.notice(keys)
        except BooksUnavailable:
            raise
        except Exception:
            log.exception("alerts could not be noticed", periods=len(keys))
            return []

    async def notice(self, keys: Collection[PeriodKey]) -> list[RaisedAlert]:
        """As above, with everything that goes wrong."""
        if not keys:
            return []
        at_ms = epoch_ms(self._clock())
        async with self._books.read() as conn:
            due = await _due(conn, keys, at_ms)
        if not due:
            return []
        raised = []
        async with self._books.begin() as conn:
            for alert in due:
                if await alerts.add(conn, alert):
                    await emit(conn, alert.account_id, EventType.ALERT_RAISED, alert_data(alert), alert.raised_ms)
                    raised.append(alert)
        for alert in raised:
            log.info("alert raised", account_id=alert.account_id, kind=str(alert.kind), threshold=alert.threshold)
        return raised


def vendor_names(active: Iterable[Alert]) -> list[str]:
    """LlamaCloud's names among them, each once: its clients know no others."""
    return list(dict.fromkeys(str(one.kind) for one in active if one.kind in VENDOR_KINDS))


def alert_data(alert: RaisedAlert) -> dict[str, Any]:
    """What `alert.raised` says, and whoever shows an alert."""
    threshold = {"percent": alert.threshold} if alert.kind.in_percent else {"cents": alert.threshold}
    beyond = max(0, alert.used_millicredits - alert.included_millicredits)
    return {
        "alert_id": alert.id,
        "name": str(alert.kind),
        "threshold": threshold,
        "period": {"start": instant_text(alert.period_start_ms), "end": instant_text(alert.period_end_ms)},
        # Decimal text: JSON numbers become floats in many places.
        "credits": {
            "included": credits_text(alert.included_millicredits),
            "used": credits_text(alert.used_millicredits),
            "pay_as_you_go": credits_text(beyond),
        },
        "spend_cents": alert.spend_cents,
        "raised_at": instant_text(alert.raised_ms),
    }


async def _due(conn: AsyncConnection, keys: Collection[PeriodKey], at_ms: int) -> list[RaisedAlert]:
    """What these periods have crossed and nobody has raised, in the order of accounts: two never wait in a circle."""
    standings = await alerts.standings(conn, keys)
    own = await _own(conn, standings)
    found: list[RaisedAlert] = []
    for standing in sorted(standings, key=lambda one: (one.account_id, one.start_ms)):
        wanted = own.get(standing.account_id, SpendLimits())
        own_ms = at_ms + standing.clock_offset_ms
        state = await _spending(conn, standing, wanted, own_ms)
        reached = crossed(state, percents=_percents(standing, wanted), cents=wanted.alert_cents)
        found += [_alert(standing, state, one, own_ms) for one in reached]
    known = await alerts.raised(conn, {(one.account_id, one.period_start_ms) for one in found})
    return [
        one
        for one in found
        if Alert(one.kind, one.threshold) not in known.get((one.account_id, one.period_start_ms), frozenset())
    ]


def _percents(standing: PeriodStanding, own: SpendLimits) -> tuple[int, ...]:
    """What the account wants to hear of; a contract without a ceiling always tells of its overage."""
    if not standing.contract or standing.overage_millicredits < NO_CEILING_MILLICREDITS:
        return own.alert_percents
    return tuple(sorted({*own.alert_percents, EXHAUSTED_PERCENT}))


async def _own(conn: AsyncConnection, standings: Collection[PeriodStanding]) -> Mapping[str, SpendLimits]:
    if not standings:
        return {}
    return await limits.own_of(conn, sorted({one.account_id for one in standings}))


async def _spending(conn: AsyncConnection, standing: PeriodStanding, own: SpendLimits, at_ms: int) -> Spending:
    """How the account stands, under the ceiling that counts now; raises are looked up only where they would matter."""
    sold = Sold(
        standing.overage_millicredits,
        standing.nanodollars_per_millicredit,
        tiers=standing.tiers,
        contract=standing.contract,
    )
    found = Spending(
        used_millicredits=standing.captured_millicredits,
        included_millicredits=standing.granted_millicredits,
        ceiling=ceiling(sold, own),
        nanodollars_per_millicredit=standing.nanodollars_per_millicredit,
        tiers=standing.tiers,
    )
    if not found.at_ceiling:
        return found
    raises = await limits.raises(conn, standing.account_id, since_ms=at_ms)
    running = [one for one in raises if one.from_ms <= at_ms < one.over_ms]
    return replace(found, ceiling=ceiling(sold, own, running[-1] if running else None))


def _alert(standing: PeriodStanding, state: Spending, crossed_: Alert, at_ms: int) -> RaisedAlert:
    return RaisedAlert(
        id=alerts.new_alert_id(),
        account_id=standing.account_id,
        period_start_ms=standing.start_ms,
        period_end_ms=standing.end_ms,
        kind=crossed_.kind,
        threshold=crossed_.threshold,
        used_millicredits=state.used_millicredits,
        included_millicredits=state.included_millicredits,
        spend_cents=state.spend_cents,
        raised_ms=at_ms,
    )
