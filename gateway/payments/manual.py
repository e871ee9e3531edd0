"""Bank transfer: invoices say where to pay, and an admin marks them as paid. Takes no money, so nothing can fail."""

from typing import Final

from gateway.domain.payment import MethodKind
from gateway.payments.provider import (
    Adding,
    AddingKind,
    Charge,
    Customer,
    Failed,
    Outcome,
    ProviderMethod,
)

TRANSFER: Final = "bank_transfer"


class Manual:
    """The provider of a plain deployment."""

    name: Final = "manual"
    charges: Final = False
    least_cents: Final = 0

    async def customer(self, account_id: str) -> str:
        """The account itself."""
        return account_id

    async def begin_adding(self, _customer: Customer, *, return_url: str) -> Adding:  # noqa: ARG002
        """There is nothing to add."""
        return Adding(AddingKind.NOTHING)

    async def methods(self, _customer: Customer) -> list[ProviderMethod]:
        """The transfer, which everyone has."""
        return [ProviderMethod(TRANSFER, MethodKind.BANK_TRANSFER)]

    async def set_default(self, _customer: Customer, _method_ref: str) -> None:
        """It is."""

    async def remove(self, _customer: Customer, _method_ref: str) -> None:
        """It stays."""

    async def charge(self, _charge: Charge, *, again: bool) -> Outcome:  # noqa: ARG002
        """Nobody can be charged by transfer."""
        return Failed("bank_transfer", retryable=False)

    async def look(self, _charge: Charge, _ref: str) -> Outcome:
        """As `charge`."""
        return Failed("bank_transfer", retryable=False)

    async def cancel(self, _charge: Charge, _ref: str) -> Outcome:
        """As `charge`."""
        return Failed("bank_transfer", retryable=False)

    async def refund(self, _charge: Charge, _ref: str) -> None:
        """A person transfers it back."""

    async def close(self) -> None:
        """Nothing is open."""
