"""Contracts for the operator: agree one, amend it, end it, see every version. In the words of a contract's file."""

from typing import Any, cast

from pydantic import Field

from gateway.config_files.contract_file import ContractShape, check_contract, contract, day_ms
from gateway.config_files.shape import Date
from gateway.config_files.yaml_source import YamlSource
from gateway.edges.api.admin_accounts import Reason
from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint, InFileWords, Refuse
from gateway.edges.api.replies.admin import Contract
from gateway.edges.desk import Desk
from gateway.edges.documents.contract_json import contract_json
from gateway.edges.documents.invoice_json import invoice_json
from gateway.wire.problems import Fault


class ContractWish(InFileWords):
    """What is agreed, and why. The first begins at once or where its `starts` says, later ones at a boundary."""

    terms: ContractShape
    reason: Reason


class EndWish(InFileWords):
    """When it ends; left out: with the running period."""

    ends: Date | None = Field(None, description="The first boundary on this day (UTC) or later")
    reason: Reason


class _Wrong:
    """Collects what is wrong with the terms as a whole, as a file would be told."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def report(self, path: tuple[str | int, ...], sentence: str, *, at_key: bool = False) -> None:
        """One mistake."""
        del at_key
        self.found.append({"loc": ["body", "terms", *path], "msg": sentence, "type": "value_error"})


def contract_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's contract."""
    path = f"{area.base}/contract"

    async def shown(ask: Ask) -> Document:
        return contract_json(await desk.contracts.show(area.account_of(ask)))

    async def agreed(ask: Ask) -> Document:
        wish: ContractWish = ask.body
        wrong = _Wrong()
        limits = {name for plan in desk.plans().values() for name in plan.rate_limits}
        check_contract(wish.terms, limits, cast("YamlSource", wrong))
        if wrong.found:
            raise Refuse(Fault.INVALID_BODY, found=wrong.found)
        starts_ms = None if wish.terms.starts is None else day_ms(wish.terms.starts)
        made = await desk.contracts.agree(
            area.account_of(ask), contract(wish.terms), reason=wish.reason, starts_ms=starts_ms, actor=ask.actor
        )
        invoice = None if made.invoice is None else invoice_json(await desk.invoices.find(made.invoice.id))
        return {**await shown(ask), "invoice": invoice}

    async def ended(ask: Ask) -> Document:
        wish: EndWish = ask.body
        ends_ms = None if wish.ends is None else day_ms(wish.ends)
        await desk.contracts.end(area.account_of(ask), reason=wish.reason, ends_ms=ends_ms, actor=ask.actor)
        return await shown(ask)

    missing = (Fault.NO_SUCH_RESOURCE,)
    return [
        Endpoint("GET", path, shown, "Every version of the contract", "contracts", reply=Contract, problems=missing),
        Endpoint(
            "POST",
            path,
            agreed,
            "Agree a contract, or another version of it",
            "contracts",
            reply=Contract,
            status=201,
            body=ContractWish,
            problems=missing,
        ),
        Endpoint(
            "POST",
            f"{path}/end",
            ended,
            "Let the contract end at a boundary",
            "contracts",
            reply=Contract,
            body=EndWish,
            problems=missing,
        ),
    ]
