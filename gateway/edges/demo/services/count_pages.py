"""Child process: reads one file path a line, answers one JSON line with the PDF's page count and its first lines.

Runs apart because PDFium is native code reading strangers' files: what crashes or hangs here takes nothing down with
it. Ends when its standard input ends, so it cannot outlive its parent.
"""

import contextlib
import json
import resource
import sys

import pypdfium2

_MEMORY_LIMIT_BYTES = 1 << 30
_QUOTED_PAGES = 4
_QUOTED_CHARACTERS = 500


def _read(path: str) -> dict[str, object]:
    document = pypdfium2.PdfDocument(path)
    try:
        pages = len(document)
        texts = []
        for index in range(min(pages, _QUOTED_PAGES)):
            text_page = document[index].get_textpage()
            texts.append(text_page.get_text_range()[:_QUOTED_CHARACTERS])
            text_page.close()
    finally:
        document.close()
    return {"pages": pages, "texts": texts}


def main() -> None:
    """Answer until the parent closes the pipe."""
    with contextlib.suppress(ValueError, OSError):  # macOS refuses this limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    for line in sys.stdin:
        try:
            answer = _read(line.rstrip("\n"))
        except (pypdfium2.PdfiumError, OSError, MemoryError, ValueError) as fault:
            answer = {"error": str(fault)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
