"""Which pages of a document a job is about. Pure."""

from collections.abc import Sequence


class BadRange(ValueError):
    """A page list that says nothing readable."""


def selected(total: int, target_pages: str | None, max_pages: int | None, *, first: int = 1) -> Sequence[int]:
    """1-based page numbers in order. `target_pages` ("1,3,5-8", counted from `first`) wins over `max_pages`.

    Pages beyond the document are left out. Raises BadRange.
    """
    if target_pages is None or not target_pages.strip():
        return range(1, (total if max_pages is None else min(total, max_pages)) + 1)
    chosen: set[int] = set()
    for piece in target_pages.split(","):
        low_text, dash, high_text = piece.strip().partition("-")
        if not (low_text.isascii() and low_text.isdigit()) or (
            dash and not (high_text.isascii() and high_text.isdigit())
        ):
            raise BadRange(f"not a page or range of pages: {piece.strip()!r}")
        low = int(low_text) - first + 1
        high = int(high_text) - first + 1 if dash else low
        if low < 1 or high < low:
            raise BadRange(f"not a page or range of pages: {piece.strip()!r}")
        chosen.update(range(low, min(high, total) + 1))
    return sorted(chosen)
