"""Counts the pages of PDFs in a child process, one at a time, each within a time limit.

Does not read the PDF itself; a document that crashes or outlasts the child costs a new child, nothing else.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

_SCRIPT: Final = Path(__file__).with_name("count_pages.py")
_COUNT_TIMEOUT_S: Final = 5.0
_ANSWER_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found in a PDF; zero pages where it cannot be read."""

    pages: int
    texts: tuple[str, ...] = ()


class PageCounter:
    """One child, started when the first PDF arrives; `close` ends it. Callers queue up."""

    def __init__(self, timeout_s: float = _COUNT_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def count(self, path: str) -> Counted:
        """Pages of the PDF at `path`. One page where counting took too long, zero where it is not a readable PDF."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._ask(path)
            except TimeoutError:
                await self._end()
                return Counted(pages=1)
            except BaseException:
                await self._end()  # an answer nobody waits for must not be taken for the next one's
                raise
        if "error" in answer:
            return Counted(pages=0)
        return Counted(pages=int(answer["pages"]), texts=tuple(map(str, answer["texts"])))

    async def close(self) -> None:
        """End the child; a later count starts a new one."""
        async with self._turn:
            await self._end()

    async def _ask(self, path: str) -> dict[str, Any]:
        child = self._child or await self._start()
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("the page counter was started without pipes")
        child.stdin.write(path.encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # it died: the empty line below says so
            await child.stdin.drain()
        line = await child.stdout.readline()
        if not line:
            await self._end()
            return {"error": "the page counter died of it"}
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        # Its own session: a Ctrl-C at the terminal is for the parent, which then closes the pipe.
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_SCRIPT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=_ANSWER_LIMIT_BYTES,
        )
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()  # to the end of its pipes, so that no transport is left open
