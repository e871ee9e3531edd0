"""Who stands on the account's invoices from now on. Its tax is the operator's to set: shown, and left as it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.billing_details import SELLER, BillingDetails
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault

# As long as the API takes them.
LONGEST: Final[Mapping[str, int]] = {"name": 200, "address": 1_000, "email": 254, "tax_id": 64}
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


def details_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/details`."""
    desk = pages.parts.desk
    path = f"{pages.door.home}/details"

    async def shown(visit: Visit) -> Response:
        details = await desk.invoices.details(visit.account_id)
        return await _page(desk, visit, details, {field: getattr(details, field) for field in LONGEST})

    async def changed(visit: Visit) -> Response:
        sent = {field: visit.form[field] for field in LONGEST}
        sent["address"] = "\n".join(line.strip() for line in sent["address"].splitlines()).strip()
        details = await desk.invoices.details(visit.account_id)
        if wrong := _wrong(sent):
            return await _page(desk, visit, details, sent, wrong)
        try:
            await desk.invoices.change_details(visit.account_id, sent, actor=visit.visitor.actor)
        except CallerFault as fault:
            return await _page(desk, visit, details, sent, {"": str(fault)})
        return visit.go(path, "Saved. Invoices bear this from now on; those already issued stay as they are.")

    return [pages.get(path, shown), pages.post(path, changed)]


@dataclass(frozen=True, slots=True)
class Tax:
    """What the account's invoices bear, and whose setting that is."""

    name: str
    parts_per_million: int
    of_seller: bool

    @property
    def percent(self) -> str:
        """As in "19" or "8.25"."""
        whole, part = divmod(self.parts_per_million, 10_000)
        return f"{whole}.{part:04d}".rstrip("0").rstrip(".")


async def _page(
    desk: Desk,
    visit: Visit,
    details: BillingDetails,
    sent: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
) -> Response:
    party = details if details.tax_name else await desk.invoices.details(SELLER)
    return visit.page(
        "details.html",
        title="Billing details",
        section="invoices",
        status=422 if wrong else 200,
        sent=sent,
        wrong=wrong or {},
        tax=Tax(party.tax_name, party.tax_parts_per_million, party.party == SELLER),
    )


def _wrong(sent: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, longest in LONGEST.items():
        if not sent[field].replace("\n", "").isprintable():
            found[field] = "It holds characters that cannot be printed; type it anew."
        elif len(sent[field]) > longest:
            found[field] = f"At most {longest} characters; these are {len(sent[field])}."
    if sent["email"] and "email" not in found and not _EMAIL.fullmatch(sent["email"]):
        found["email"] = "This is no email address; write it like billing@example.com, or leave it empty."
    return found
