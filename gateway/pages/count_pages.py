"""Child process: is handed files over a socket, answers one JSON line each with the PDF's page count and first lines.

Runs apart because PDFium is native code reading strangers' files: what crashes or hangs here takes nothing down with
it. Ends when its socket ends, so it cannot outlive its parent. Imports nothing of the gateway, so that it starts soon.
"""

import contextlib
import ctypes
import json
import mmap
import os
import resource
import socket
import sys

import pypdfium2

_MEMORY_LIMIT_BYTES = 1 << 30
_QUOTED_CHARACTERS = 500
_ASKED_BYTES = 256


def _read(descriptor: int, start: int, length: int, quoted_pages: int) -> dict[str, object]:
    # The file as it lies in the system's cache: PDFium reads in small pieces, each of which would be a call of Python.
    # Private, since what ctypes may point into must be writable; both let go of it when they go themselves.
    mapped = mmap.mmap(descriptor, start + length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    document = pypdfium2.PdfDocument((ctypes.c_char * length).from_buffer(mapped, start))
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
        return _read(descriptor, start, length, quoted_pages)
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
