"""What an upstream says of a job when it is asked: a document, that there is no such thing, or something unreadable.

Deliberately knows no job kinds: which path is asked, and what a document means, is the follower's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.domain.usage import CallFacts
from gateway.upstream.answer import HeaderLines, Upstream, UpstreamAnswer
from gateway.upstream.faults import UpstreamFault
from gateway.wire.job_reply import fill

# A job's own reply may hold all its pages. The larger ones are read few at a time, so that memory is bounded.
REPLY_BYTES: Final = 67_108_864
LARGE_BYTES: Final = 4_194_304
LARGE_AT_ONCE: Final = 2
# Above this a document is parsed in a thread.
PARSED_HERE_BYTES: Final = 262_144
_GONE: Final = frozenset({404, 410})
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Gone:
    """The upstream knows no such thing (any more)."""

    status: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The upstream answered 200 with no JSON of a reasonable size. Nothing follows from it, least of all free."""


@dataclass(frozen=True, slots=True)
class Followed:
    """An upstream as the follower asks it."""

    upstream: Upstream
    credential: tuple[bytes, bytes] | None


class JobDocuments:
    """Asks upstreams about jobs, as the accounts that own them."""

    def __init__(self, upstreams: Mapping[str, Followed]) -> None:
        self._upstreams = upstreams
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def get(self, upstream: str, facts: CallFacts, path: str, job_id: str) -> "object | Gone | Unreadable":
        """The document at a path of the configuration. UpstreamFault for any other status than 200, 404 and 410."""
        followed = self._upstreams[upstream]
        headers: HeaderLines = [
            (b"accept", b"application/json"),
            (b"x-account-id", facts.account_id.encode()),
            (b"x-project-id", facts.project_id.encode()),
            (b"x-request-id", facts.request_id.encode()),
        ]
        if followed.credential is not None:
            headers.append(followed.credential)
        target = fill(path, job_id=job_id, account_id=facts.account_id).encode()
        answer = await followed.upstream.send(b"GET", target, headers, None)
        try:
            return await self._read(answer, path)
        finally:
            await answer.close()

    async def _read(self, answer: UpstreamAnswer, path: str) -> "object | Gone | Unreadable":
        body = bytearray()
        whole = await _read_up_to(LARGE_BYTES, answer, body)
        if answer.status in _GONE:
            return Gone(answer.status)
        if answer.status != _OK:
            raise UpstreamFault(f"{answer.status} for {path}")
        if whole:
            return await _parsed(body)
        async with self._large:
            return await _parsed(body) if await _read_up_to(REPLY_BYTES, answer, body) else Unreadable()


async def _read_up_to(most: int, answer: UpstreamAnswer, body: bytearray) -> bool:
    """Whether that was all."""
    while chunk := await answer.read():
        body += chunk
        if len(body) > most:
            return False
    return True


async def _parsed(body: bytearray) -> object:
    try:
        document: object = (
            orjson.loads(body) if len(body) <= PARSED_HERE_BYTES else await asyncio.to_thread(orjson.loads, body)
        )
    except orjson.JSONDecodeError:
        return Unreadable()
    return document
