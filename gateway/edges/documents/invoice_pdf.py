"""An invoice as PDF/A-3, its document attached byte for byte, so that the file itself can be verified.

The same invoice makes the same bytes. Where names need letters that the library's fonts lack, the machine's own are
asked as well; letters that no font has are marked on paper, and whole in what is attached. A draft, which says
something else tomorrow, is for its caller to refuse.
"""

import asyncio
import re
from functools import cache
from pathlib import Path
from typing import Final, Literal

import typst

_TEMPLATE: Final = Path(__file__).with_name("invoice.typ")
ATTACHED_AS: Final = "invoice.json"
MARK: Final = "\N{REPLACEMENT CHARACTER}"
# PDF/A holds no letter that its fonts cannot show: each is a complaint of its own.
_CANNOT_SHOW: Final = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPED: Final = re.compile(r"\\u\{([0-9a-f]{1,6})\}")


async def invoice_pdf(frozen: str, content_hash: str) -> bytes:
    """The PDF of an issued invoice's document; drawn in a thread, in tens of milliseconds."""
    return await asyncio.to_thread(_drawn, frozen, content_hash)


def _drawn(frozen: str, content_hash: str) -> bytes:
    inputs = {"document": frozen, "shown": frozen, "hash": content_hash, "attached_as": ATTACHED_AS}
    try:
        return _compiled(inputs, own_fonts_only=True, standard="a-3b")
    except typst.TypstError as lacking:
        if _CANNOT_SHOW.search(str(lacking.diagnostic)) is None:
            raise
    try:
        return _compiled(inputs, own_fonts_only=False, standard="a-3b")
    except typst.TypstError as lacking:
        inputs["shown"] = _marked(frozen, str(lacking.diagnostic))
    try:
        return _compiled(inputs, own_fonts_only=False, standard="a-3b")
    except typst.TypstError:
        # An invoice that cannot be archived so is still one that its buyer must have.
        return _compiled(inputs, own_fonts_only=False, standard="1.7")


def _compiled(inputs: dict[str, str], *, own_fonts_only: bool, standard: Literal["a-3b", "1.7"]) -> bytes:
    # No package is ever fetched: the template imports none.
    drawn = typst.compile(
        _template(), sys_inputs=inputs, format="pdf", pdf_standards=[standard], ignore_system_fonts=own_fonts_only
    )
    if not isinstance(drawn, bytes):
        raise TypeError(f"one PDF was expected, not {type(drawn).__name__}")
    return drawn


def _marked(frozen: str, diagnostic: str) -> str:
    """The document with each letter marked that no font has. What is ASCII stays: it holds the JSON together."""
    lacking = "".join(_CANNOT_SHOW.findall(diagnostic))
    letters = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), lacking)
    return frozen.translate({ord(letter): MARK for letter in letters if not letter.isascii()})


@cache
def _template() -> bytes:
    return _TEMPLATE.read_bytes()
