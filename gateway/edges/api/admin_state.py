"""How things stand, for the operator: the audit log, whether books and Redis agree, how far the books are behind."""

from typing import Any

from pydantic import Field

import gateway
from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.parts import AdminApiParts
from gateway.edges.api.replies.admin import AuditLog, Reconciled, State
from gateway.edges.api.usage_document import amount, instant
from gateway.flows.reconcile import Difference
from gateway.wire.problems import Fault


class OfAccountQuery(PageQuery):
    """Of one account, or of all."""

    account_id: str | None = Field(None, min_length=1, max_length=64)


def state_endpoints(parts: AdminApiParts) -> list[Endpoint]:
    """Nothing here changes anything."""
    desk = parts.desk

    async def audited(ask: Ask) -> Document:
        wanted: OfAccountQuery = ask.query
        within = scope_of(ask, wanted.account_id)
        found, after = await desk.audit.page(wanted.account_id, before=place(ask, within), size=wanted.page_size)
        entries = [
            {
                "id": entry_id,
                "at": instant(entry.at_ms),
                "actor": entry.actor,
                "action": entry.action,
                "account_id": entry.account_id,
                "subject_id": entry.subject_id,
                "detail": entry.detail,
            }
            for entry_id, entry in found
        ]
        return page(entries, after, within)

    async def reconciled(ask: Ask) -> Document:
        wanted: OfAccountQuery = ask.query
        within, after = scope_of(ask, wanted.account_id), None
        account_ids = [wanted.account_id]
        if wanted.account_id is None:
            listed, after = await desk.accounts.page(after=place(ask, within), size=wanted.page_size)
            account_ids = [one.account.id for one in listed]
        report = await parts.reconcile([account_id for account_id in account_ids if account_id is not None])
        return {
            "ok": report.ok,
            "accounts": report.accounts,
            "differences": [_difference(one) for one in report.differences],
            "next_page_token": page([], after, within)["next_page_token"],
        }

    async def state(_: Ask) -> Document:
        lag = await parts.lag()
        return {
            "version": gateway.__version__,
            "rate_card": desk.rate_card().version,
            "plans": list(desk.plans()),
            "lag": {"records": lag.records, "oldest_s": lag.oldest_ms / 1000},
            "open_holds": parts.open_holds(),
        }

    missing: dict[str, Any] = {"query": OfAccountQuery, "problems": (Fault.NO_SUCH_RESOURCE,)}
    return [
        Endpoint("GET", "/admin/v1/audit", audited, "Who changed what", "state", reply=AuditLog, **missing),
        Endpoint(
            "GET", "/admin/v1/reconcile", reconciled, "Do books and Redis agree?", "state", reply=Reconciled, **missing
        ),
        Endpoint("GET", "/admin/v1/state", state, "How far the books are behind", "state", reply=State),
    ]


def _difference(one: Difference) -> dict[str, Any]:
    show = amount if one.in_credits else int
    return {
        "account_id": one.account_id,
        "what": one.what,
        "expected": show(one.expected),
        "found": show(one.found),
    }
