"""A receipt or a refusal in sentences, one for each step of the call. Adds nothing that the JSON does not have."""

from collections.abc import Iterator
from typing import Final, assert_never

from gateway.books.refusals import Refusal
from gateway.domain.credits import credits_text
from gateway.domain.hold import Ending
from gateway.edges.api.usage_document import instant
from gateway.flows.explain import Receipt, ReceiptEnding
from gateway.wire.problems import PROBLEMS

_OUR_SIDE: Final = 500


def sentences(found: Receipt | Refusal) -> Iterator[str]:
    """What happened, in order."""
    return _refusal(found) if isinstance(found, Refusal) else _receipt(found)


def _receipt(receipt: Receipt) -> Iterator[str]:
    facts, job = receipt.facts, receipt.job
    yield (
        f"{facts.account_id} called {facts.route} of {facts.upstream} with key {facts.key_id} of project "
        f"{facts.project_id}, on plan {facts.plan_id}, priced by rate card {facts.rate_card_version}."
    )
    yield _quote(receipt)
    yield _hold(receipt)
    if job is not None:
        looked = "" if job.looks is None else f"; the gateway has looked at it {_times(job.looks)}"
        yield f"The reply opened job {job.job_id} ({job.kind}) at {instant(job.attached_at_ms)}{looked}."
    for ending in receipt.endings:
        yield _ending(receipt, ending)
        yield _booking(ending)
    if receipt.expires_at_ms is not None:
        yield (
            "The call has not ended: nothing is charged yet. Unless it is settled or renewed before, its hold expires "
            f"at {instant(receipt.expires_at_ms)}."
        )
    if not receipt.live:
        yield "Redis is away: what happened since the last booking is missing here."


def _quote(receipt: Receipt) -> str:
    facts = receipt.facts
    made_of = ""
    if receipt.parts is not None and len(receipt.parts) > 1:
        parts = (f"{part.product} {part.mode} {credits_text(part.millicredits_per_unit)}" for part in receipt.parts)
        made_of = f" ({' + '.join(parts)})"
    return (
        f"Quote: {_units(facts.expected_units, facts.unit)} of {facts.product} {facts.mode} expected, at "
        f"{_credits(facts.millicredits_per_unit)} a {facts.unit}{made_of}: {_credits(facts.quote_millicredits)}."
    )


def _hold(receipt: Receipt) -> str:
    held, quote = receipt.held_millicredits, receipt.facts.quote_millicredits
    why = ""
    if held > quote:
        why = " That is more than the quote: it grew while the answer was delivered."
    elif held < quote and not _recovered(receipt):
        why = " That is less than the quote: no more were available."
    until = "" if receipt.period_end_ms is None else f" to {instant(receipt.period_end_ms)}"
    return (
        f"Hold: {_credits(held)} at {instant(receipt.admitted_at_ms)}, of the period from "
        f"{instant(receipt.period_start_ms)}{until}.{why}"
    )


def _recovered(receipt: Receipt) -> bool:
    return any(ending.event.ending is Ending.RECOVERED for ending in receipt.endings)


def _ending(receipt: Receipt, ending: ReceiptEnding) -> str:
    event = ending.event
    at, taken = instant(event.happened_at_ms), _credits(event.captured_millicredits)
    back = credits_text(max(0, event.held_millicredits - event.captured_millicredits))
    match event.ending:
        case Ending.CAPTURED:
            return f"Captured {taken} at {at}{_counted(receipt, ending)}; {back} of the hold went back."
        case Ending.LATE:
            return f"Captured {taken} at {at}, after the hold had expired{_counted(receipt, ending)}."
        case Ending.RECOVERED:
            return f"Captured {taken} at {at} without a hold, which Redis had lost{_counted(receipt, ending)}."
        case Ending.RELEASED:
            return f"Released at {at}, nothing charged: {event.settlement.evidence}."
        case Ending.EXPIRED:
            return f"Expired at {at}, nothing charged: {event.settlement.evidence}."
        case _:
            assert_never(event.ending)


def _counted(receipt: Receipt, ending: ReceiptEnding) -> str:
    """Units and evidence; said where the amount is not the units times the price."""
    facts, event = receipt.facts, ending.event
    units, evidence = event.settlement.units, event.settlement.evidence
    billed = event.settlement.billed_mode
    if billed is not None and "billed as" not in evidence:
        evidence += f"; billed as {billed}, as asked for"
    if units is None:
        return f" (evidence: {evidence})"
    price = credits_text(facts.millicredits_per_unit)
    counted = f"{_units(units, facts.unit)} at {price}"
    by_card = units * facts.millicredits_per_unit
    if by_card != event.captured_millicredits:
        counted += f" would be {credits_text(by_card)}"
    return f" ({counted}; evidence: {evidence})"


def _booking(ending: ReceiptEnding) -> str:
    if ending.booked_at_ms is None:
        return f"Event {ending.event.id} is in the outbox and not booked yet."
    moved = "no credits moved" if ending.transaction_id is None else f"ledger transaction {ending.transaction_id}"
    return f"Booked at {instant(ending.booked_at_ms)} as event {ending.event.id}; {moved}."


def _refusal(refusal: Refusal) -> Iterator[str]:
    title = next((problem.title for code, problem in PROBLEMS.items() if code == refusal.code), "refused")
    plan = f", on plan {refusal.plan_id}" if refusal.plan_id else ""
    yield (
        f"{refusal.account_id} called {refusal.route or f'no known route ({refusal.method})'} with key "
        f"{refusal.key_id} of project {refusal.project_id} at {instant(refusal.at_ms)}{plan}."
    )
    if refusal.expected_units is not None and refusal.millicredits_per_unit is not None:
        yield (
            f"Quote by rate card {refusal.rate_card_version}: {refusal.expected_units} expected of {refusal.product} "
            f"{refusal.mode} at {_credits(refusal.millicredits_per_unit)} each: "
            f"{_credits(refusal.expected_units * refusal.millicredits_per_unit)}."
        )
    failed = refusal.status >= _OUR_SIDE
    answered = "Answered" if failed else "Refused"
    yield f"{answered} with {refusal.status} {refusal.code}: {title}. See docs/problems/{refusal.code}.md."
    if (refusal.required_millicredits or 0) > (refusal.available_millicredits or 0):
        resets = f" The period ends at {instant(refusal.resets_at_ms)}." if refusal.resets_at_ms else ""
        yield (
            f"At least {_credits(refusal.required_millicredits or 0)} had to be available; "
            f"{credits_text(refusal.available_millicredits or 0)} were.{resets}"
        )
    if refusal.limit_name:
        wait = "" if refusal.retry_in_ms is None else f"; it opened {refusal.retry_in_ms / 1000:g} s later"
        yield f"The limit {refusal.limit_name!r} was reached{wait}."
    yield "Nothing was held or charged." if failed else "Nothing was held, counted or charged."


def _credits(millicredits: int) -> str:
    return f"{credits_text(millicredits)} credit{'' if millicredits == 1000 else 's'}"  # noqa: PLR2004 - one credit


def _units(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return f"{number} time{'' if number == 1 else 's'}"
