"""`gateway usage`: what an account has used, exact at this moment, as a table, JSON or CSV."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import instant as instant_ms
from gateway.edges.cli.amounts import names
from gateway.edges.cli.faults import complain
from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_csv, print_facts, print_json, print_table
from gateway.edges.cli.running import accounts, on_stores, usage_reports

if TYPE_CHECKING:
    from gateway.flows.usage_report import UsageReport
    from gateway.stores import Stores

NUMBERS = ("calls", "units", "credits")


def usage(
    account: AccountId,
    *,
    from_: Annotated[
        int | None,
        typer.Option("--from", metavar="DATE", help="Calls admitted since then (UTC).", parser=instant_ms),
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="DATE", help="Calls admitted before then (UTC).", parser=instant_ms)
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="LIST", help="Some of product, mode, day, project, key.")
    ] = "product,mode",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The buckets as CSV.")] = False,
) -> None:
    """Usage of the current billing period, or of a range, by product and mode or as asked."""
    if as_json and as_csv:
        raise typer.BadParameter("choose --json or --csv")

    async def work(stores: "Stores") -> "UsageReport":
        from gateway.domain.instant import epoch_ms
        from gateway.flows.usage_report import Range

        now, own_now = stores.clock(), await accounts(stores).now(account)
        reports = usage_reports(stores)
        within = None
        if from_ is not None or to is not None:
            start_ms = (await reports.period_start_ms(account, now)) if from_ is None else from_
            within = Range(start_ms, epoch_ms(own_now) + 1 if to is None else to)
        return await reports.of_account(account, now, by=names(by), within=within)

    report = on_stores(config, work)
    if not report.live:
        complain("Redis is away: this is what the books have; credits held and usage of the last moments are missing.")
    if as_json:
        from gateway.edges.api.usage_document import usage_document

        print_json(usage_document(report))
    elif as_csv:
        print_csv(*_rows(report))
    else:
        _print_for_people(report)


def credit_facts(report: "UsageReport") -> dict[str, object]:
    """The period's credits, line by line."""
    from gateway.domain.credits import credits_text

    credits_ = report.credits
    return {
        "included": credits_text(credits_.included_millicredits),
        "used": credits_text(credits_.used_millicredits),
        "held": credits_text(credits_.held_millicredits),
        "remaining": credits_text(credits_.remaining_millicredits),
        "pay as you go": credits_text(credits_.pay_as_you_go_millicredits),
    }


def _print_for_people(report: "UsageReport") -> None:
    from gateway.edges.api.usage_document import instant

    facts: dict[str, object] = {
        "account": report.account_id,
        "plan": report.plan_id,
        "period": f"{instant(report.period.start_ms)} to {instant(report.period.end_ms)}",
        **credit_facts(report),
    }
    if report.range is not None:
        facts["below"] = f"{instant(report.range.from_ms)} to {instant(report.range.to_ms)}"
    print_facts(facts)
    print()
    columns, rows = _rows(report)
    print_table(columns, rows, numbers=NUMBERS)


def _rows(report: "UsageReport") -> tuple[list[str], list[list[object]]]:
    from gateway.domain.credits import credits_text

    told = [name.value for name in report.by]
    rows = [
        [
            *(getattr(bucket, name) for name in told),
            bucket.calls,
            bucket.units,
            credits_text(bucket.captured_millicredits),
        ]
        for bucket in report.buckets
    ]
    return [*told, *NUMBERS], rows
