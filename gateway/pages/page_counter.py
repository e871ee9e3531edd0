"""Counts the pages of PDFs in a child process, one at a time, each within a time limit.

The child reads strangers' files with native code: it is told nothing that it does not need, no secret of the
environment above all, and what it answers is believed only as far as a document could be so.

Does not read the PDF itself; a document that crashes or outlasts the child costs a new child, nothing else. What
cannot be counted (an encrypted or broken file, one that takes too long) is an answer, never an error.
"""

import asyncio
import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

_SCRIPT: Final = Path(__file__).with_name("count_pages.py")
_ANSWER_LIMIT_BYTES: Final = 1 << 20
_READ_BYTES: Final = 65_536
# What PDFium may have failed to free goes with the child.
_DOCUMENTS_PER_CHILD: Final = 1_000
_MOST_PAGES: Final = 10_000_000
# All that the child sees of the environment: where the system finds Python's own libraries.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found in a PDF: its pages, 0 where it cannot be read, and the beginnings of those to be quoted."""

    pages: int
    texts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    socket: socket.socket
    documents: int = 0


class PageCounter:
    """One child, started when the first PDF arrives; `close` ends it. Callers queue up within their time."""

    def __init__(self, *, quoted_pages: int = 0) -> None:
        self._quoted_pages = quoted_pages
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    async def count(self, descriptor: int, *, start: int = 0, length: int, within_s: float) -> Counted | None:
        """The pages of the PDF in `length` bytes from `start` of an open file, whose position is left alone.

        None where the time was not enough, waiting for others included.
        """
        try:
            async with asyncio.timeout(within_s), self._turn:
                answer = await self._asked(descriptor, b"%d %d %d" % (start, length, self._quoted_pages))
        except TimeoutError:
            return None
        return _counted(answer)

    async def close(self) -> None:
        """End the child; a later count starts a new one."""
        async with self._turn:
            await self._end()

    async def _asked(self, descriptor: int, question: bytes) -> object:
        """The child's answer, None where it died of the document, or talks nonsense since."""
        try:
            child = self._child or await self._start()
            socket.send_fds(child.socket, [question], [descriptor])
            line = await _line(child.socket)
        except OSError:
            line = b""
        except BaseException:
            await self._end()  # an answer nobody waits for must not be taken for the next one's
            raise
        answer: object = None
        with contextlib.suppress(ValueError):
            answer = orjson.loads(line)
        if self._child is not None:
            self._child.documents += 1
            if answer is None or self._child.documents >= _DOCUMENTS_PER_CHILD:
                await self._end()
        return answer

    async def _start(self) -> _Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        try:
            # Its own session: a Ctrl-C at the terminal is for the parent, which then closes the socket.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_SCRIPT),
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._child = _Child(process, ours)
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.socket.close()
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()
        await child.process.wait()


def _counted(answer: object) -> Counted:
    match answer:
        case {"pages": int() as pages, "texts": list() as texts} if 0 <= pages <= _MOST_PAGES:
            return Counted(pages, tuple(map(str, texts)))
        case _:
            return Counted(pages=0)


async def _line(answers: socket.socket) -> bytes:
    """One line; empty where the other side is gone or says too much."""
    loop, line = asyncio.get_running_loop(), bytearray()
    while not line.endswith(b"\n"):
        part = await loop.sock_recv(answers, _READ_BYTES)
        line += part
        if not part or len(line) > _ANSWER_LIMIT_BYTES:
            return b""
    return bytes(line)
