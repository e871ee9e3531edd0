"""`gateway plans diff`: what a change of plans or prices changes, and what it would have done to recent real usage."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.edges.cli.amounts import duration
from gateway.edges.cli.faults import complain
from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from gateway.configuration import Configuration
    from gateway.domain.offer_changes import OfferChange
    from gateway.domain.replay import Offer
    from gateway.flows.replay_plans import Mover, Replay

app = typer.Typer(no_args_is_help=True, help="Plans and prices: what a change of them changes.")

SIDES = ("before", "after")


@app.callback()
def _plans() -> None:
    """Keeps `diff` a verb of its own."""


@app.command("diff")
def diff(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="[OLD] NEW",
            help="Each a plans.yaml, a rate_card.yaml or a gateway.yaml. Without OLD, what --config has in force.",
        ),
    ],
    *,
    replay: Annotated[
        int | None,
        typer.Option(
            "--replay",
            metavar="DURATION",
            help="Also what it would have done to the billing periods of the last 30d, 90d …",
            parser=duration,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare plans and prices, setting by setting and, with --replay, by what was really used. Changes nothing."""
    if len(files) > len(SIDES):
        raise typer.BadParameter("name one file, or two: the old one and the new one")
    from gateway.edges.cli.faults import exit_for_faults

    with exit_for_faults():
        configuration, old, new = _offers(config, files)
        found = None if replay is None else _replayed(configuration, old, new, replay)
    from gateway.domain.offer_changes import offer_changes

    changes = offer_changes(old, new)
    if as_json:
        print_json({"changes": [change._asdict() for change in changes], "replay": found and _document(found)})
        return
    _print_changes(changes)
    if found is not None:
        _print_replay(found)


def _offers(config: Path, files: Sequence[Path]) -> "tuple[Configuration, Offer, Offer]":
    """What is in force, and both sides; what a file says nothing about is as in force."""
    from gateway.configuration import load, priced
    from gateway.domain.replay import Offer

    configuration = load(config)
    catalog = configuration.catalog
    offers = [Offer(catalog.plans, catalog.rate_card)]
    for file in files:
        said = priced(file)
        offers.append(Offer(said.plans or catalog.plans, said.rate_card or catalog.rate_card))
    return configuration, offers[-2], offers[-1]


def _replayed(configuration: "Configuration", old: "Offer", new: "Offer", length_ms: int) -> "Replay":
    import asyncio

    from gateway.books.books import Books
    from gateway.domain.instant import epoch_ms
    from gateway.domain.quote import PricePart
    from gateway.domain.replay import CallKind
    from gateway.flows.replay_plans import ReplayPlans
    from gateway.stores import books_url, system_clock
    from gateway.wire.price_parts import parts_of

    cards = (configuration.catalog.rate_card, old.rate_card, new.rate_card)

    def parts(kind: CallKind) -> tuple[PricePart, ...] | None:
        found = (parts_of(kind, card, configuration.catalog.routes) for card in cards)
        return next((one for one in found if one is not None), None)

    async def run() -> "Replay":
        books = await Books.open(books_url(configuration.settings), read_only=True)
        try:
            to_ms = epoch_ms(system_clock()) + 1
            flow = ReplayPlans(books=books, parts_of=parts)
            return await flow.between(old, new, from_ms=to_ms - length_ms, to_ms=to_ms, tell=_progress)
        finally:
            await books.close()

    return asyncio.run(run())


def _progress(accounts: int) -> None:
    complain(f"{accounts} account{'s' if accounts != 1 else ''} replayed")


def _print_changes(changes: "Sequence[OfferChange]") -> None:
    if changes:
        print_table(("what", *SIDES), changes)
    else:
        print("Nothing differs.")


def _print_replay(found: "Replay") -> None:
    from gateway.domain.instant import from_epoch_ms

    first, last = (from_epoch_ms(at_ms).date().isoformat() for at_ms in (found.from_ms, found.to_ms))
    print()
    print(f"{found.periods} billing periods of {found.accounts} accounts, all that overlap {first} to {last}, whole:")
    told = ("used", "refused", "written_off", "pay_as_you_go", "charged")
    plans = sorted(found.by_plan.items())
    rows = [
        [name, sums["accounts"], sums["calls"], *_pairs(sums, told)] for name, sums in (*plans, ("all", found.total))
    ]
    columns: Sequence[str] = (
        "plan",
        "accounts",
        "calls",
        "credits",
        "refused calls",
        "written off",
        "pay as you go",
        "charged",
    )
    print_table(columns, rows, numbers=columns[1:])
    print()
    usage = [
        [*name, sums["calls"], *_pairs(sums, ("used", "refused")), sums["no_longer_sold"] or None]
        for name, sums in sorted(found.by_usage.items())
    ]
    columns = ("plan", "product", "mode", "calls", "credits", "refused calls", "no longer sold")
    print_table(columns, usage, numbers=columns[3:])
    if found.movers:
        print()
        shown = len(found.movers)
        print(f"{found.moved} accounts change; the {shown} that change most:" if shown > 1 else "One account changes:")
        columns = ("account", "name", "plan", "charged", "credits")
        print_table(columns, [_mover(one) for one in found.movers], numbers=columns[3:])
    _print_remarks(found)


def _print_remarks(found: "Replay") -> None:
    total: Counter[str] = Counter()
    for sums in found.by_usage.values():
        total.update(sums)
    if total["no_longer_sold"]:
        complain(f"No longer sold: {total['no_longer_sold']} calls. They count for nothing afterwards.")
    if total["uncertain"]:
        complain(
            f"Of {total['uncertain']} calls the books do not tell all parts of the price: the mode's own was replayed, "
            "the rest left as it was."
        )
    for name, accounts in sorted(found.unknown_plans.items()):
        plan_id, _, side = name.rpartition(".")
        complain(f"{accounts} accounts are on the plan {plan_id}, which is not sold {side}: their terms were left.")


def _pairs(sums: "Counter[str]", names: Sequence[str]) -> list[str]:
    return [_pair(name, sums[f"{name}.before"], sums[f"{name}.after"]) for name in names]


def _pair(name: str, before: int, after: int) -> str:
    """Both sides in one cell; one figure where they are the same."""
    from gateway.domain.credits import credits_text
    from gateway.domain.money import dollars_text

    money = {"pay_as_you_go", "charged"}
    in_words = str if name == "refused" else dollars_text if name in money else credits_text
    return in_words(before) if before == after else f"{in_words(before)} -> {in_words(after)}"


def _mover(one: "Mover") -> list[str]:
    charged = _pair("charged", one.cents_before, one.cents_after)
    return [one.account_id, one.name, one.plan_id, charged, _pair("used", one.used_before, one.used_after)]


def _document(found: "Replay") -> dict[str, Any]:
    from gateway.edges.api.usage_document import instant

    return {
        "from": instant(found.from_ms),
        "to": instant(found.to_ms),
        "accounts": found.accounts,
        "periods": found.periods,
        "total": _plan_document(found.total),
        "plans": [{"plan": plan_id, **_plan_document(sums)} for plan_id, sums in sorted(found.by_plan.items())],
        "usage": [
            {
                "plan": name.plan_id,
                "product": name.product,
                "mode": name.mode,
                "calls": sums["calls"],
                "credits": _credits(sums, "used"),
                "refused_calls": _whole(sums, "refused"),
                "no_longer_sold_calls": sums["no_longer_sold"],
                "uncertain_calls": sums["uncertain"],
            }
            for name, sums in sorted(found.by_usage.items())
        ],
        "accounts_changed": found.moved,
        "largest_movers": [
            {
                "account_id": one.account_id,
                "name": one.name,
                "plan": one.plan_id,
                "charged_cents": {"before": one.cents_before, "after": one.cents_after},
                "credits": _credits({"used.before": one.used_before, "used.after": one.used_after}, "used"),
            }
            for one in found.movers
        ],
        "unknown_plans": [
            {"plan": name.rpartition(".")[0], "side": name.rpartition(".")[2], "accounts": accounts}
            for name, accounts in sorted(found.unknown_plans.items())
        ],
    }


def _plan_document(sums: "Counter[str]") -> dict[str, Any]:
    return {
        "accounts": sums["accounts"],
        "periods": sums["periods"],
        "calls": sums["calls"],
        "credits": _credits(sums, "used"),
        "refused_calls": _whole(sums, "refused"),
        "written_off_credits": _credits(sums, "written_off"),
        "pay_as_you_go_cents": _whole(sums, "pay_as_you_go"),
        "charged_cents": _whole(sums, "charged"),
    }


def _whole(sums: "Counter[str] | dict[str, int]", name: str) -> dict[str, int]:
    return {side: sums[f"{name}.{side}"] for side in SIDES}


def _credits(sums: "Counter[str] | dict[str, int]", name: str) -> dict[str, Any]:
    from gateway.edges.api.usage_document import amount

    return {side: amount(sums[f"{name}.{side}"]) for side in SIDES}
