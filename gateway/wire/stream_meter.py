"""Meters for answers that are paid for while they pass: told each chunk, they give it back in pieces with their units.

A piece is passed on as a whole or not at all, so a stream can end between two of them. Of server-sent events a piece is
a whole event: the bytes are the upstream's own, in order, and the beginning of an event waits for its end. No I/O, and
memory is bounded: what is too long to be an event passes by uncounted, and is told in `unread`.
"""

import re
from typing import Final, NamedTuple, Protocol

import orjson

from gateway.domain.credits import MAX_MILLICREDITS
from gateway.wire import json_pointer
from gateway.wire.headers import Headers
from gateway.wire.route import StreamUnits

MAX_EVENT_BYTES: Final = 262_144
MAX_UNITS_EACH: Final = 1_000_000
# Two line ends in a row, each of the three that the event stream format knows. One that is cut between the bytes of its
# second is found at once; the rest of it begins the next piece, as an empty line, which means nothing there.
_BLANK: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINES: Final = re.compile(rb"\r\n|\n|\r")
_LONGEST_BLANK: Final = 4
_EVENT_STREAM: Final = b"text/event-stream"


class Piece(NamedTuple):
    """Bytes to be passed on, and the units that passing them delivers."""

    data: bytes
    units: int


class StreamMeter(Protocol):
    """Shown one answer's body. `unread` counts what looked like something to count and could not be read."""

    unread: int

    def feed(self, chunk: bytes) -> list[Piece]:
        """The next bytes: what of them, and of those kept before, can be passed on now."""

    def finish(self) -> Piece:
        """The body has ended: what was kept."""


def stream_meter(units: StreamUnits, headers: Headers) -> StreamMeter | None:
    """The meter for an answer with these headers; None where it is none that can be counted in this way."""
    codings = [value.strip().lower() for name, value in headers if name.lower() == b"content-encoding"]
    if units.bytes_each is not None:
        return ByteMeter(units.bytes_each)
    if any(coding != b"identity" for coding in codings) or not is_event_stream(headers):
        return None
    return EventMeter(units)


def is_event_stream(headers: Headers) -> bool:
    """Whether the answer is a stream of server-sent events."""
    kinds = [value for name, value in headers if name.lower() == b"content-type"]
    return len(kinds) == 1 and kinds[0].partition(b";")[0].strip().lower() == _EVENT_STREAM


class ByteMeter:
    """Counts units of so many bytes, each from its first byte on."""

    def __init__(self, bytes_each: int) -> None:
        self.unread = 0
        self._bytes_each = bytes_each
        self._seen = 0

    def feed(self, chunk: bytes) -> list[Piece]:
        """See StreamMeter: each piece ends with a unit, or with the chunk."""
        pieces: list[Piece] = []
        at = 0
        while at < len(chunk):
            paid = -self._seen % self._bytes_each
            piece = chunk[at : at + (paid or self._bytes_each)]
            pieces.append(Piece(piece, 0 if paid else 1))
            self._seen += len(piece)
            at += len(piece)
        return pieces

    def finish(self) -> Piece:
        """See StreamMeter: nothing is kept."""
        return Piece(b"", 0)


class EventMeter:
    """Counts server-sent events, or the numbers in them."""

    def __init__(self, units: StreamUnits, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.unread = 0
        self._units = units
        self._max_event_bytes = max_event_bytes
        self._kept = bytearray()
        self._looked_at = 0
        self._too_long = False
        self._total = 0

    def feed(self, chunk: bytes) -> list[Piece]:
        """See StreamMeter: each piece ends with an event."""
        kept, pieces, start = self._kept, list[Piece](), 0
        kept += chunk
        at = max(0, self._looked_at - _LONGEST_BLANK + 1)
        while (found := _BLANK.search(kept, at)) is not None:
            at = found.end()
            event = bytes(kept[start:at])
            pieces.append(Piece(event, self._count(event)))
            start = at
        del kept[:start]
        self._looked_at = len(kept)
        if len(kept) > self._max_event_bytes:
            self._too_long = True
            pieces.append(Piece(bytes(kept[:-_LONGEST_BLANK]), 0))
            del kept[:-_LONGEST_BLANK]
            self._looked_at = 0
        return pieces

    def finish(self) -> Piece:
        """See StreamMeter: an event without its blank line is none, whoever reads it."""
        kept, self._kept = bytes(self._kept), bytearray()
        return Piece(kept, 0)

    def _count(self, event: bytes) -> int:
        if self._too_long:
            self._too_long = False
            self.unread += 1
            return 1 if self._units.events else 0
        data = _data(event)
        if data is None:
            return 0
        if self._units.events:
            return 1
        return self._told(data)

    def _told(self, data: bytes) -> int:
        """The units that the JSON of an event tells; 0 where it says nothing of them."""
        try:
            document: object = orjson.loads(data)
        except orjson.JSONDecodeError:
            return 0  # some streams end with a word
        found = json_pointer.find(document, self._units.pointer or (), most=1)
        if isinstance(found, json_pointer.Misfit) or not found or found[0] is None:
            return 0
        number = found[0]
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_MILLICREDITS:
            self.unread += 1
            return 0
        if not self._units.running_total:
            return min(number, MAX_UNITS_EACH)
        more = min(max(0, number - self._total), MAX_UNITS_EACH)
        self._total += more
        return more


def _data(event: bytes) -> bytes | None:
    """The data of one event, None where it has none: a comment, or a field alone."""
    lines = [line for line in _LINES.split(event) if line == b"data" or line.startswith(b"data:")]
    if not lines:
        return None
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
