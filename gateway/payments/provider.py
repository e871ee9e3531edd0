"""What every payment provider can be asked, and what it answers. Knows no provider in particular.

A charge carries an idempotency key that is kept before the provider is asked: asking again with the same key never
takes money twice, so an answer that was lost is asked for again.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from gateway.domain.payment import MethodKind


class ProviderUnavailable(Exception):
    """The provider could not be asked, or did not answer for sure: nothing is known, ask again with the same key."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the payment provider is not available: {reason}")
        self.reason = reason


class ProviderMissing(Exception):
    """The provider of the settings needs something that is not installed; says what to do."""


@dataclass(frozen=True, slots=True)
class Customer:
    """An account as the provider is told of it. Neither name nor address leaves the gateway."""

    account_id: str
    ref: str


@dataclass(frozen=True, slots=True)
class ProviderMethod:
    """A payment method as the provider knows it; `ref` is its own name for it."""

    ref: str
    kind: MethodKind
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None


class AddingKind(StrEnum):
    """How a payment method is added."""

    REDIRECT = "redirect"  # send the owner to `url`; they come back to the return address
    FIELDS = "fields"  # show a choice of `fields` (the fake's test cards)
    NOTHING = "nothing"  # nothing can be added: invoices are paid by transfer


@dataclass(frozen=True, slots=True)
class Adding:
    """What the owner does next. `fields` are names and what they are, for a choice of one."""

    kind: AddingKind
    url: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt to take money. `key` is its id and the idempotency key.

    `on_session`: the owner is there and may be sent to `return_url`'s provider page to confirm; else nobody is.
    """

    key: str
    customer: Customer
    method_ref: str
    amount_cents: int
    description: str
    on_session: bool = False
    return_url: str | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """The money is ours. `ref` is the provider's name for the payment."""

    ref: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No money. `retryable`: the same method may work later."""

    reason: str
    retryable: bool
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The owner must confirm at `url` (3-D Secure); then ask again."""

    url: str
    ref: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The bank takes its time; ask again."""

    ref: str


Outcome: TypeAlias = Paid | Failed | ActionRequired | Pending


class Provider(Protocol):
    """A payment provider. All methods: ProviderUnavailable; bounded in time."""

    @property
    def name(self) -> str:
        """As in the settings."""
        ...

    @property
    def charges(self) -> bool:
        """Whether it takes money by itself; False: a person marks invoices as paid."""
        ...

    @property
    def least_cents(self) -> int:
        """The least it takes; what is below stays due."""
        ...

    async def customer(self, account_id: str) -> str:
        """The provider's name for an account, made where there is none."""
        ...

    async def begin_adding(self, customer: Customer, *, return_url: str) -> Adding:
        """How a method is added."""
        ...

    async def methods(self, customer: Customer) -> list[ProviderMethod]:
        """The customer's methods, as many as are ever shown."""
        ...

    async def set_default(self, customer: Customer, method_ref: str) -> None:
        """What the provider itself shows as the default; charges name their method."""
        ...

    async def remove(self, customer: Customer, method_ref: str) -> None:
        """Forget a method. Again changes nothing."""
        ...

    async def charge(self, charge: Charge, *, again: bool) -> Outcome:
        """Take money, once per key. `again`: it may have been asked before."""
        ...

    async def look(self, charge: Charge, ref: str) -> Outcome:
        """What became of a payment."""
        ...

    async def cancel(self, charge: Charge, ref: str) -> Outcome:
        """Give up a payment that waits for its owner. What it is then: it may have been paid meanwhile."""
        ...

    async def refund(self, charge: Charge, ref: str) -> None:
        """Give everything back, once."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
