"""Rows as CSV (RFC 4180) for spreadsheets, none of which takes a name that somebody chose for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

# What spreadsheets evaluate, also as East Asian keyboards write it, in full width; numbers stay numbers.
_EVALUATED: Final = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def sheet(rows: Iterable[Sequence[object]]) -> str:
    """The rows as text, with the line ends of RFC 4180."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def harmless(cell: object) -> object:
    """A cell that is shown as it is: what would be evaluated gets the mark of text in front."""
    if isinstance(cell, str) and _EVALUATED.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
