"""Running a verb's work over open stores: beside a gateway that runs on them, or alone.

Loads the configuration, keeps logs on standard error and short, turns expected faults into a sentence and exit code 1.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.edges.cli.faults import exit_for_faults

if TYPE_CHECKING:
    from gateway.flows.accounts import Accounts
    from gateway.flows.contracts import Contracts
    from gateway.flows.invoices import Invoices
    from gateway.flows.issue_invoice import Closer
    from gateway.flows.keys import Keys
    from gateway.flows.limits import Limits
    from gateway.flows.own_clock import OwnClocks
    from gateway.flows.usage_report import UsageReports
    from gateway.stores import Stores

T = TypeVar("T")


def on_stores(config: Path, work: "Callable[[Stores], Awaitable[T]]") -> T:
    """What `work` returns; does not return where it meets an expected fault."""
    with exit_for_faults():
        return asyncio.run(_run(config, work))
    raise AssertionError  # every fault has left by an exit code


async def _run(config: Path, work: "Callable[[Stores], Awaitable[T]]") -> T:
    from gateway.configuration import load
    from gateway.observe import configure_logging
    from gateway.settings import LogLevel
    from gateway.stores import open_stores

    configuration = load(config)
    settings = configuration.settings
    # A person who asked for one thing does not want to read that stores were opened.
    quiet = LogLevel.ERROR if settings.log.level is LogLevel.ERROR else LogLevel.WARNING
    configure_logging(settings.log.model_copy(update={"level": quiet}))
    async with open_stores(settings, configuration.catalog) as stores:
        return await work(stores)


def accounts(stores: "Stores") -> "Accounts":
    """The flow for accounts."""
    from gateway.flows.accounts import Accounts

    return Accounts(stores.billing, pay_first=stores.till.pay_first)


def keys(stores: "Stores") -> "Keys":
    """The flow for API keys."""
    from gateway.flows.keys import Keys

    return Keys(books=stores.books, tell=stores.billing.tell, pepper=stores.pepper, clock=stores.clock)


def limits(stores: "Stores") -> "Limits":
    """The flow for limits, budgets and raises."""
    from gateway.flows.limits import Limits

    return Limits(stores.billing, stores.ledger)


def usage_reports(stores: "Stores") -> "UsageReports":
    """The flow for usage."""
    from gateway.flows.usage_report import UsageReports

    return UsageReports(books=stores.books, ledger=stores.ledger, terms_of=stores.billing.terms_of)


def invoices(stores: "Stores") -> "Invoices":
    """The flow for invoices."""
    from gateway.flows.invoices import Invoices

    return Invoices(stores.billing)


def contracts(stores: "Stores") -> "Contracts":
    """The flow for contracts."""
    from gateway.flows.contracts import Contracts

    return Contracts(stores.billing)


def own_clocks(stores: "Stores") -> "OwnClocks":
    """The flow for the clocks of sandbox accounts."""
    from gateway.flows.own_clock import OwnClocks

    return OwnClocks(stores.billing, closer=closer(stores), collector=stores.till.collector)


def closer(stores: "Stores") -> "Closer":
    """What issues invoices that are due."""
    from gateway.wiring import closer as wired

    return wired(stores)
