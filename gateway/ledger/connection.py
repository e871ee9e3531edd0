"""One connection to one Redis, shared by all calls of a process: commands are pipelined, replies come in order.

redis-py makes the connection (URL, TLS, authentication, unix sockets); from then on commands are packed and replies
parsed by hiredis on the bare transport, which costs a tenth of the CPU of redis-py's own path. Deliberately not here:
pools, pub/sub, transactions, cluster routing (`cluster`), and what the commands mean.

A command that timed out or lost its connection may have run. It is sent a second time only where its caller says that a
repeat is harmless, and only within the call's deadline.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis
from redis.exceptions import RedisError

from gateway.ledger.dialing import Dial, dial_url, why
from gateway.ledger.faults import OUTDATED, InvariantBroken, Redirected, StoreUnavailable
from gateway.ledger.link import ConnectionLost, Link, TimedOut
from gateway.ledger.scripts import Script
from gateway.ledger.store import Argument, Packed, Still

# The server is there and will not do it now. The first word of its error is the reason.
_REFUSING: Final = frozenset({
    "LOADING", "BUSY", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN",
    "NOAUTH", "WRONGPASS", "NOPERM",
})  # fmt: skip
_FIRST_BACKOFF_S: Final = 0.02
_LONGEST_BACKOFF_S: Final = 1.0
# A lost connection is mended within milliseconds where Redis lives; failing this often, it is away.
_ATTEMPTS_OF_HOPE: Final = 2


def pack(*command: Argument) -> bytes:
    """A command as Redis reads it."""
    # its stub says tuple[…] of one element where it takes any number
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type]


_ASKING: Final = pack("ASKING")


def _must_be_so(still: Still | None) -> None:
    if still is not None and not still():
        raise StoreUnavailable(OUTDATED)


class RedisConnection:
    """A connection that mends itself. Known to be away, it fails calls at once; else within `call_timeout_ms`.

    `on_reconnect` is called whenever a new connection was made after one had been lost: the server may have been
    restarted, with less than it had.
    """

    def __init__(
        self,
        url: str,
        *,
        attempt_timeout_ms: int = 200,
        call_timeout_ms: int = 250,
        max_in_flight: int = 4096,
        dial: Dial | None = None,
    ) -> None:
        self._dial = dial or dial_url(url)
        self._attempt_timeout_s = attempt_timeout_ms / 1000
        self._call_timeout_s = call_timeout_ms / 1000
        self._max_in_flight = max_in_flight
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._mending: asyncio.Task[None] | None = None
        self._away = ""  # why calls fail at once; empty while there is hope
        self._closed = False
        self.on_reconnect: Callable[[], None] | None = None

    @property
    def away(self) -> str:
        """Why calls fail at once, or nothing."""
        if self._link is not None and self._link.silent:
            return "timeout"
        return self._away

    @property
    def in_flight(self) -> int:
        """Commands whose replies have not come, abandoned ones included."""
        return len(self._link.pending) if self._link is not None else 0

    async def open(self) -> None:
        """Tries to connect once and goes on trying in the background; a Redis that is away is no error here."""
        reason = await self._connect()
        if reason:
            self._away = reason
            self._mend()

    async def close(self) -> None:
        """Lets the connection go. Calls still waiting fail."""
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
            with suppress(asyncio.CancelledError):
                await self._mending
        self._away = "closed"
        if self._link is not None:
            self._link.close()
            self._link = None

    async def evalsha(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeat: bool = True,
        deadline_ms: int | None = None,
        asking: bool = False,
        still: Still | None = None,
    ) -> Any:
        """The script's reply. Every script is safe to repeat unless its caller says otherwise.

        StoreUnavailable where Redis is away or refuses, InvariantBroken where the script itself failed.
        """
        packed = args if isinstance(args, Packed) else pack("EVALSHA", script.sha, len(keys), *keys, *args)
        reply = await self._call(packed, repeat, deadline_ms, asking, still)
        if reply.__class__ is hiredis.ReplyError:
            if str(reply).startswith("NOSCRIPT"):
                await self._call(pack("SCRIPT", "LOAD", script.text), True, deadline_ms, False)  # noqa: FBT003
                reply = await self._call(packed, repeat, deadline_ms, asking, still)
            if reply.__class__ is hiredis.ReplyError:
                raise self._fault(reply, script.name)
        return reply

    async def execute(
        self,
        *command: Argument,
        key: str,  # noqa: ARG002 - here everything lives in one place
        repeat: bool = False,
        deadline_ms: int | None = None,
        asking: bool = False,
    ) -> Any:
        """A plain command's reply; faults as with `evalsha`."""
        reply = await self._call(pack(*command), repeat, deadline_ms, asking)
        if reply.__class__ is hiredis.ReplyError:
            raise self._fault(reply, str(command[0]))
        return reply

    async def on_every_node(self, *command: Argument) -> list[Any]:
        """A keyless command's reply, from the one node there is."""
        return [await self.execute(*command, key="", repeat=True)]

    async def _call(
        self,
        packed: bytes,
        repeat: bool,  # noqa: FBT001 - internal
        deadline_ms: int | None,
        asking: bool,  # noqa: FBT001 - internal
        still: Still | None = None,
    ) -> Any:
        link = self._link
        if link is None or link.silent:
            link = await self._link_soon(self._call_timeout_s)
        _must_be_so(still)
        if len(link.pending) >= self._max_in_flight:
            raise StoreUnavailable("too_many_in_flight")
        timeout_s = self._attempt_timeout_s if deadline_ms is None else deadline_ms / 1000
        until = link.now() + max(self._call_timeout_s, timeout_s)
        if asking:
            link.send_ahead(_ASKING)
        try:
            return await link.send(packed, timeout_s)
        except TimedOut as late:
            raise StoreUnavailable("timeout", outcome_unknown=True) from late
        except ConnectionLost as lost:
            if repeat:
                return await self._repeat(packed, until, still)
            raise StoreUnavailable("connection_lost", outcome_unknown=True) from lost

    async def _repeat(self, packed: bytes, until: float, still: Still | None) -> Any:
        """Further attempts, each on a new connection, within what is left of the call's time."""
        loop = asyncio.get_running_loop()
        while (left_s := until - loop.time()) > 0:
            try:
                link = await self._link_soon(left_s)
                _must_be_so(still)
                return await link.send(packed, max(0.0, until - loop.time()))
            except ConnectionLost:
                continue
            except TimedOut as late:
                raise StoreUnavailable("timeout", outcome_unknown=True) from late
            except StoreUnavailable as away:
                raise StoreUnavailable(away.reason, outcome_unknown=True) from away
        raise StoreUnavailable("connection_lost", outcome_unknown=True)

    async def _link_soon(self, wait_s: float) -> Link:
        """The connection, waiting while a lost one is being mended, but never for a Redis known to be away."""
        if reason := self.away:
            raise StoreUnavailable(reason)
        try:
            async with asyncio.timeout(wait_s):
                await self._connected.wait()
        except TimeoutError as late:
            raise StoreUnavailable("connection_lost") from late
        link = self._link
        if link is None:
            raise StoreUnavailable("connection_lost")
        return link

    async def _connect(self) -> str:
        """Makes a connection. Returns why not, or nothing."""
        try:
            connection = await self._dial()
        except (RedisError, OSError, TimeoutError) as fault:
            return why(fault)
        link = Link(connection, self._attempt_timeout_s, self._lost)
        if self._closed:
            link.close()
            return "closed"
        self._link, self._away = link, ""
        self._connected.set()
        return ""

    def _lost(self, link: Link) -> None:
        if link is self._link:
            self._link = None
            self._connected.clear()
            if link.silent:
                self._away = "timeout"
            self._mend()

    def _mend(self) -> None:
        if not self._closed and (self._mending is None or self._mending.done()):
            self._mending = asyncio.get_running_loop().create_task(self._reconnect(), name="redis-reconnect")

    async def _reconnect(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        failed = 0
        while reason := await self._connect():
            if reason == "closed":
                return
            failed += 1
            if failed >= _ATTEMPTS_OF_HOPE:
                self._away = reason
                # Those who waited learn of it; `_link_soon` finds no link.
                self._connected.set()
                self._connected.clear()
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not secrecy
            backoff_s = min(_LONGEST_BACKOFF_S, backoff_s * 2)
        if self.on_reconnect is not None:
            self.on_reconnect()

    def _fault(self, reply: Exception, what: str) -> Exception:
        word = str(reply).split(" ", 1)[0]
        if word == "READONLY" and self._link is not None:
            # What was the primary is a replica now: the address has to be asked for again.
            self._link.abort()
        if word in {"MOVED", "ASK"}:
            return Redirected(str(reply))
        if word in _REFUSING:
            return StoreUnavailable(word.lower())
        if "non local key" in str(reply):
            # A cluster is moving the script's keys one by one, and one has gone ahead.
            return StoreUnavailable("tryagain")
        return InvariantBroken(f"{what}: {reply}")
