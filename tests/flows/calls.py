"""Calls as the ledger sees them: admitted with a hold, then settled."""

from dataclasses import replace

from gateway.domain.admission import Admitted
from gateway.domain.terms import Terms
from gateway.domain.usage import Settlement
from gateway.ledger.answers import AdmitCall
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import facts_json, settlement_json
from tests.made_up import CREDIT, facts

DELIVERED = settlement_json(Settlement(2, "reported by the upstream"))


async def hold(ledger: Ledger, terms: Terms, number: int, *, quote: int = 100 * CREDIT) -> str:
    """An admitted call; its hold id."""
    hold_id = f"req_{number:032x}"
    admitted = await ledger.admit(
        AdmitCall(
            hold_id=hold_id,
            nonce=hold_id,
            terms=terms,
            plan_limits=(),
            concurrent_calls=None,
            quote_millicredits=quote,
            least_millicredits=quote,
            ttl_ms=60_000,
            facts=facts_json(replace(facts(terms.account_id, hold_id), plan_id="free")),
        )
    )
    assert isinstance(admitted, Admitted), admitted
    return hold_id


async def capture(ledger: Ledger, terms: Terms, hold_id: str, cost: int = 20 * CREDIT) -> None:
    settled = await ledger.capture(hold_id, terms.account_id, cost_millicredits=cost, cap=False, settlement=DELIVERED)
    assert settled.state_before is not None


async def call(ledger: Ledger, terms: Terms, number: int, cost: int = 20 * CREDIT) -> None:
    """A whole call."""
    await capture(ledger, terms, await hold(ledger, terms, number), cost)


async def calls(ledger: Ledger, terms: Terms, first: int, count: int) -> None:
    for number in range(first, first + count):
        await call(ledger, terms, number)
