"""An account's credit ledger as JSON, for the admin API and the command line alike."""

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.domain.credits import credits_text
from gateway.flows.credit_ledger import PeriodBalances
from gateway.flows.invoice_document import instant_text


def ledger_json(account_id: str, as_of_ms: int | None, periods: Sequence[PeriodBalances]) -> dict[str, Any]:
    """Decimal credits; those of each period sum to zero."""
    return {
        "account_id": account_id,
        "as_of": None if as_of_ms is None else instant_text(as_of_ms),
        "periods": [
            {
                "start": instant_text(period.start_ms),
                "credits": {
                    name.value: orjson.Fragment(credits_text(amount)) for name, amount in period.balances.items()
                },
            }
            for period in periods
        ],
    }
