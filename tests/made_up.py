"""Plans, calls and events for tests, with whatever matters to the test said by keyword."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.domain.hold import Ending
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import PayAsYouGo, Plan, WhenExhausted
from gateway.domain.usage import CallFacts, JobAttached, Settlement, UsageEvent

CREDIT = 1000
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_MS = epoch_ms(NOON)

_OVERAGE = PayAsYouGo(nanodollars_per_millicredit=1250, max_cents_per_period=50_000)
PLANS: Mapping[str, Plan] = {
    "free": Plan("free", "Free", 0, 10_000 * CREDIT),
    "starter": Plan("starter", "Starter", 5_000, 40_000 * CREDIT, {}, WhenExhausted.PAY_AS_YOU_GO, _OVERAGE),
    "pro": Plan("pro", "Pro", 50_000, 400_000 * CREDIT, {}, WhenExhausted.PAY_AS_YOU_GO, _OVERAGE),
}


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def facts(account_id: str, request_id: str, **changed: str | int) -> CallFacts:
    told = {
        "request_id": request_id,
        "account_id": account_id,
        "project_id": "prj_1",
        "key_id": "key_1",
        "product": "parse",
        "mode": "agentic",
        "unit": "page",
        "route": "parse.upload",
        "upstream": "parse",
        "plan_id": "free",
        "rate_card_version": "2026-11",
        "millicredits_per_unit": 10 * CREDIT,
        "expected_units": 10,
        "quote_millicredits": 100 * CREDIT,
    }
    return CallFacts(**(told | changed))  # type: ignore[arg-type]


def event(
    account_id: str,
    number: int,
    *,
    ending: Ending = Ending.CAPTURED,
    captured: int = 20 * CREDIT,
    units: int | None = 2,
    period_start_ms: int = NOON_MS,
    admitted_at_ms: int = NOON_MS,
    seq: int | None = None,
    **changed: str | int,
) -> UsageEvent:
    request_id = f"req_{number:032x}"
    return UsageEvent(
        id=f"{request_id}.{ending.name_in_id}",
        ending=ending,
        facts=facts(account_id, request_id, **changed),
        settlement=Settlement(units, "reported by the upstream"),
        held_millicredits=100 * CREDIT,
        captured_millicredits=captured,
        period_start_ms=period_start_ms,
        admitted_at_ms=admitted_at_ms,
        happened_at_ms=admitted_at_ms + 2_000,
        seq=number if seq is None else seq,
        job_id=None,
    )


def job(account_id: str, number: int, job_id: str) -> JobAttached:
    return JobAttached(
        facts=facts(account_id, f"req_{number:032x}"),
        job_kind="parse",
        upstream="parse",
        job_id=job_id,
        held_millicredits=100 * CREDIT,
        period_start_ms=NOON_MS,
        admitted_at_ms=NOON_MS,
        deadline_ms=NOON_MS + 1_800_000,
        happened_at_ms=NOON_MS,
        seq=number,
    )
