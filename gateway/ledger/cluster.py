"""A Redis Cluster behind the face of one connection: each call goes to the node that has its slot.

All keys of an account share a slot by their shard's tag, so a call is never split. Deliberately not here: replicas (a
hold read from one could be settled already), and commands over several slots.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.crc import key_slot

from gateway.ledger.connection import RedisConnection
from gateway.ledger.dialing import Address, dial_address, read_servers
from gateway.ledger.faults import Redirected, StoreUnavailable
from gateway.ledger.scripts import Script
from gateway.ledger.store import Argument, Still

# MOVED after an old map, ASK while a slot moves, and once more for a failover in between.
_TURNS: Final = 5
_PAUSE_S: Final = 0.02
_DISCOVERY_EVERY_S: Final = 0.2


class ClusterConnection:
    """One connection to each node that has slots. Learns of moved slots by being redirected, and of dead nodes too.

    `on_reconnect` is called when a node was reached again or slots have another owner: a promoted replica may have
    less than the primary had.
    """

    def __init__(
        self, url: str, *, attempt_timeout_ms: int = 200, call_timeout_ms: int = 250, max_in_flight: int = 4096
    ) -> None:
        self._servers = read_servers(url)
        self._limits = {
            "attempt_timeout_ms": attempt_timeout_ms,
            "call_timeout_ms": call_timeout_ms,
            "max_in_flight": max_in_flight,
        }
        self._nodes: dict[Address, RedisConnection] = {}
        self._owners: list[tuple[int, int, Address]] = []  # first slot, last slot, who has them
        self._discovering: asyncio.Task[None] | None = None
        self._closed = False
        self.on_reconnect: Callable[[], None] | None = None

    @property
    def away(self) -> str:
        """Why some calls fail at once, or nothing."""
        if not self._owners:
            return "no_node_answers"
        return next((node.away for _, _, at in self._owners if (node := self._nodes[at]).away), "")

    async def open(self) -> None:
        """Asks the named nodes for the others; a cluster that is away is asked again on the next call."""
        await self._discover()

    async def close(self) -> None:
        """Lets all connections go."""
        self._closed = True
        if self._discovering is not None:
            self._discovering.cancel()
            with suppress(asyncio.CancelledError):
                await self._discovering
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        self._nodes.clear()
        self._owners.clear()

    async def evalsha(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeat: bool = True,
        deadline_ms: int | None = None,
        still: Still | None = None,
    ) -> Any:
        """The script's reply, from the node that has the slot of its keys."""
        return await self._routed(
            keys[0],
            lambda node, asking: node.evalsha(
                script, keys, args, repeat=repeat, deadline_ms=deadline_ms, asking=asking, still=still
            ),
        )

    async def execute(self, *command: Argument, key: str, repeat: bool = False, deadline_ms: int | None = None) -> Any:
        """A plain command's reply, from the node that has the key."""
        return await self._routed(
            key,
            lambda node, asking: node.execute(*command, key=key, repeat=repeat, deadline_ms=deadline_ms, asking=asking),
        )

    async def on_every_node(self, *command: Argument) -> list[Any]:
        """A keyless command's replies, of every node that has slots."""
        if not self._owners:
            await self._discover()
        addresses = dict.fromkeys(address for _, _, address in self._owners)
        if not addresses:
            raise StoreUnavailable("no_node_answers")
        return list(
            await asyncio.gather(*(self._nodes[each].execute(*command, key="", repeat=True) for each in addresses))
        )

    async def _routed(self, key: str, ask: Callable[[RedisConnection, bool], Awaitable[Any]]) -> Any:
        slot, asking = key_slot(key.encode()), False
        node = self._node_of(slot)
        for _ in range(_TURNS):
            try:
                return await ask(node, asking)
            except Redirected as redirected:
                asking = redirected.asking
                node = await self._node_at((redirected.host or self._address_of(node)[0], redirected.port))
                if not asking:
                    self._rediscover()
            except StoreUnavailable as fault:
                if fault.reason != "tryagain":
                    # Whoever has the slots of a dead node now, the others know.
                    self._rediscover()
                    raise
                await asyncio.sleep(_PAUSE_S)
        raise StoreUnavailable("redirected_too_often")

    def _node_of(self, slot: int) -> RedisConnection:
        for first, last, address in self._owners:
            if first <= slot <= last:
                return self._nodes[address]
        self._rediscover()
        raise StoreUnavailable("no_node_has_the_slot")

    def _address_of(self, node: RedisConnection) -> Address:
        return next(address for address, each in self._nodes.items() if each is node)

    async def _node_at(self, address: Address) -> RedisConnection:
        node = self._nodes.get(address)
        if node is None:
            # Known to two callers at once, it is connected to once: it is named before it is opened.
            node = self._nodes[address] = RedisConnection(
                "", dial=dial_address(address, self._servers.options), **self._limits
            )
            node.on_reconnect = self._changed
            await node.open()
        return node

    def _changed(self) -> None:
        if self.on_reconnect is not None:
            self.on_reconnect()

    def _rediscover(self) -> None:
        if not self._closed and (self._discovering is None or self._discovering.done()):
            self._discovering = asyncio.get_running_loop().create_task(self._discover_soon(), name="redis-discovery")

    async def _discover_soon(self) -> None:
        await self._discover()
        await asyncio.sleep(_DISCOVERY_EVERY_S)

    async def _discover(self) -> None:
        """Asks one node after another who has which slots, until one answers."""
        for address in dict.fromkeys([*self._nodes, *self._servers.addresses]):
            node = await self._node_at(address)
            try:
                reply = await node.execute("CLUSTER", "SLOTS", key="", repeat=True)
            except StoreUnavailable:
                continue
            if not reply:  # a node that has not joined yet
                continue
            owners = sorted(
                (first, last, (_text(primary[0]) or address[0], primary[1])) for first, last, primary, *_ in reply
            )
            for _, _, owner in owners:
                await self._node_at(owner)
            if self._owners and owners != self._owners:
                self._changed()
            self._owners = owners
            await self._forget_others()
            return

    async def _forget_others(self) -> None:
        """Lets go of nodes that have no slots any more and are not named by the operator."""
        kept = {address for _, _, address in self._owners} | set(self._servers.addresses)
        for address in [address for address in self._nodes if address not in kept]:
            await self._nodes.pop(address).close()


def _text(host: bytes | None) -> str:
    return "" if host in {None, b"?"} else host.decode()
