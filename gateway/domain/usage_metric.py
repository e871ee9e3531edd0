"""What a usage event counts, in the words of LlamaCloud's usage metrics."""

from collections.abc import Mapping
from typing import Final

from gateway.domain.usage import UsageEvent

# By product and unit; under no unit, what all other units of the product count as.
EVENT_TYPES: Final[Mapping[tuple[str, str], str]] = {
    ("parse", ""): "pages_parsed",
    ("parse", "second"): "audio_seconds_parsed",
    ("parse", "minute"): "audio_seconds_parsed",
    ("extract", ""): "extraction_num_pages",
    ("classify", ""): "pages_classified",
    ("split", ""): "pages_split",
    ("index", ""): "pages_indexed",
    ("index", "query"): "index_retrieve_query",
    ("index", "turn"): "chat_message_sent",
}
# What the events of a call are summed up under: its job, else the request itself.
OF_A_REQUEST: Final = "request"
OF_A_JOB: Final = "_job"


def event_type(product: str, unit: str) -> str:
    """The event type; product and unit themselves for what LlamaCloud has no name for."""
    return EVENT_TYPES.get((product, unit)) or EVENT_TYPES.get((product, "")) or f"{product}_{unit}"


def value(event: UsageEvent) -> int:
    """How many of them; 0 where nobody told."""
    units = event.settlement.units or 0
    return units * 60 if (event.facts.product, event.facts.unit) == ("parse", "minute") else units


def aggregation_key(event: UsageEvent) -> str:
    """The job's id, or the request's where the call started no job."""
    return event.facts.request_id if event.job_id is None else event.job_id


def aggregation_type(event: UsageEvent) -> str:
    """`parse_job`, or `request`."""
    return OF_A_REQUEST if event.job_id is None else f"{event.facts.product}{OF_A_JOB}"
