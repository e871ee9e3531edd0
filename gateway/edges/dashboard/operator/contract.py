"""An account's contract: every version of it, agreeing another one in the words of its file, and ending it."""

from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.config_files.contract_file import ContractShape, check_contract, day_ms
from gateway.config_files.contract_file import contract as of_domain
from gateway.config_files.judge import judge
from gateway.config_files.yaml_source import read_yaml
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.operator.account_changes import account_of, path_of, reason
from gateway.edges.dashboard.operator.change_page import REASON, ChangePage, Input, change_routes
from gateway.edges.dashboard.operator.typed import day_ms as typed_day_ms
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.edges.documents.contract_yaml import terms_yaml
from gateway.flows.contracts import ContractState
from gateway.flows.faults import WrongParameter

FILE: Final = "contract.yaml"
SAID: Final = {
    ContractState.PLANNED: ("Planned", "accent"),
    ContractState.IN_FORCE: ("In force", "good"),
    ContractState.PAST: ("Past", "plain"),
    ContractState.REPLACED: ("Replaced", "plain"),
}
EXAMPLE: Final = """\
period: monthly               # monthly, quarterly, annual
price_usd: 2_000              # per period, in advance
committed_credits: 2_000_000  # per period
overage:
  mode: pay_as_you_go         # refuse, pay_as_you_go, allow_and_alert
  usd_per_1000_credits: 1.00
  max_usd_per_period: 10_000
net_days: 30                  # days until an invoice is due
"""


def contract_routes(pages: Pages) -> list[Route]:
    """`/admin/accounts/{account_id}/contract`, `…/agree` and `…/end` below it."""
    answers = _Answers(pages.parts.desk)
    path = f"{pages.door.home}/accounts/{{account_id}}/contract"
    return [
        pages.get(path, answers.look),
        *change_routes(pages, f"{path}/agree", answers.agreeing, answers.agreed),
        *change_routes(pages, f"{path}/end", answers.ending, answers.ended),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    desk: Desk

    async def look(self, visit: Visit) -> Response:
        view = await self.desk.contracts.show(account_of(visit))
        return visit.page(
            "admin/contract.html",
            title="Contract",
            section="accounts",
            account=(await self.desk.accounts.show(account_of(visit))).account,
            it=view,
            said=SAID,
            texts={one.version: terms_yaml(one.contract) for one, _ in view.versions},
        )

    async def agreeing(self, visit: Visit) -> ChangePage:
        view = await self.desk.contracts.show(account_of(visit))
        latest = next((one for one, state in view.versions if state is not ContractState.REPLACED), None)
        if view.in_force is None:
            when = "It begins at once, unless it says when it starts: the running period ends now and is invoiced."
        else:
            when = f"It takes effect on {formats.instant(view.next_ms)}, or where it says that it starts later."
        terms = EXAMPLE if latest is None else terms_yaml(latest.contract)
        return ChangePage(
            "Agree a contract" if latest is None else "Agree another version",
            "accounts",
            ("Contract", f"{path_of(visit)}/contract"),
            [when, "Nothing that has begun is changed. Every mistake in it is told with its line."],
            [
                Input("terms", "Terms, as in a contract's file", "textarea", terms),
                replace(REASON, hint="Such as the number under which it was signed."),
            ],
            "Agree it",
        )

    async def agreed(self, visit: Visit) -> tuple[str, str]:
        said = _read(self.desk, visit.form["terms"])
        starts_ms = None if said.starts is None else day_ms(said.starts)
        made = await self.desk.contracts.agree(
            account_of(visit), of_domain(said), reason=reason(visit), starts_ms=starts_ms, actor=visit.visitor.actor
        )
        invoice = made.invoice
        invoiced = "" if invoice is None else f" Invoice {invoice.number} is of {formats.money(invoice.total_cents)}."
        effective = formats.instant(made.version.effective_ms)
        return f"{path_of(visit)}/contract", f"Version {made.version.version} is agreed, from {effective}.{invoiced}"

    async def ending(self, visit: Visit) -> ChangePage:
        view = await self.desk.contracts.show(account_of(visit))
        return ChangePage(
            "End the contract",
            "accounts",
            ("Contract", f"{path_of(visit)}/contract"),
            [
                "It ends with a billing period; the plan's own terms go on from there.",
                f"The running period ends {formats.instant(view.next_ms)}.",
            ],
            [
                Input(
                    "ends",
                    "With the first period from this day on (UTC)",
                    "date",
                    required=False,
                    hint="Left empty: with the running period.",
                ),
                REASON,
            ],
            "End the contract",
            "bad",
        )

    async def ended(self, visit: Visit) -> tuple[str, str]:
        ends_ms = typed_day_ms(visit, "ends") if visit.form.get("ends") else None
        version = await self.desk.contracts.end(
            account_of(visit), reason=reason(visit), ends_ms=ends_ms, actor=visit.visitor.actor
        )
        return f"{path_of(visit)}/contract", f"The contract ends on {formats.instant(version.effective_ms)}."


def _read(desk: Desk, text: str) -> ContractShape:
    """What was typed, held against the plans. WrongParameter with every problem, a line each."""
    # What a form says is filled in from no variable.
    source = read_yaml(FILE, text.replace("\r\n", "\n").encode(), {})
    file = judge(ContractShape, source)
    if file is not None:
        check_contract(file, {name for plan in desk.plans().values() for name in plan.rate_limits}, source)
    if file is None or source.problems:
        problems = [str(problem).removeprefix(f"{FILE}:") for problem in sorted(source.problems)]
        raise WrongParameter("terms", "\n".join(f"Line {problem}" for problem in problems) or "there are no terms")
    return file
