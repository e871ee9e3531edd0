"""An invoice as PDF/A-3, its document attached byte for byte, so that the file itself can be verified.

The same invoice makes the same bytes. Draws what the document says; a draft, which says something else tomorrow, is
for its caller to refuse.
"""

import asyncio
from functools import cache
from pathlib import Path
from typing import Final

import typst

_TEMPLATE: Final = Path(__file__).with_name("invoice.typ")
ATTACHED_AS: Final = "invoice.json"


async def invoice_pdf(frozen: str, content_hash: str) -> bytes:
    """The PDF of an issued invoice's document; drawn in a thread, in tens of milliseconds."""
    return await asyncio.to_thread(_drawn, frozen, content_hash)


def _drawn(frozen: str, content_hash: str) -> bytes:
    inputs = {"document": frozen, "hash": content_hash, "attached_as": ATTACHED_AS}
    # No package is ever fetched: the template imports none, and the fonts are the ones inside the library.
    drawn = typst.compile(
        _template(), sys_inputs=inputs, format="pdf", pdf_standards=["a-3b"], ignore_system_fonts=True
    )
    if not isinstance(drawn, bytes):
        raise TypeError(f"one PDF was expected, not {type(drawn).__name__}")
    return drawn


@cache
def _template() -> bytes:
    return _TEMPLATE.read_bytes()
