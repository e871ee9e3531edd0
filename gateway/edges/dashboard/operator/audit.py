"""The audit log of all accounts, the newest entry first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.routing import Route

from gateway.books.audit import AuditEntry
from gateway.edges.dashboard.operator.lists import after, onward
from gateway.edges.dashboard.pages import Pages, Visit

PAGE: Final = 50
_LONGEST_DETAIL: Final = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """One entry. `reason` is what was said with it, `detail` all else as JSON; either may be empty."""

    id: str
    entry: AuditEntry
    reason: str
    detail: str


def audit_routes(pages: Pages) -> list[Route]:
    """`/admin/audit`."""
    desk = pages.parts.desk
    here = f"{pages.door.home}/audit"

    async def listed(visit: Visit) -> Response:
        found, place = await desk.audit.page(None, before=after(visit, "audit"), size=PAGE)
        return visit.page(
            "admin/audit.html",
            title="Audit log",
            section="audit",
            lines=[shown_line(entry_id, entry) for entry_id, entry in found],
            account=None,
            here=here,
            onward=onward(place, {}, "audit"),
        )

    return [pages.get(here, listed)]


def shown_line(entry_id: str, entry: AuditEntry) -> Line:
    """An entry as it is shown."""
    detail: Mapping[str, Any] = {name: value for name, value in entry.detail.items() if name != "reason"}
    text = orjson.dumps(detail, option=orjson.OPT_INDENT_2).decode() if detail else ""
    return Line(entry_id, entry, str(entry.detail.get("reason") or ""), text[:_LONGEST_DETAIL])
