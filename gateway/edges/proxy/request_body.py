"""The caller's body: bounded, read as far as pricing needs it, then passed on from the first byte.

Does not know what is in it. What has been read ahead is kept in memory up to a bound and beyond that in a file of the
gateway's spool, so that a field behind a large file can be read without holding the file in memory.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from gateway.edges.proxy.asgi import Message, Receive

READ_AHEAD_BYTES: Final = 1_048_576
# Of JSON bodies beyond the first mebibyte of each, all calls of a process together.
WHOLE_BODIES_BYTES: Final = 268_435_456
REPLAY_BYTES: Final = 262_144


class CallerGone(Exception):
    """The caller left before its request was complete; nothing may be made of the part that came."""


class BodyTooLarge(Exception):
    """The body is larger than its route allows."""


class SpoolFull(Exception):
    """Too many large uploads are being read ahead at this moment."""


class Budget:
    """Bytes that all calls of a process share."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Reserves space. SpoolFull where there is none."""
        if size_bytes > self._free_bytes:
            raise SpoolFull
        self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Returns space that `take` reserved."""
        self._free_bytes += size_bytes


class Spool(Budget):
    """Disk space for bodies read ahead, and memory for those that must be whole, each bounded."""

    def __init__(self, directory: Path, max_bytes: int, *, memory_bytes: int = WHOLE_BODIES_BYTES) -> None:
        super().__init__(max_bytes)
        self.directory = directory
        self.memory = Budget(memory_bytes)

    def open(self) -> IO[bytes]:
        """A new unnamed file. Blocking: call it in a thread."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self.directory)


class RequestBody:
    """One request's body. Iterating gives what was read ahead, then the rest as it arrives."""

    # Defaults live on the class, so that a call only pays for what it sets.
    _ahead_bytes = 0
    _memory_bytes = 0
    _file: IO[bytes] | None = None
    _file_bytes = 0
    _reserved_bytes = 0
    _one_file = False

    def __init__(self, receive: Receive, *, max_bytes: int, spool: Spool, empty: bool) -> None:
        self._receive = receive
        self._spool = spool
        self._left_bytes = max_bytes
        self._ahead: list[bytes] = []
        self.ended = empty

    async def _next(self) -> bytes:
        """The next chunk from the caller, b"" at the end. CallerGone, BodyTooLarge."""
        while not self.ended:
            if chunk := self._taken(await self._receive()):
                return chunk
        return b""

    def _taken(self, message: Message) -> bytes:
        # A disconnect may be the first thing we are told: it is never the end of a body.
        if message["type"] != "http.request":
            raise CallerGone
        chunk: bytes = message.get("body", b"")
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise BodyTooLarge
        if not message.get("more_body", False):
            self.ended = True
        return chunk

    async def whole(self) -> bytes:
        """All of the body, in memory: what is beyond `READ_AHEAD_BYTES` from a budget of all calls. SpoolFull."""
        while not self.ended:
            chunk = self._taken(await self._receive())
            if self._ahead_bytes > READ_AHEAD_BYTES:
                self._spool.memory.take(len(chunk))
                self._memory_bytes += len(chunk)
            self._ahead.append(chunk)
            self._ahead_bytes += len(chunk)
        if len(self._ahead) > 1:
            self._ahead = [b"".join(self._ahead)]
        return self._ahead[0] if self._ahead else b""

    async def read_ahead(self) -> bytes:
        """The next chunk, kept to be passed on later; b"" at the end. SpoolFull besides."""
        chunk = await self._next()
        if not chunk:
            return b""
        if self._file is None and self._ahead_bytes + len(chunk) <= READ_AHEAD_BYTES:
            self._ahead.append(chunk)
            self._ahead_bytes += len(chunk)
            return chunk
        self._take(len(chunk))
        if self._file is None:
            self._file = await self._opened()
        await asyncio.to_thread(self._file.write, chunk)
        return chunk

    def reserve(self, size_bytes: int) -> bool:
        """Keeps space in the spool for what will be read ahead, all of it in one file; False where there is none."""
        try:
            self._spool.take(size_bytes)
        except SpoolFull:
            return False
        self._reserved_bytes, self._one_file = size_bytes, True
        return True

    def _take(self, size_bytes: int) -> None:
        reserved = min(self._reserved_bytes, size_bytes)
        self._spool.take(size_bytes - reserved)
        self._reserved_bytes -= reserved
        self._file_bytes += size_bytes

    async def ahead_in_file(self) -> int:
        """What has been read ahead as one open file, by its descriptor, at the body's own offsets.

        Only where space was reserved before anything was read.
        """
        if self._file is None:
            self._file = await self._opened()
        await asyncio.to_thread(self._file.flush)
        return self._file.fileno()

    async def _opened(self) -> IO[bytes]:
        """A new file of the spool; where space was reserved, with what was read so far in it."""
        file = await asyncio.to_thread(self._spool.open)
        if self._one_file:
            beginning, self._ahead = b"".join(self._ahead), []
            self._take(len(beginning))
            self._ahead_bytes = 0
            await asyncio.to_thread(file.write, beginning)
        return file

    @property
    def ahead_bytes(self) -> int:
        """How much has been read ahead and not been passed on yet."""
        return self._ahead_bytes + self._file_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Everything, once, in order. What was read ahead ends on a chunk's end."""
        ahead, self._ahead = self._ahead, []
        for chunk in ahead:
            yield chunk
        if self._file is not None:
            await asyncio.to_thread(self._file.seek, 0)
            while chunk := await asyncio.to_thread(self._file.read, REPLAY_BYTES):
                yield chunk
        while chunk := await self._next():
            yield chunk

    def close(self) -> None:
        """Gives the spool's space back; closing an unnamed file frees it at once."""
        if self._memory_bytes:
            self._spool.memory.give_back(self._memory_bytes)
            self._memory_bytes = 0
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        self._spool.give_back(self._file_bytes + self._reserved_bytes)
        self._file_bytes = self._reserved_bytes = 0
