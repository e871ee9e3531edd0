"""Posting one webhook to an address that somebody else chose, from within our own network.

The name is looked up here, every address it has must be out on the internet, and the connection goes to the very
address that was checked: a name that answers differently the next time changes nothing. No redirect is followed, no
proxy of the environment used, no more than `MOST_REPLY_BYTES` of a reply read. Signs nothing and tries nothing again.
"""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.wire.webhook_url import is_public

CONNECT_S: Final = 5.0
TOTAL_S: Final = 15.0
MOST_REPLY_BYTES: Final = 16 * 1024
# Of a name with many addresses, so many are called before it counts as unreachable.
MOST_ADDRESSES: Final = 3
MOST_LOOKUPS: Final = 64
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of it. `status` None: no answer, and `fault` says why, in words the account may read.

    `rest_ms` is how long it asked to be left alone, 0 where it did not, or named a date.
    """

    status: int | None
    reply: bytes
    fault: str
    duration_ms: int
    rest_ms: int = 0


class _Refused(Exception):
    """The address is none that may be called."""


class WebhookSender:
    """Posts to any number of addresses at a time; each call has a connection of its own, closed after it."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolve | None = None,
        verify: ssl.SSLContext | None = None,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve or Lookups()
        self._total_s = total_s
        self._monotonic = monotonic
        self._connect_s = connect_s
        self._verify = verify
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Posted:
        """Post the body, within `total_s` for everything. Raises nothing that an address can bring about."""
        began = self._monotonic()
        status, reply, rest_ms, fault = None, b"", 0, ""
        try:
            async with asyncio.timeout(self._total_s):
                status, reply, rest_ms = await self._post(httpx.URL(url), headers, body)
        except TimeoutError:
            fault = f"no complete answer within {self._total_s:g} s"
        except _Refused as refused:
            fault = str(refused)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fault = _said(error)
        except (OSError, UnicodeError) as error:
            fault = f"the host could not be looked up: {_said(error)}"
        return Posted(status, reply, fault, round((self._monotonic() - began) * 1000), rest_ms)

    async def _post(self, url: httpx.URL, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[int, bytes, int]:
        addresses = await self._checked(url)
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                return await self._post_to(address, url, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent; a host may have an address that cannot be reached from here.
                if last == 0:
                    raise
        raise _Refused("the host has no address")

    async def _checked(self, url: httpx.URL) -> list[str]:
        """The addresses to call. One that is not public condemns the name: it means us, or somebody's mistake."""
        if url.scheme != "https" and not self._allow_private:
            raise _Refused("webhooks go by https only")
        port = url.port or (443 if url.scheme == "https" else 80)
        found = list(dict.fromkeys(await self._resolve(url.host, port)))
        if not self._allow_private:
            for address in found:
                if not is_public(address):
                    # Not which: names that only this network knows are no business of who chose the address.
                    raise _Refused(f"{url.host} has an address which is not public")
        return found[:MOST_ADDRESSES]

    async def _post_to(
        self, address: str, url: httpx.URL, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, bytes, int]:
        client = await self._opened()
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            headers=[("host", url.netloc.decode("ascii")), ("accept-encoding", "identity"), *headers],
            content=body,
            # The certificate must be that of the name, whatever the address.
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True)
        try:
            return response.status_code, await _beginning(response), _rest_ms(response)
        finally:
            await response.aclose()

    async def _opened(self) -> httpx.AsyncClient:
        """The client, made when the first webhook is sent: reading the authorities' certificates takes a while."""
        async with self._opening:
            if self._client is None:
                verify = self._verify
                if verify is None:
                    verify = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
                self._client = httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(
                        verify=verify,
                        trust_env=False,
                        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                    ),
                    follow_redirects=False,
                    trust_env=False,
                    timeout=httpx.Timeout(self._total_s, connect=self._connect_s),
                )
            return self._client


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of a reply. The status is what counts: a body that breaks off is taken as it came."""
    read = bytearray()
    try:
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) >= MOST_REPLY_BYTES:
                break
    except httpx.HTTPError:
        pass
    return bytes(read[:MOST_REPLY_BYTES])


def _rest_ms(response: httpx.Response) -> int:
    """`Retry-After` in seconds; dates would need the receiver's clock to be right."""
    asked = _SECONDS.fullmatch(response.headers.get("retry-after", ""))
    return 0 if asked is None else int(asked[0]) * 1000


class Lookups:
    """Names looked up by the system, on threads that nobody waits for at the end of the process:
    a name server that never answers holds up neither the loop's own threads nor a shutdown.
    """

    def __init__(self, at_once: int = MOST_LOOKUPS) -> None:
        self._turns = threading.BoundedSemaphore(at_once)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The host's addresses. OSError, also where too many lookups hang."""
        if not self._turns.acquire(blocking=False):
            raise OSError("too many lookups are under way")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[str]] = loop.create_future()
        threading.Thread(target=self._look_up, args=(host, port, loop, done), name="webhook-dns", daemon=True).start()
        return await done

    def _look_up(self, host: str, port: int, loop: asyncio.AbstractEventLoop, done: asyncio.Future[list[str]]) -> None:
        found: list[str] = []
        failed: Exception | None = None
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            failed = error
        finally:
            self._turns.release()

        def tell() -> None:
            if done.done():
                return
            if failed is None:
                done.set_result(found)
            else:
                done.set_exception(failed)

        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop has ended, and with it whoever asked


def _said(error: Exception) -> str:
    """What went wrong, short; an address's own words are not repeated at length."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
