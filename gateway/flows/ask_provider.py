"""Asking the payment provider on behalf of somebody who waits for the answer."""

from collections.abc import Awaitable
from typing import TypeVar

from gateway.flows.faults import PaymentNeeded
from gateway.payments.provider import ProviderUnavailable

T = TypeVar("T")


async def asked(question: Awaitable[T]) -> T:
    """The provider's answer. PaymentNeeded where it is away."""
    try:
        return await question
    except ProviderUnavailable as away:
        raise PaymentNeeded(
            "provider_unavailable",
            "the payment provider cannot be reached now; what was begun is asked about again, so try again later",
        ) from away
