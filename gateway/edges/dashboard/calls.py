"""The calls behind a bar, a product or a key, and the receipt of one: what was quoted, held, charged and booked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.events import Position
from gateway.books.refusals import Refusal
from gateway.domain.hold import Ending
from gateway.domain.instant import epoch_ms
from gateway.domain.usage import UsageEvent
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.addresses import place_after, text_in
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.usage import Names, names_of
from gateway.flows.faults import WrongParameter
from gateway.flows.usage_metrics import MetricsPage, Wanted
from gateway.wire import page_token
from gateway.wire.problems import PROBLEMS

PAGE: Final = 50
FILTERS: Final = ("start", "end", "product", "mode", "project", "key")
ENDINGS: Final = {
    Ending.CAPTURED: "Charged",
    Ending.LATE: "Charged late, after its hold had expired",
    Ending.RECOVERED: "Charged without a hold, which had been lost",
    Ending.RELEASED: "Given back, nothing charged",
    Ending.EXPIRED: "Expired, nothing charged",
}
_FAR_MS: Final = epoch_ms(datetime(2200, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Calls:
    """A page of calls. `given` are the filters it was asked for with, `scope` what its place is valid for."""

    given: Mapping[str, str]
    within: tuple[int, int] | None
    scope: str
    page: MetricsPage
    names: Names

    @property
    def events(self) -> tuple[UsageEvent, ...]:
        """The latest admitted first."""
        return self.page.events

    @property
    def older(self) -> str | None:
        """The query of the next page; None on the last."""
        after = self.page.after
        if after is None:
            return None
        return formats.query({**self.given, "after": page_token.make(self.scope, after.admitted_at_ms, after.event_id)})

    @property
    def chips(self) -> tuple[tuple[str, str], ...]:
        """The filters but for the times: a name, and what people call its value."""
        called: Mapping[str, Callable[[str], str]] = {
            "product": formats.name,
            "mode": formats.name,
            "project": lambda one: self.names.projects.get(one, formats.short_id(one)),
            "key": lambda one: self.names.keys.get(one, formats.short_id(one)),
        }
        return tuple((name, call(self.given[name])) for name, call in called.items() if name in self.given)

    def without(self, *names: str) -> str:
        """The query without these filters, from the first page."""
        return formats.query({name: value for name, value in self.given.items() if name not in names})


def calls_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/usage/calls` and, below it, one call by its request id."""
    desk = pages.parts.desk

    async def listed(visit: Visit) -> Response:
        query = visit.request.query_params
        given = {name: value for name in FILTERS if (value := text_in(query, name))}
        within = _within(given)
        scope = page_token.scope(visit.account_id, sorted(given.items()))
        wanted = Wanted(
            project_id=given.get("project"),
            times=None if within is None else (within,),
            product=given.get("product"),
            mode=given.get("mode"),
            key_id=given.get("key"),
        )
        place = place_after(query, scope)
        after = None if place is None else Position(*place)
        page = await desk.metrics.page(visit.account_id, wanted, size=PAGE, after=after, with_total=True)
        calls = Calls(given, within, scope, page, await names_of(desk, visit.account_id))
        return visit.page("calls.html", title="Calls", section="usage", it=calls)

    async def receipt(visit: Visit) -> Response:
        found = await desk.explain.of_account(visit.request.path_params["request_id"], visit.account_id)
        if isinstance(found, Refusal):
            why = next((problem.title for code, problem in PROBLEMS.items() if code == found.code), found.code)
            return visit.page("refused_call.html", title="A refused call", section="usage", it=found, why=why)
        names = await names_of(desk, visit.account_id)
        return visit.page("receipt.html", title="Receipt", section="usage", it=found, names=names, endings=ENDINGS)

    home = f"{pages.door.home}/usage/calls"
    return [pages.get(home, listed), pages.get(f"{home}/{{request_id}}", receipt)]


def _within(given: Mapping[str, str]) -> tuple[int, int] | None:
    """The range asked for; a side that was left out is open."""
    if "start" not in given and "end" not in given:
        return None
    start_ms, end_ms = _instant(given, "start", 0), _instant(given, "end", _FAR_MS)
    if start_ms >= end_ms:
        raise WrongParameter("end", "the end in the address is not after its start")
    return start_ms, end_ms


def _instant(given: Mapping[str, str], name: str, otherwise: int) -> int:
    sent = given.get(name)
    if sent is None:
        return otherwise
    try:
        at = datetime.fromisoformat(sent)
        at_ms = epoch_ms(at if at.tzinfo is not None else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise WrongParameter(name, f"{name} in the address is no time; write 2026-11-23T12:00:00Z") from None
    if not 0 <= at_ms <= _FAR_MS:
        raise WrongParameter(name, f"{name} in the address is too far away")
    return at_ms
