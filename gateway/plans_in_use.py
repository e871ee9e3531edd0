"""Whether the plans of a configuration are all that accounts are on: without theirs, no call could be admitted.

Files alone cannot tell, so it is asked where there are books: at the start, at a reload, by `gateway doctor`.
"""

from collections.abc import Callable
from datetime import datetime

from gateway.books import subscriptions
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.config_files.problem import ConfigurationInvalid, Problem
from gateway.configuration import Configuration
from gateway.domain.instant import epoch_ms


async def plans_gone(configuration: Configuration, books: Books, at: datetime) -> tuple[Problem, ...]:
    """Plans that open accounts are on, now or next, and that the files do not sell. BooksUnavailable."""
    async with books.read() as conn:
        gone = await subscriptions.on_other_plans(conn, configuration.catalog.plans.keys(), epoch_ms(at))
    return tuple(_gone(configuration, plan_id, count) for plan_id, count in gone.items())


async def demand_plans(configuration: Configuration, books: Books, at: datetime) -> None:
    """ConfigurationInvalid where a plan is gone that an account is on. BooksUnavailable."""
    if gone := await plans_gone(configuration, books, at):
        raise ConfigurationInvalid(gone)


async def plans_taken_away(
    fresh: Configuration, running: Configuration, *, books: Books, clock: Callable[[], datetime]
) -> tuple[Problem, ...]:
    """The plans gone in a version that would follow the running one; nobody is asked where none is left out."""
    left_out = sorted(running.catalog.plans.keys() - fresh.catalog.plans.keys())
    if not left_out:
        return ()
    try:
        return await plans_gone(fresh, books, clock())
    except BooksUnavailable:
        sentence = "is missing, and the books, which know whether an account is on it, are not available"
        return tuple(Problem(_file(fresh), 0, 0, plan_id, sentence) for plan_id in left_out)


def _gone(configuration: Configuration, plan_id: str, count: int) -> Problem:
    accounts = "1 account is" if count == 1 else f"{count} accounts are"
    sentence = f"is missing, but {accounts} on it: put it back until they are on another plan"
    return Problem(_file(configuration), 0, 0, plan_id, sentence)


def _file(configuration: Configuration) -> str:
    return str(configuration.settings.plans)
