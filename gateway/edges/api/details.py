"""`GET/PUT /api/v1/billing/details`: who stands on the account's invoices from now on. Issued ones keep what was.

The tax is the operator's to set: an owner's PUT leaves it as it is.
"""

from dataclasses import asdict

from pydantic import Field

from gateway.books.billing_details import BillingDetails
from gateway.domain.invoice import MILLION
from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.replies.billing import Details
from gateway.edges.desk import Desk
from gateway.wire.problems import Fault


class DetailsWish(Strict):
    """All of them: what is left out is emptied."""

    name: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    address: str = Field("", max_length=1_000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$", description="With line breaks")
    email: str = Field("", max_length=254, pattern=r"^([^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+)?$")
    tax_id: str = Field("", max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")


class AdminDetailsWish(DetailsWish):
    """With the tax that the account's invoices bear; without a name they bear the seller's."""

    tax_name: str = Field("", max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    tax_parts_per_million: int = Field(0, ge=0, le=MILLION, description="190000 are 19 %")


def detail_endpoints(desk: Desk, area: Area, wish_model: type[DetailsWish] = DetailsWish) -> list[Endpoint]:
    """Read them, and put others in their place."""
    path = f"{area.base}/details"

    async def shown(ask: Ask) -> Document:
        return details_document(await desk.invoices.details(area.account_of(ask)))

    async def changed(ask: Ask) -> Document:
        wish: DetailsWish = ask.body
        # An owner's wish has no tax in it: what the operator set stays.
        account_id, told = area.account_of(ask), wish.model_dump()
        return details_document(await desk.invoices.change_details(account_id, told, actor=ask.actor))

    missing = (Fault.NO_SUCH_RESOURCE,)
    return [
        Endpoint("GET", path, shown, "Who stands on invoices", "billing", reply=Details, edits=shown, problems=missing),
        Endpoint(
            "PUT",
            path,
            changed,
            "Put others on invoices from now on",
            "billing",
            reply=Details,
            body=wish_model,
            edits=shown,
            problems=missing,
            whole_key=area.whole_key,
        ),
    ]


def details_document(details: BillingDetails) -> dict[str, object]:
    """Without the party, who asked."""
    return {name: value for name, value in asdict(details).items() if name != "party"}
