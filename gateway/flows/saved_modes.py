"""What saved configurations say, asked of the service that keeps them and remembered for a minute.

Asked as the caller's own project, so nobody learns of others' configurations. An answer is never waited for long: a
configuration that cannot be read is one that tells no mode, and what that costs is the price list's decision. What
passes through another process, or not through the gateway at all, is seen when the minute is over.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog

from gateway.domain.instant import epoch_ms
from gateway.flows.authenticate import Caller
from gateway.flows.job_documents import Followed
from gateway.flows.remembered import OnceForAll, Remembered
from gateway.upstream.answer import HeaderLines
from gateway.upstream.faults import UpstreamFault
from gateway.wire.saved_configuration import NO_MODES, LookUp, Modes, read_modes

REMEMBERED: Final = 4_096
MAX_AGE_MS: Final = 60_000
# Soon asked again, but not by every call of a flood.
NOT_TOLD_FOR_MS: Final = 5_000
WITHIN_S: Final = 2.0
REPLY_BYTES: Final = 262_144
# Calls that are not admitted yet ask these, so one account must not keep the service busy with made-up names.
AT_ONCE_PER_ACCOUNT: Final = 8
AT_ONCE: Final = 64
_OK: Final = 200

_Key = tuple[str, str, LookUp]

log = structlog.get_logger()


class SavedModes:
    """The saved configurations that this process has asked for. For any number of tasks of one event loop.

    `upstreams` are those that keep accounts apart; no other is asked.
    """

    def __init__(self, upstreams: Mapping[str, Followed], clock: Callable[[], datetime]) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._told: Remembered[_Key, Modes] = Remembered(REMEMBERED, max_age_ms=MAX_AGE_MS)
        # Apart, so that made-up names cannot push out the real ones.
        self._not_told: Remembered[_Key, Modes] = Remembered(REMEMBERED, max_age_ms=NOT_TOLD_FOR_MS)
        self._reads: OnceForAll[_Key, Modes] = OnceForAll()
        self._asking: Counter[str] = Counter()
        self._generation = 0

    async def find(self, caller: Caller, wanted: LookUp, *, request_id: str) -> Modes:
        """The modes that a configuration of the caller's tells; none where it is not there or nobody answers."""
        key = (caller.account_id, caller.project_id, wanted)
        now_ms = epoch_ms(self._clock())
        for memory in (self._told, self._not_told):
            if (known := memory.fresh(key, now_ms)) is not None:
                return known
        return await self._reads.ask(key, lambda: self._read(key, request_id))

    def forget(self, account_id: str, path: str) -> None:
        """The account has, or may have, changed the configuration at this path: what is being read may be older."""
        self._generation += 1
        self._reads.begin_anew()
        for memory in (self._told, self._not_told):
            memory.drop(lambda key: key[0] == account_id and key[2].target.partition("?")[0] == path)

    async def _read(self, key: _Key, request_id: str) -> Modes:
        account_id = key[0]
        if self._asking[account_id] >= AT_ONCE_PER_ACCOUNT or self._asking.total() >= AT_ONCE:
            log.warning("too many saved configurations asked for at once", account_id=account_id)
            return NO_MODES
        generation, now_ms = self._generation, epoch_ms(self._clock())
        self._asking[account_id] += 1
        try:
            async with asyncio.timeout(WITHIN_S):
                modes = await self._ask(key, request_id)
        except (UpstreamFault, TimeoutError) as fault:
            log.warning("a saved configuration could not be read", request_id=request_id, why=repr(fault))
            modes = NO_MODES
        finally:
            self._asking[account_id] -= 1
            if not self._asking[account_id]:
                del self._asking[account_id]
        if generation == self._generation:
            (self._told if modes else self._not_told).keep(key, modes, now_ms)
        return modes

    async def _ask(self, key: _Key, request_id: str) -> Modes:
        account_id, project_id, wanted = key
        asked = self._upstreams.get(wanted.upstream)
        if asked is None:
            return NO_MODES
        headers: HeaderLines = [
            (b"accept", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"x-account-id", account_id.encode()),
            (b"x-project-id", project_id.encode()),
            (b"x-request-id", request_id.encode()),
        ]
        if asked.credential is not None:
            headers.append(asked.credential)
        answer = await asked.upstream.send(b"GET", wanted.target.encode(), headers, None)
        try:
            body = bytearray()
            while chunk := await answer.read():
                body += chunk
                if len(body) > REPLY_BYTES:
                    return NO_MODES
        finally:
            await answer.close()
        return read_modes(bytes(body), wanted) if answer.status == _OK else NO_MODES
