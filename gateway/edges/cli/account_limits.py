"""`gateway account limits|budget|raise`: how far pay-as-you-go may go, for whom, and for how long."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.domain.credits import millicredits
from gateway.edges.cli.amounts import cents, instant
from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_facts, print_json
from gateway.edges.cli.running import limits as limits_flow
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from gateway.domain.limits import SpendLimits
    from gateway.flows.limits import LimitsView
    from gateway.stores import Stores

_NONE = "none"
_PERCENT = re.compile("[0-9]{1,4}")


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise typer.BadParameter(f"{text!r} is neither 'on' nor 'off'")
    return text == "on"


def _cents_or_none(text: str) -> int:
    return -1 if text == _NONE else cents(text)


def _credits(text: str) -> int:
    try:
        return millicredits(text.strip())
    except ValueError as wrong:
        raise typer.BadParameter(f"{wrong}; write 500 or 2.5") from None


def _credits_or_none(text: str) -> int:
    return -1 if text == _NONE else _credits(text)


def _several(text: str, read: Callable[[str], int]) -> tuple[int, ...]:
    return () if text == _NONE else tuple(read(part.strip()) for part in text.split(","))


def _percents(text: str) -> tuple[int, ...]:
    if text != _NONE and not all(_PERCENT.fullmatch(part.strip()) for part in text.split(",")):
        raise typer.BadParameter(f"{text!r} is no list of percentages; write 50,80,100 or none")
    return _several(text, int)


def limits(
    account: AccountId,
    *,
    pay_as_you_go: Annotated[
        str | None, typer.Option("--pay-as-you-go", metavar="on|off", help="Off refuses at the allowance's end.")
    ] = None,
    max_usd: Annotated[
        int | None,
        typer.Option("--max-usd", metavar="USD|none", help="Own ceiling for each period.", parser=_cents_or_none),
    ] = None,
    alert_percent: Annotated[
        str | None, typer.Option("--alert-percent", metavar="50,80,…|none", help="Of the allowance.")
    ] = None,
    alert_usd: Annotated[
        str | None, typer.Option("--alert-usd", metavar="10,50,…|none", help="Of pay-as-you-go.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show, or change, what an account limits itself to. The plan's ceiling counts as well: the lower of the two."""
    switched_on = None if pay_as_you_go is None else _switch(pay_as_you_go)
    percents = None if alert_percent is None else _percents(alert_percent)
    amounts = None if alert_usd is None else _several(alert_usd, cents)

    def edit(own: "SpendLimits") -> "SpendLimits":
        from gateway.domain.limits import SpendLimits

        return SpendLimits(
            own.pay_as_you_go if switched_on is None else switched_on,
            own.max_cents if max_usd is None else (None if max_usd < 0 else max_usd),
            own.alert_percents if percents is None else percents,
            own.alert_cents if amounts is None else amounts,
        )

    async def work(stores: "Stores") -> "LimitsView":
        asked = (switched_on, max_usd, percents, amounts)
        flow = limits_flow(stores)
        return await (flow.get(account) if all(each is None for each in asked) else flow.change(account, edit))

    _print(on_stores(config, work), as_json=as_json)


def budget(
    account: AccountId,
    *,
    project: Annotated[str | None, typer.Option("--project", metavar="PROJECT", help="Of this project.")] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help="Of this API key.")] = None,
    credits_: Annotated[
        int,
        typer.Option("--credits", metavar="CREDITS|none", help="For each billing period.", parser=_credits_or_none),
    ],
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give a project or an API key a budget of credits for each billing period, or take it away."""
    if (subject_id := project or key) is None or (project and key):
        raise typer.BadParameter("name one of --project and --key")

    async def work(stores: "Stores") -> "LimitsView":
        flow = limits_flow(stores)
        if credits_ < 0:
            return await flow.remove_budget(account, subject_id)
        return await flow.set_budget(account, subject_id, credits_)

    _print(on_stores(config, work), as_json=as_json)


def raise_(
    account: AccountId,
    *,
    max_usd: Annotated[
        int | None, typer.Option("--max-usd", metavar="USD", help="The ceiling meanwhile.", parser=cents)
    ] = None,
    max_credits: Annotated[
        int | None, typer.Option("--max-credits", metavar="CREDITS", help="The same, in credits.", parser=_credits)
    ] = None,
    until: Annotated[
        int | None, typer.Option("--until", metavar="DATE", help="It ends by itself then.", parser=instant)
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the running raise now.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the audit log.")],
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Raise the plan's ceiling of pay-as-you-go for a while. The account's own limit stays as it is."""
    if end == (until is not None):
        raise typer.BadParameter("name either --until and an amount, or --end")

    async def work(stores: "Stores") -> "LimitsView":
        flow = limits_flow(stores)
        if until is None:
            return await flow.end_raise(account, reason=reason)
        return await flow.raise_ceiling(
            account, until_ms=until, reason=reason, max_cents=max_usd, max_millicredits=max_credits
        )

    _print(on_stores(config, work), as_json=as_json)


def _print(view: "LimitsView", *, as_json: bool) -> None:
    from gateway.domain.credits import credits_text
    from gateway.domain.money import dollars_text
    from gateway.edges.api.usage_document import instant as instant_text
    from gateway.edges.documents.limits_json import limits_json

    if as_json:
        print_json(limits_json(view))
        return
    own = view.own
    facts: dict[str, object] = {
        "pay as you go": "on" if own.pay_as_you_go else "off",
        "own limit": "none" if own.max_cents is None else dollars_text(own.max_cents),
        "may be used beyond the allowance": f"{credits_text(view.ceiling.millicredits)} credits ({view.ceiling.by})",
        "alerts at": ", ".join([f"{each} %" for each in own.alert_percents] + list(map(dollars_text, own.alert_cents))),
    }
    if (raised := view.raised) is not None:
        facts["raised until"] = f"{instant_text(raised.until_ms)}: {raised.reason}"
    for one in view.budgets:
        used, most = credits_text(one.captured_millicredits), credits_text(one.limit_millicredits)
        facts[f"budget of {one.subject_id}"] = (
            f"{used} of {most} credits used, {credits_text(one.held_millicredits)} held"
        )
    print_facts(facts)
