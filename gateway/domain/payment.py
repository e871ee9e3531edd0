"""Payments as states: one attempt to take money, and the collection of one invoice with its schedule of retries.

A missing pair of state and event is news that changes nothing: it came twice, or in another order than it happened.
Knows no provider and no clock; amounts are whole cents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.instant import DAY_MS

# After the first failure, and after each retry that failed. A failure with none left is the last.
RETRY_AFTER_DAYS: Final = (2, 5, 7, 7)


class AttemptState(StrEnum):
    """Where one attempt to take money stands. Its id is the provider's idempotency key, so asking again is harmless."""

    STARTED = "started"  # written before the provider is asked; until it has told, nothing is known
    PENDING = "pending"  # the bank takes its time
    ACTION_REQUIRED = "action_required"  # the card's owner must confirm
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUNDING = "refunding"  # taken for what is not owed any more; to be given back
    REFUNDED = "refunded"


class AttemptEvent(StrEnum):
    """What can become of an attempt."""

    WAIT = "wait"
    ASK_OWNER = "ask_owner"
    SUCCEED = "succeed"
    FAIL = "fail"
    TAKE_NOT_OWED = "take_not_owed"  # it succeeded, and nothing is owed for it
    GIVE_BACK = "give_back"


ATTEMPT_NEXT: Final[Mapping[tuple[AttemptState, AttemptEvent], AttemptState]] = {
    (AttemptState.STARTED, AttemptEvent.WAIT): AttemptState.PENDING,
    (AttemptState.STARTED, AttemptEvent.ASK_OWNER): AttemptState.ACTION_REQUIRED,
    (AttemptState.STARTED, AttemptEvent.SUCCEED): AttemptState.SUCCEEDED,
    (AttemptState.STARTED, AttemptEvent.TAKE_NOT_OWED): AttemptState.REFUNDING,
    (AttemptState.STARTED, AttemptEvent.FAIL): AttemptState.FAILED,
    (AttemptState.PENDING, AttemptEvent.ASK_OWNER): AttemptState.ACTION_REQUIRED,
    (AttemptState.PENDING, AttemptEvent.SUCCEED): AttemptState.SUCCEEDED,
    (AttemptState.PENDING, AttemptEvent.TAKE_NOT_OWED): AttemptState.REFUNDING,
    (AttemptState.PENDING, AttemptEvent.FAIL): AttemptState.FAILED,
    (AttemptState.ACTION_REQUIRED, AttemptEvent.WAIT): AttemptState.PENDING,
    (AttemptState.ACTION_REQUIRED, AttemptEvent.SUCCEED): AttemptState.SUCCEEDED,
    (AttemptState.ACTION_REQUIRED, AttemptEvent.TAKE_NOT_OWED): AttemptState.REFUNDING,
    (AttemptState.ACTION_REQUIRED, AttemptEvent.FAIL): AttemptState.FAILED,
    # An attempt that failed here and was taken there after all: nobody keeps what was not asked for any more.
    (AttemptState.FAILED, AttemptEvent.TAKE_NOT_OWED): AttemptState.REFUNDING,
    (AttemptState.REFUNDING, AttemptEvent.GIVE_BACK): AttemptState.REFUNDED,
}
# Of an invoice, at most one attempt is in one of these: nobody pays twice.
HOLDS_THE_INVOICE: Final = (
    AttemptState.STARTED,
    AttemptState.PENDING,
    AttemptState.ACTION_REQUIRED,
    AttemptState.SUCCEEDED,
)
UNDER_WAY: Final = (AttemptState.STARTED, AttemptState.PENDING, AttemptState.ACTION_REQUIRED)


def next_attempt_state(state: AttemptState, event: AttemptEvent) -> AttemptState | None:
    """The state after the event; None where it changes nothing."""
    return ATTEMPT_NEXT.get((state, event))


class CollectionState(StrEnum):
    """Where the collection of an issued invoice stands."""

    PAST_DUE = "past_due"
    SETTLED = "settled"  # nothing is due any more
    GIVEN_UP = "given_up"  # the last retry failed


class CollectionEvent(StrEnum):
    """What can become of a collection that has failed at least once."""

    FAIL = "fail"
    FAIL_LAST = "fail_last"
    SETTLE = "settle"


COLLECTION_NEXT: Final[Mapping[tuple[CollectionState, CollectionEvent], CollectionState]] = {
    (CollectionState.PAST_DUE, CollectionEvent.FAIL): CollectionState.PAST_DUE,
    (CollectionState.PAST_DUE, CollectionEvent.FAIL_LAST): CollectionState.GIVEN_UP,
    (CollectionState.PAST_DUE, CollectionEvent.SETTLE): CollectionState.SETTLED,
    # Money may come after all.
    (CollectionState.GIVEN_UP, CollectionEvent.SETTLE): CollectionState.SETTLED,
}


def next_collection_state(state: CollectionState, event: CollectionEvent) -> CollectionState | None:
    """The state after the event; None where it changes nothing."""
    return COLLECTION_NEXT.get((state, event))


def retry_ms(failures: int, failed_ms: int) -> int | None:
    """When to try again after so many failures by schedule; None after the last."""
    if failures > len(RETRY_AFTER_DAYS):
        return None
    return failed_ms + RETRY_AFTER_DAYS[failures - 1] * DAY_MS


class PlanChangeState(StrEnum):
    """Where a change of plan stands that is paid for before it is made."""

    PAYING = "paying"
    MADE = "made"
    NOT_PAID = "not_paid"  # nothing changed
    NOT_MADE = "not_made"  # paid, and then it could not be made: the money goes back


class Trigger(StrEnum):
    """Why an attempt was made. Only those by schedule count towards the last."""

    SCHEDULE = "schedule"
    CARD_CHANGED = "card_changed"
    ASKED = "asked"
    PLAN_CHANGE = "plan_change"


class MethodKind(StrEnum):
    """How an account pays."""

    CARD = "card"
    BANK_TRANSFER = "bank_transfer"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """What an account's owner sees of a way to pay. Never a number: brand and the last four digits."""

    id: str
    kind: MethodKind
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    default: bool
