"""Child process: is handed files over a socket, answers one JSON line each with the PDF's page count and first lines.

Runs apart because PDFium is native code reading strangers' files: what crashes or hangs here takes nothing down with
it. Ends when its socket ends, so it cannot outlive its parent. Imports nothing of the gateway, so that it starts soon.
"""

import contextlib
import io
import json
import os
import resource
import socket
import sys

import pypdfium2

_MEMORY_LIMIT_BYTES = 1 << 30
_QUOTED_CHARACTERS = 500
_ASKED_BYTES = 256


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own; the descriptor's own position is left alone."""

    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self._descriptor, self._start, self._length, self._at = descriptor, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Buffer came with 3.12
        wanted = max(0, min(len(buffer), self._length - self._at))
        found = os.pread(self._descriptor, wanted, self._start + self._at)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _read(window: _Window, quoted_pages: int) -> dict[str, object]:
    document = pypdfium2.PdfDocument(window)
    try:
        pages = len(document)
        texts = []
        for index in range(min(pages, quoted_pages)):
            text_page = document[index].get_textpage()
            texts.append(text_page.get_text_range()[:_QUOTED_CHARACTERS])
            text_page.close()
    finally:
        document.close()
    return {"pages": pages, "texts": texts}


def _answer(descriptor: int, start: int, length: int, quoted_pages: int) -> dict[str, object]:
    try:
        return _read(_Window(descriptor, start, length), quoted_pages)
    except (pypdfium2.PdfiumError, OSError, MemoryError, ValueError) as fault:
        return {"error": str(fault)}


def main() -> None:
    """Answer until the parent closes the socket, whose number is the first argument."""
    with contextlib.suppress(ValueError, OSError):  # macOS refuses this limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        parent.setblocking(True)  # noqa: FBT003 - the socket module's own signature
        while True:
            asked, descriptors, _, _ = socket.recv_fds(parent, _ASKED_BYTES, 1)
            if not descriptors:
                return
            try:
                answer = _answer(descriptors[0], *map(int, asked.split()))
            finally:
                os.close(descriptors[0])
            parent.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
