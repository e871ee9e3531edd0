"""Documents: taking one in as it streams, and what little is kept of it.

A PDF of up to 50 MB is spooled to a temporary file until its pages are counted; anything else passes by and only its
length and first lines stay. Does not read multipart (uploads.py) nor PDFs (gateway.pages).
"""

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Final

from gateway.edges.demo.services.shelf import Owner
from gateway.pages.page_counter import Counted, PageCounter

MAX_COUNTED_BYTES: Final = 50 * 1024 * 1024
_HEAD_BYTES: Final = 64 * 1024
_FLUSH_BYTES: Final = 1024 * 1024
_BYTES_PER_TEXT_PAGE: Final = 600 * 4  # 600 tokens, by the usual four bytes each
QUOTED_PAGES: Final = 4
_COUNT_WITHIN_S: Final = 5.0
_QUOTED_CHARACTERS: Final = 500
_TEXT_SUFFIXES: Final = frozenset({".txt", ".md", ".csv", ".tsv", ".html", ".htm", ".json", ".xml", ".yaml", ".rst"})
_FAIL_IN_CONTENT: Final = b"FAIL THIS JOB"


@dataclass(frozen=True, slots=True)
class Document:
    """What is known of a file. `pages` is 0 where it cannot be read."""

    id: str
    owner: Owner
    name: str
    created_at: datetime
    size_bytes: int
    pages: int
    texts: tuple[str, ...]  # the first lines of the first pages
    fails: bool  # made to fail by its name or its words, or broken
    fingerprint: str  # of the head and the length: enough to tell made-up documents apart
    purpose: str = "parse"
    external_file_id: str | None = None

    def text_of(self, page: int) -> str:
        """A page's text, 1-based; made up past the quoted ones."""
        return self.texts[page - 1] if page <= len(self.texts) else f"Page {page} of {self.name}"

    def filed_as(self, *, purpose: str, external_file_id: str | None) -> "Document":
        """The same document as the files service keeps it."""
        return replace(self, purpose=purpose, external_file_id=external_file_id)


def named_to_fail(name: str) -> bool:
    """A document whose name says so makes its jobs fail."""
    return "fail" in name.lower()


class Intake:
    """Takes in one file. `feed` is for a parser's callbacks, `flush` between them, then `finish`; always `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size_bytes = 0
        self._head = bytearray()
        self._waiting = bytearray()
        self._spool: IO[bytes] | None = None

    def feed(self, data: bytes) -> None:
        """Keep what will be needed; what is too long, or no PDF, is only measured."""
        self.size_bytes += len(data)
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        if self._is_pdf and self.size_bytes <= MAX_COUNTED_BYTES:
            self._waiting += data

    async def flush(self, *, everything: bool = False) -> None:
        """Write to the temporary file what has gathered, off the event loop."""
        if len(self._waiting) < _FLUSH_BYTES and not everything:
            return
        data, self._waiting = self._waiting, bytearray()
        await asyncio.to_thread(self._write, data)

    async def finish(self, owner: Owner, document_id: str, now: datetime, counter: PageCounter) -> Document:
        """Count the pages and make the document."""
        counted = await self._count(counter)
        head = bytes(self._head)
        return Document(
            id=document_id,
            owner=owner,
            name=self.name,
            created_at=now,
            size_bytes=self.size_bytes,
            pages=counted.pages,
            texts=counted.texts,
            fails=counted.pages == 0 or named_to_fail(self.name) or _FAIL_IN_CONTENT in head,
            fingerprint=f"{hashlib.sha256(head).hexdigest()}.{self.size_bytes}",
        )

    def close(self) -> None:
        """Delete the temporary file."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    @property
    def _is_pdf(self) -> bool:
        return self._head.startswith(b"%PDF-")

    async def _count(self, counter: PageCounter) -> Counted:
        if self._is_pdf:
            if self.size_bytes > MAX_COUNTED_BYTES:
                return Counted(pages=1)
            await self.flush(everything=True)
            if self._spool is None:
                return Counted(pages=0)
            descriptor = self._spool.fileno()
            counted = await counter.count(descriptor, length=self.size_bytes, within_s=_COUNT_WITHIN_S)
            return Counted(pages=1) if counted is None else counted
        if PurePosixPath(self.name.lower()).suffix in _TEXT_SUFFIXES:
            return Counted(max(1, -(-self.size_bytes // _BYTES_PER_TEXT_PAGE)), _text_pages(bytes(self._head)))
        return Counted(pages=1)

    def _write(self, data: bytearray) -> None:
        if self._spool is None:
            self._spool = tempfile.NamedTemporaryFile(prefix="demo-upload-", suffix=".pdf")  # noqa: SIM115 - close()
        self._spool.write(data)
        self._spool.flush()


def _text_pages(head: bytes) -> tuple[str, ...]:
    starts = range(0, min(len(head), QUOTED_PAGES * _BYTES_PER_TEXT_PAGE), _BYTES_PER_TEXT_PAGE)
    return tuple(head[start : start + _QUOTED_CHARACTERS].decode(errors="replace") for start in starts)
