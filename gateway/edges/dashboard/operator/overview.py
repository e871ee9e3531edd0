"""How everything stands, reconciling on the spot, and finding what an id stands for."""

from starlette.responses import Response
from starlette.routing import Route

from gateway import __version__
from gateway.domain.terms import AccountStatus
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.look_up import Found, Kind
from gateway.flows.overview import DAYS, MOST_WAITING
from gateway.wire.problems import PROBLEMS

# Beyond these a person should look.
LATE_MS = 60_000
APART_MS = 1_000


def overview_routes(pages: Pages, parts: OperatorParts) -> list[Route]:
    """`/admin`, `/admin/reconcile`, `/admin/find`."""
    home = pages.door.home
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        found = await parts.overviews.look()
        sold = list(desk.plans())
        plans = [*sold, *sorted({plan_id for plan_id, _, _ in found.accounts if plan_id} - set(sold))]
        counted = {(plan_id or "", status): count for plan_id, status, count in found.accounts}
        return visit.page(
            "admin/overview.html",
            title="Overview",
            section="overview",
            it=found,
            plans=[
                (plan_id, sum(counted.get((plan_id, status), 0) for status in AccountStatus))
                for plan_id in [*plans, ""]
                if plan_id or any(plan == "" for plan, _ in counted)
            ],
            by_status={
                status: sum(count for (_, one), count in counted.items() if one is status) for status in AccountStatus
            },
            refused=[(code, titled(code), count) for code, count in found.refused],
            run=parts.runs.last,
            problems=parts.problems(),
            version=__version__,
            rate_card=desk.rate_card().version,
            days=DAYS,
            most_waiting=MOST_WAITING,
            late_ms=LATE_MS,
            apart_ms=APART_MS,
        )

    async def reconcile(visit: Visit) -> Response:
        if parts.runs.start(visit.visitor.actor):
            return visit.go(f"{home}#reconcile", "Books and Redis are being compared.", Tone.PLAIN)
        return visit.go(f"{home}#reconcile", "A comparison is under way already.", Tone.PLAIN)

    async def find(visit: Visit) -> Response:
        said = visit.request.query_params.get("q", "").strip()
        found = await parts.look_up.find(said)
        if len(found) == 1:
            return visit.go(path_of(home, found[0]))
        listed = [] if found or not said.isprintable() else await _named(desk, said)
        return visit.page(
            "admin/find.html",
            title="Find",
            said=said[:200],
            found=[(one, path_of(home, one)) for one in found],
            accounts=listed,
        )

    return [
        pages.get(home, look),
        pages.post(f"{home}/reconcile", reconcile),
        pages.get(f"{home}/find", find),
    ]


def path_of(home: str, found: Found) -> str:
    """Where it is shown."""
    match found.kind:
        case Kind.CALL:
            return f"{home}/calls/{found.id}"
        case Kind.INVOICE:
            return f"{home}/invoices/{found.id}"
        case Kind.KEY:
            return f"{home}/accounts/{found.account_id}#keys"
        case _:
            return f"{home}/accounts/{found.account_id}"


def titled(code: str) -> str:
    """A refusal in words."""
    return next((problem.title for known, problem in PROBLEMS.items() if known == code), code)


async def _named(desk: Desk, said: str) -> list[tuple[str, str]]:
    """Ids and names of accounts with this in their name."""
    if not 0 < len(said) <= 200:  # noqa: PLR2004 - the longest name
        return []
    accounts, _ = await desk.accounts.page(name=said, size=20)
    return [(one.account.id, one.account.name) for one in accounts]
