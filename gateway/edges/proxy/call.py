"""One call as the proxy's log and metrics see it: filled in on the way, written once at the end."""

from collections.abc import Callable
from typing import TypeAlias

from gateway.books.refusals import Refusal
from gateway.domain.admission import Refused
from gateway.domain.quote import Quote


class Call:
    """What is known of a call so far. Never the key, the body or a header value."""

    # Defaults live on the class, so that a call only pays for what it sets.
    took_s = 0.0
    status = 0
    route = ""
    account_id = ""
    project_id = ""
    key_id = ""
    plan_id = ""
    product = ""
    mode = ""
    code = ""
    end = ""
    held_millicredits = 0
    charged_millicredits: int | None = None
    # The ledger's no, and the quote it was asked with.
    refused: tuple[Refused, Quote | None] | None = None

    def __init__(self, request_id: str, method: str, started_s: float) -> None:
        self.request_id = request_id
        self.method = method
        self.started_s = started_s

    @property
    def is_refused(self) -> bool:
        """Whether a known account's call was answered with a problem before anything was held for it."""
        return bool(self.code and self.account_id and not self.held_millicredits)

    def refusal(self) -> Refusal:
        """What is kept of a refused call. Its time is that of its id."""
        refused, quote = self.refused or (None, None)
        return Refusal(
            request_id=self.request_id,
            at_ms=int(self.request_id[4:16], 16),
            account_id=self.account_id,
            project_id=self.project_id,
            key_id=self.key_id,
            method=self.method,
            route=self.route,
            status=self.status,
            code=self.code,
            product=self.product,
            mode=self.mode,
            plan_id=self.plan_id,
            rate_card_version="" if quote is None else quote.rate_card_version,
            expected_units=None if quote is None else quote.expected_units,
            millicredits_per_unit=None if quote is None else quote.millicredits_per_unit,
            required_millicredits=None if refused is None else refused.required_millicredits,
            available_millicredits=None if refused is None else refused.available_millicredits,
            limit_name="" if refused is None else refused.limit_name,
            retry_in_ms=None if refused is None else refused.retry_in_ms,
            resets_at_ms=None if refused is None else refused.resets_at_ms,
        )


Record: TypeAlias = Callable[[Call], None]
