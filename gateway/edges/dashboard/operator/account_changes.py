"""What an operator does to one account: credits, ceiling, due invoices, its keys, its end. Each asks for a reason."""

from dataclasses import replace
from typing import Final

from starlette.routing import Route

from gateway.domain.terms import AccountStatus
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.operator.change_page import REASON, ChangePage, Drawn, Input, Made, change_routes
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.operator.typed import cents, end_of_day_ms, signed_credits
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView
from gateway.flows.faults import CallerFault, InvoicingStopped, WrongParameter

LONGEST_REASON: Final = 500
ABOUT_REASON: Final = "Stands in the audit log."


def account_change_routes(pages: Pages, parts: OperatorParts) -> list[Route]:
    """`/admin/accounts/{account_id}/…`."""
    desk = pages.parts.desk
    here = f"{pages.door.home}/accounts/{{account_id}}"
    deeds: list[tuple[str, tuple[Drawn, Made]]] = [
        ("adjust", _adjusting(desk)),
        ("raise", _raising(desk)),
        ("end-raise", _ending_raise(desk)),
        ("issue", _issuing(desk, parts)),
        ("close", _closing(desk)),
        ("keys/{key_id}/revoke", _revoking(desk)),
    ]
    return [route for path, deed in deeds for route in change_routes(pages, f"{here}/{path}", *deed)]


def account_of(visit: Visit) -> str:
    """Whose page it is."""
    account_id: str = visit.request.path_params["account_id"]
    return account_id


def path_of(visit: Visit) -> str:
    """Where the account is shown."""
    return f"{visit.pages.door.home}/accounts/{account_of(visit)}"


def back(visit: Visit, account: AccountView) -> tuple[str, str]:
    """The way back to the account."""
    return account.account.name, path_of(visit)


def reason(visit: Visit) -> str:
    """What was said, in bounds. WrongParameter."""
    said = visit.form["reason"]
    if not 0 < len(said) <= LONGEST_REASON:
        raise WrongParameter("reason", f"say why, in at most {LONGEST_REASON} characters")
    return said


def _adjusting(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        granted = formats.credits_(account.period.granted_millicredits)
        return ChangePage(
            "Adjust credits",
            "accounts",
            back(visit, account),
            [
                f"{granted} credits are granted for the running period, to {formats.instant(account.period.end_ms)}.",
                "What was used stays used: taking back more than is left ends in pay-as-you-go, or in refusals.",
            ],
            [Input("credits", "Credits", "number", hint="Such as 500, or -500 to take them back."), REASON],
            "Book it",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        amount = signed_credits(visit, "credits")
        made = await desk.accounts.adjust(account_of(visit), amount, reason=reason(visit), actor=visit.visitor.actor)
        granted = formats.credits_(made.granted_millicredits)
        return path_of(visit), f"Booked {formats.credits_(amount)} credits. {granted} are granted for this period now."

    return page, change


def _raising(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        limits = await desk.limits.get(account_of(visit))
        running = limits.raised
        says = [
            "Pay-as-you-go may go further than the plan allows, from now until the end of a day.",
            "A limit of the account's own still counts.",
        ]
        if running is not None:
            says.append(f"It replaces the raise that runs until {formats.instant(running.until_ms)}.")
        return ChangePage(
            "Raise the ceiling",
            "accounts",
            back(visit, account),
            says,
            [
                Input("dollars", "Ceiling in dollars a period", "number", hint="Such as 2,500."),
                Input("until", "Until the end of (UTC)", "date"),
                REASON,
            ],
            "Raise it",
            warns="" if limits.sold.overage_millicredits else "This plan has no pay-as-you-go: give credits instead.",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        amount, until_ms = cents(visit, "dollars"), end_of_day_ms(visit, "until")
        try:
            await desk.limits.raise_ceiling(
                account_of(visit), until_ms=until_ms, reason=reason(visit), max_cents=amount, actor=visit.visitor.actor
            )
        except WrongParameter as wrong:
            raise WrongParameter({"max_cents": "dollars"}.get(wrong.name, wrong.name), str(wrong)) from wrong
        return path_of(visit), f"The ceiling is {formats.money(amount)} until {formats.instant(until_ms)}."

    return page, change


def _ending_raise(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        return ChangePage(
            "End the raise",
            "accounts",
            back(visit, account),
            ["The plan's ceiling counts again from now on. What pay-as-you-go has been used for before stays charged."],
            [REASON],
            "End it now",
            "bad",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        await desk.limits.end_raise(account_of(visit), reason=reason(visit), actor=visit.visitor.actor)
        return path_of(visit), "The plan's ceiling counts again."

    return page, change


def _issuing(desk: Desk, parts: OperatorParts) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        return ChangePage(
            "Issue due invoices",
            "accounts",
            back(visit, account),
            [
                "Periods that ended an hour ago or earlier, and have no open hold, are closed and invoiced for good.",
                "The gateway does this by itself every minute.",
            ],
            [],
            "Issue them now",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        try:
            issued = await parts.issue_due(account_of(visit))
        except InvoicingStopped as stopped:
            raise CallerFault(f"nothing can be issued until a person has looked: {stopped.what}") from stopped
        if not issued:
            return path_of(visit), "No invoice is due."
        return path_of(visit), f"Issued {', '.join(one.number for one in issued)}."

    return page, change


def _closing(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        closed = account.account.status is AccountStatus.CLOSED
        return ChangePage(
            f"Close {account.account.name}",
            "accounts",
            back(visit, account),
            [
                "No call is admitted any more, with any of its keys. Calls that run are settled.",
                "What was used is still invoiced, and invoices are still to be paid.",
                "It cannot be opened again.",
            ],
            [replace(REASON, hint=ABOUT_REASON)],
            "Close the account for good",
            "bad",
            warns="It is closed already." if closed else "",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        await desk.accounts.close(account_of(visit), reason=reason(visit), actor=visit.visitor.actor)
        return path_of(visit), "The account is closed."

    return page, change


def _revoking(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        account = await desk.accounts.show(account_of(visit))
        key = await desk.keys.find(visit.request.path_params["key_id"], owner=account_of(visit))
        return ChangePage(
            f"Revoke {key.name or 'the key'}",
            "accounts",
            back(visit, account),
            [
                f"Calls with {key.id} are refused from now on, also where they are underway to the gateway.",
                "Sessions of the dashboard that were begun with it end. It cannot be taken back.",
            ],
            [],
            "Revoke it now",
            "bad",
            warns="" if key.usable(visit.now_ms) else "It works no more already.",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        key = await desk.keys.find(visit.request.path_params["key_id"], owner=account_of(visit))
        await desk.keys.revoke(key.id, actor=visit.visitor.actor)
        return f"{path_of(visit)}#keys", "The key is revoked."

    return page, change
