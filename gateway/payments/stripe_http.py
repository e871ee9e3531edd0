"""How Stripe's library reaches the network: our own client, bounded in time and size. Imported with the library only.

The library's own client over httpx sends bodies in a way that httpx has deprecated.
"""

from collections.abc import Mapping
from typing import Final

import anyio
import httpx
import stripe

MOST_BYTES: Final = 8 * 2**20


class Http(stripe.HTTPClient):
    """One pool of connections. Errors of the network are APIConnectionError, which the library may retry."""

    name = "httpx"

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._httpx = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=True)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | bytes | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and headers of the answer."""
        body = bytearray()
        try:
            async with self._httpx.stream(method, url, headers=dict(headers), content=post_data) as answer:
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise stripe.APIConnectionError("the answer is too long", should_retry=False)  # type: ignore[no-untyped-call]
        except httpx.HTTPError as error:
            away = stripe.APIConnectionError(type(error).__name__, should_retry=True)  # type: ignore[no-untyped-call]
            raise away from error
        return bytes(body), answer.status_code, answer.headers

    async def sleep_async(self, secs: float) -> None:
        """Between the library's retries."""
        await anyio.sleep(secs)

    async def close_async(self) -> None:
        """Close the connections."""
        await self._httpx.aclose()
