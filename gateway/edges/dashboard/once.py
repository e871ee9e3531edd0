"""A form that makes something and is sent twice makes it once: it is drawn with a word of its own, which counts once.

Keeps no answers: a secret that was made is shown on the page that made it, and to a form that comes again never.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.books.ids import new_id
from gateway.edges.dashboard.pages import Visit
from gateway.flows.faults import CallerFault, WrongParameter

FIELD: Final = "once"
_BYTES: Final = 16
_LONGEST: Final = 64


class SentAlready(CallerFault):
    """The form came before, so nothing was done now."""

    def __init__(self) -> None:
        super().__init__("that form was sent already, and nothing was done twice")


def fresh_word() -> str:
    """For a form that is drawn now."""
    return secrets.token_urlsafe(_BYTES)


@asynccontextmanager
async def once(visit: Visit) -> AsyncIterator[None]:
    """What is done within is done for this form the first time only, for a day. SentAlready.

    What is refused within was not done, so the form may come again; after any other fault nobody knows.
    """
    word = visit.form[FIELD]
    if not 0 < len(word) <= _LONGEST:
        raise WrongParameter(FIELD, "the form was not sent whole; go back, reload the page and try again")
    scope, key, claim_id = visit.account_id, f"dashboard {word}", new_id("frm")
    changes = visit.pages.parts.desk.changes
    if await changes.claim(scope, key, claim_id=claim_id, digest=b"") is not None:
        raise SentAlready
    try:
        yield
    except CallerFault:
        await changes.forget(scope, key, claim_id=claim_id)
        raise
