"""An account's own clock as JSON."""

from typing import Any

from gateway.edges.api.usage_document import instant
from gateway.flows.own_clock import OwnClock


def clock_json(shown: OwnClock) -> dict[str, Any]:
    """`ahead_s` is how far it is ahead of the world's; `issued` are the numbers of the invoices issued on the way."""
    return {
        "account_id": shown.account_id,
        "sandbox": shown.offset_ms is not None,
        "now": instant(shown.now_ms),
        "ahead_s": (shown.offset_ms or 0) // 1000,
        "issued": [invoice.number for invoice in shown.issued],
    }
