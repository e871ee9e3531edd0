"""The scripts' replies as values. Each script's first lines say what it replies; nothing else is expected here."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.domain.admission import Admitted, LimitState, RefusalCode, Refused
from gateway.domain.hold import Ending, HoldState, JobHold
from gateway.domain.plan import RateLimit
from gateway.domain.usage import JobAttached, UsageEvent
from gateway.ledger.answers import (
    AdmitCall,
    BudgetCounters,
    Counters,
    JobLease,
    OpenHold,
    PeriodCounters,
    Settled,
    Uncounted,
)

_STATES: Final = {state.value.encode(): state for state in HoldState}
# Refused for what may be used beyond the grant: which ceiling that was is told by the terms.
_BY_CEILING: Final = frozenset({RefusalCode.CREDITS_EXHAUSTED, RefusalCode.SPEND_LIMIT_REACHED})
_ENDINGS: Final = {ending.value.encode(): ending for ending in Ending}


def _limit_states(limits: Sequence[RateLimit], flat: Sequence[int]) -> tuple[LimitState, ...]:
    """`flat` is remaining, microseconds until it opens, for each limit."""
    states = [
        LimitState(limit.name, limit.calls, limit.window_ms, flat[2 * i], -(-flat[2 * i + 1] // 1000))
        for i, limit in enumerate(limits)
    ]
    return tuple(states)


def admitted(call: AdmitCall, reply: list[Any]) -> Admitted:
    """What `admit` replied to a call that may run."""
    _, _, held, available, period_start_ms, *rest = reply
    job = None
    if call.job is not None:
        hold_id, state, facts, kind = rest[:4]
        job = JobHold(hold_id.decode(), _STATES.get(state), facts, kind.decode())
        rest = rest[4:]
    return Admitted(held, available, period_start_ms, _limit_states(call.plan_limits, rest), job)


def refused(call: AdmitCall, code: RefusalCode, reply: list[Any]) -> Refused:
    """What `admit` replied to a call that may not."""
    _, now_ms, limit, retry_us, required, available, resets_at_ms, *rest = reply
    return Refused(
        code,
        limits=_limit_states(call.plan_limits, rest),
        limit_name=_limit_name(call, code, limit, now_ms),
        retry_in_ms=None if retry_us == -1 else -(-retry_us // 1000),
        required_millicredits=required,
        available_millicredits=available,
        resets_at_ms=resets_at_ms,
    )


def _limit_name(call: AdmitCall, code: RefusalCode, limit: int | bytes, now_ms: int) -> str:
    """The rate limit's name, the project or key whose budget it was, or what set the ceiling of overage."""
    if isinstance(limit, bytes):
        return limit.decode()
    if limit:
        return call.plan_limits[limit - 1].name
    if code not in _BY_CEILING or (period := call.terms.period_at(now_ms)) is None:
        return ""
    return period.ceiling_at(now_ms).by.value


def settled(reply: list[Any]) -> Settled:
    """What `capture`, `release` and `recover` reply."""
    if reply[0] == b"unknown":
        return Settled(None, 0, 0, 0, None)
    state, captured, held, available, ending = reply
    return Settled(_STATES.get(state), captured, held, available, _ENDINGS.get(ending))


def not_topped_up(code: RefusalCode, reply: list[Any]) -> Refused:
    """What `top_up` replied to a hold that may not grow."""
    budget, required, available, resets_at_ms = reply
    return Refused(
        code,
        limit_name=budget.decode(),
        required_millicredits=required,
        available_millicredits=available,
        resets_at_ms=resets_at_ms,
    )


def job_leases(reply: list[Any]) -> list[JobLease]:
    """What `lease_jobs` replies."""
    return [_job_lease(fields) for fields in reply]


def _job_lease(fields: Sequence[Any]) -> JobLease:
    hold_id, account, facts, kind, job, upstream, *times = fields
    attached, deadline, looks, now, ended, stopped, gone = times
    return JobLease(
        hold_id=hold_id.decode(),
        account_id=account.decode(),
        facts=facts,
        job_kind=kind.decode(),
        job_id=job.decode(),
        upstream=upstream.decode(),
        attached_at_ms=attached,
        deadline_ms=deadline,
        looks=looks,
        leased_at_ms=now,
        ended_at_ms=ended or None,
        stopped_at_ms=stopped or None,
        gone_at_ms=gone or None,
    )


def read_counters(reply: list[Any], events: Iterable[UsageEvent | JobAttached]) -> Counters:
    """What `counters` replies, with the outbox's events up to that instant: those after it are not in its numbers."""
    epoch, seq, version, periods, holds, budgets = reply
    return Counters(
        epoch=int(epoch) if epoch else None,
        seq=seq,
        terms_version=int(version) if version else None,
        periods={start: PeriodCounters(*numbers) for start, *numbers in periods},
        open_holds=tuple(
            OpenHold(hold_id.decode(), amount, period, deadline, job.decode() or None)
            for hold_id, amount, period, deadline, job in holds
        ),
        unbooked={event.id: event for event in events if isinstance(event, UsageEvent) and event.seq <= seq},
        budgets=tuple(BudgetCounters(start, subject.decode(), *numbers) for start, subject, *numbers in budgets),
    )


def uncounted(reply: list[Any]) -> list[Uncounted]:
    """What `count_budgets` replies."""
    return [Uncounted(start, subject.decode(), seq) for start, subject, seq in reply]
