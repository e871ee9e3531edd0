"""A provider for demos and tests: cards that do what their names say. No network, and no money.

What it was asked is kept by a memory that is handed in, by idempotency key: like a real provider it answers a repeated
question with what it did the first time, also after a restart.
"""

from typing import Final, Protocol

from gateway.domain.payment import MethodKind
from gateway.payments.provider import (
    ActionRequired,
    Adding,
    AddingKind,
    Charge,
    Customer,
    Failed,
    Outcome,
    Paid,
    Pending,
    ProviderMethod,
)

TEST_CARDS: Final = {
    "fake_ok": "a card that pays",
    "fake_declined": "a card that the bank declines",
    "fake_no_funds": "a card without funds",
    "fake_expired": "a card that has expired",
    "fake_3ds": "a card whose owner must confirm each payment",
    "fake_slow": "a card whose bank takes its time",
}
_LAST4: Final = {
    "fake_ok": "4242",
    "fake_declined": "0002",
    "fake_no_funds": "9995",
    "fake_expired": "0069",
    "fake_3ds": "3155",
    "fake_slow": "0077",
}
_FIRST_ANSWER: Final = {
    "fake_ok": "paid",
    "fake_declined": "card_declined",
    "fake_no_funds": "insufficient_funds",
    "fake_expired": "expired_card",
    "fake_3ds": "owner",
    "fake_slow": "pending",
}
_SEPARATOR: Final = ":"
# Where the gateway serves the page of the fake bank, on its own listener.
PAGE: Final = "/fake-bank"


class RemembersPayments(Protocol):
    """What the fake bank did, by idempotency key. Single words."""

    async def begun(self, key: str, answer: str) -> str:
        """Keep the answer where there is none yet; the one that is kept."""
        ...

    async def answer(self, key: str) -> str | None:
        """What is kept."""
        ...

    async def change(self, key: str, old: tuple[str, ...], new: str) -> None:
        """Another answer, where it is one of the old ones."""
        ...


class Fake:
    """The fake bank. A method's `ref` is `<test card>:<anything>`, so that one card can be added twice.

    `origin` is the gateway's own, where owners are sent to confirm.
    """

    name: Final = "fake"
    charges: Final = True
    least_cents: Final = 1

    def __init__(self, memory: RemembersPayments, origin: str = "") -> None:
        self._memory = memory
        self._origin = origin

    async def customer(self, account_id: str) -> str:
        """The account itself."""
        return account_id

    async def begin_adding(self, _customer: Customer, *, return_url: str) -> Adding:  # noqa: ARG002
        """A choice of test cards."""
        return Adding(AddingKind.FIELDS, fields=dict(TEST_CARDS))

    async def methods(self, _customer: Customer) -> list[ProviderMethod]:
        """None that the books do not have: cards are added there."""
        return []

    async def set_default(self, _customer: Customer, _method_ref: str) -> None:
        """The books keep it."""

    async def remove(self, _customer: Customer, _method_ref: str) -> None:
        """The books forget it."""

    async def charge(self, charge: Charge, *, again: bool) -> Outcome:  # noqa: ARG002
        """What the card's name says, and the same again for the same key."""
        first = _FIRST_ANSWER.get(charge.method_ref.partition(_SEPARATOR)[0], "card_declined")
        if first == "owner" and not charge.on_session:
            first = "authentication_required"
        return _outcome(charge, await self._memory.begun(charge.key, first), self._origin)

    async def look(self, charge: Charge, ref: str) -> Outcome:  # noqa: ARG002
        """A slow bank has paid by the time somebody looks."""
        await self._memory.change(charge.key, ("pending",), "paid")
        return _outcome(charge, await self._memory.answer(charge.key) or "no_such_payment", self._origin)

    async def confirm(self, key: str, *, agreed: bool) -> None:
        """The owner's answer to a card that asks."""
        await self._memory.change(key, ("owner",), "paid" if agreed else "authentication_failed")

    async def cancel(self, charge: Charge, ref: str) -> Outcome:
        """Gives up waiting for the owner."""
        await self._memory.change(charge.key, ("owner",), "canceled")
        return await self.look(charge, ref)

    async def refund(self, charge: Charge, _ref: str) -> None:
        """Gives it back."""
        await self._memory.change(charge.key, ("paid",), "refunded")

    async def close(self) -> None:
        """Nothing is open."""


def fake_method(test_card: str, unique: str) -> ProviderMethod:
    """The card as it is shown. KeyError for one that is none."""
    return ProviderMethod(
        f"{test_card}{_SEPARATOR}{unique}", MethodKind.CARD, "visa", _LAST4[test_card], exp_month=12, exp_year=2034
    )


def _outcome(charge: Charge, answer: str, origin: str) -> Outcome:
    ref = f"fake_{charge.key}"
    match answer:
        case "paid" | "refunded":
            return Paid(ref)
        case "pending":
            return Pending(ref)
        case "owner":
            return ActionRequired(f"{origin}{PAGE}/{charge.key}", ref)
        case reason:
            return Failed(reason, retryable=reason != "expired_card", ref=ref)
