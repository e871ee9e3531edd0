"""Usage events as CSV rows: each capture of an account with what it was priced by."""

from typing import Final

from gateway.domain.credits import credits_text
from gateway.domain.usage import UsageEvent
from gateway.flows.invoice_document import instant_text

COLUMNS: Final = (
    "event_id",
    "request_id",
    "admitted_at",
    "settled_at",
    "project_id",
    "key_id",
    "product",
    "mode",
    "unit",
    "units",
    "credits_per_unit",
    "credits",
    "plan",
    "rate_card_version",
    "period_start",
    "job_id",
)


def row(event: UsageEvent) -> list[object]:
    """One event, in the order of `COLUMNS`."""
    facts = event.facts
    return [
        event.id,
        facts.request_id,
        instant_text(event.admitted_at_ms),
        instant_text(event.happened_at_ms),
        facts.project_id,
        facts.key_id,
        facts.product,
        facts.mode,
        facts.unit,
        event.settlement.units,
        credits_text(facts.millicredits_per_unit),
        credits_text(event.captured_millicredits),
        facts.plan_id,
        facts.rate_card_version,
        instant_text(event.period_start_ms),
        event.job_id or "",
    ]
