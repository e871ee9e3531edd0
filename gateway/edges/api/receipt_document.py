"""Receipts and refusals as JSON: for the API, and for `gateway explain --json`. What is not known is null."""

import re
from typing import Final

from gateway.books.refusals import Refusal
from gateway.domain.hold import Ending
from gateway.edges.api.usage_document import amount, instant
from gateway.flows.explain import Receipt, ReceiptEnding, ReceiptJob

# Who saw the end of a job, as the evidence begins; and where in its reply the cost stood, as it ends.
_SEEN_BY: Final = re.compile(r"(poll|follower|webhook): ")
_FIELD: Final = re.compile(r" at (/\S*)$")
_OF_THE_REPLY: Final = ("status ", "a complete reply")


def explained(found: Receipt | Refusal) -> dict[str, object]:
    """Either document; `state` tells which it is."""
    return refusal_document(found) if isinstance(found, Refusal) else receipt_document(found)


def receipt_document(receipt: Receipt) -> dict[str, object]:
    """The receipt of a call. `endings` are all of them, the other members are about the one that counts."""
    facts, end = receipt.facts, receipt.end
    return {
        "request_id": facts.request_id,
        "state": receipt.state.value,
        "account_id": facts.account_id,
        "project_id": facts.project_id,
        "key_id": facts.key_id,
        "route": facts.route,
        "upstream": facts.upstream,
        "rate_card_version": facts.rate_card_version,
        "plan": facts.plan_id,
        "quote": {
            "product": facts.product,
            "mode": facts.mode,
            "unit": facts.unit,
            "expected_units": facts.expected_units,
            "credits_per_unit": amount(facts.millicredits_per_unit),
            "credits": amount(facts.quote_millicredits),
            "parts": _parts(receipt),
        },
        "hold": {
            "credits": amount(receipt.held_millicredits),
            "held_at": instant(receipt.admitted_at_ms),
            "expires_at": _at(receipt.expires_at_ms),
            "period": {"start": instant(receipt.period_start_ms), "end": _at(receipt.period_end_ms)},
        },
        "job": None if receipt.job is None else _job(receipt.job),
        "evidence": None if end is None else _evidence(end),
        "capture": None if end is None else _capture(end),
        "booking": None if end is None else _booking(end),
        "endings": [_capture(ending) | {"booking": _booking(ending)} for ending in receipt.endings],
        "credits_charged": amount(receipt.captured_millicredits) if end is not None else None,
        "live": receipt.live,
    }


def refusal_document(refusal: Refusal) -> dict[str, object]:
    """A refused call: nothing was held, counted or charged."""
    per_unit, units = refusal.millicredits_per_unit, refusal.expected_units
    quote = None
    if per_unit is not None and units is not None:
        quote = {
            "product": refusal.product,
            "mode": refusal.mode,
            "expected_units": units,
            "credits_per_unit": amount(per_unit),
            "credits": amount(per_unit * units),
        }
    return {
        "request_id": refusal.request_id,
        "state": "refused",
        "account_id": refusal.account_id,
        "project_id": refusal.project_id,
        "key_id": refusal.key_id,
        "method": refusal.method,
        "route": refusal.route or None,
        "plan": refusal.plan_id or None,
        "rate_card_version": refusal.rate_card_version or None,
        "refused_at": instant(refusal.at_ms),
        "status": refusal.status,
        "code": refusal.code,
        "quote": quote,
        "required_credits": _credits(refusal.required_millicredits),
        "available_credits": _credits(refusal.available_millicredits),
        "limit": refusal.limit_name or None,
        "retry_in_ms": refusal.retry_in_ms,
        "resets_at": _at(refusal.resets_at_ms),
    }


def _parts(receipt: Receipt) -> list[dict[str, object]] | None:
    if receipt.parts is None:
        return None
    return [
        {"product": part.product, "mode": part.mode, "credits_per_unit": amount(part.millicredits_per_unit)}
        for part in receipt.parts
    ]


def _job(job: ReceiptJob) -> dict[str, object]:
    return {
        "id": job.job_id,
        "upstream": job.upstream,
        "kind": job.kind,
        "started_at": _at(job.attached_at_ms),
        "looks": job.looks,
    }


def _evidence(ending: ReceiptEnding) -> dict[str, object]:
    """Who saw what the cost is taken from, and in which field; the text as it was booked."""
    text = ending.event.settlement.evidence
    seen, field = _SEEN_BY.match(text), _FIELD.search(text)
    source = seen[1] if seen is not None else "reply" if text.startswith(_OF_THE_REPLY) else "gateway"
    return {"source": source, "field": None if field is None else field[1], "text": text}


def _capture(ending: ReceiptEnding) -> dict[str, object]:
    event = ending.event
    return {
        "ending": event.ending.value,
        "at": instant(event.happened_at_ms),
        "units": event.settlement.units,
        "billed_mode": event.settlement.billed_mode,
        "credits": amount(event.captured_millicredits),
        "credits_returned": amount(0 if event.ending in {Ending.LATE, Ending.RECOVERED} else _returned(ending)),
    }


def _returned(ending: ReceiptEnding) -> int:
    return max(0, ending.event.held_millicredits - ending.event.captured_millicredits)


def _booking(ending: ReceiptEnding) -> dict[str, object] | None:
    if ending.booked_at_ms is None:
        return None
    return {
        "event_id": ending.event.id,
        "booked_at": instant(ending.booked_at_ms),
        "ledger_transaction": ending.transaction_id,
    }


def _at(at_ms: int | None) -> str | None:
    return None if at_ms is None else instant(at_ms)


def _credits(millicredits: int | None) -> object:
    return None if millicredits is None else amount(millicredits)
