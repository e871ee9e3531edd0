"""Forms as they stream by: finds the few small fields that decide a price, never keeps a file.

Shown the body chunk by chunk, in any cut. Fields may come before or after the file. Whatever two form parsers could
read differently (a field sent twice, odd part headers, a missing boundary) is a fault, not a guess. The body itself
is forwarded by others, byte for byte.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from gateway.wire.unreadable import Unreadable

MAX_FIELD_BYTES: Final = 262_144
MAX_KEPT_BYTES: Final = 1_048_576
MAX_PARTS: Final = 1000
_MAX_BOUNDARY: Final = 70  # RFC 2046, 5.1.1

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'\s*;\s*({_WORD})\s*=\s*(?:({_WORD})|"((?:[^"\\]|\\.)*)")'.encode())
_VALUE: Final = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z/-]+)")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BODY: Final = ("body",)
_PDF: Final = b"%PDF-"


class FormReader(Protocol):
    """Shown a form's body. Go on feeding it to the end: a wanted field that comes twice is a fault until then."""

    fields: dict[str, str]
    fault: Unreadable | None
    ended: bool

    @property
    def known(self) -> bool:
        """All wanted fields are known, or nothing more will be learnt: the form has ended or is faulty."""

    def feed(self, chunk: bytes) -> None:
        """Show the next bytes. Never raises; see `fault`."""

    def finish(self) -> None:
        """The body has ended: a form that has not is a fault."""


@dataclass(slots=True)
class FilePart:
    """Where in the body a file stands, in bytes. `ended`: no more of it comes, or no more of it matters.

    `readable` where the file stands there as it is: it begins like a PDF and is in no transfer coding.
    """

    field: str
    max_bytes: int
    start: int = 0
    length: int = 0
    seen: bool = False
    readable: bool = False
    ended: bool = False


def form_reader(
    content_type: bytes | None, wanted: Collection[str], *, also: Collection[str] = (), file: FilePart | None = None
) -> FormReader | Unreadable:
    """The reader for a body of this Content-Type; Unreadable where it is no form.

    `wanted` are the fields that `known` waits for; `also` are kept where they come by, and not waited for. `file` is
    filled in; who wants it waits for its end.
    """
    kind, parameters = _header_value(content_type or b"")
    if parameters is None or parameters.get(b"charset", b"utf-8").lower() != b"utf-8":
        return Unreadable(("header", "content-type"), "the Content-Type cannot be read")
    if kind == b"application/x-www-form-urlencoded":
        return UrlencodedReader(wanted, also=also)
    if kind != b"multipart/form-data":
        return Unreadable(("header", "content-type"), "this route takes multipart/form-data")
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or b"\\" in boundary:
        return Unreadable(("header", "content-type"), "the multipart boundary is missing or malformed")
    return MultipartReader(boundary, wanted, also=also, file=file)


class _Refused(Exception):
    """Carries a fault out of the parser's callbacks."""

    def __init__(self, fault: Unreadable) -> None:
        super().__init__(fault.message)
        self.fault = fault


class MultipartReader:
    """A multipart/form-data body. Holds the wanted fields and at most one part's headers."""

    def __init__(
        self,
        boundary: bytes,
        wanted: Collection[str],
        *,
        also: Collection[str] = (),
        file: FilePart | None = None,
        max_field_bytes: int = MAX_FIELD_BYTES,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        max_parts: int = MAX_PARTS,
    ) -> None:
        self.fields: dict[str, str] = {}
        self.fault: Unreadable | None = None
        self.ended = False
        self._wanted = frozenset(wanted)
        self._kept = self._wanted | frozenset(also)
        self._max_field_bytes = max_field_bytes
        self._room = max_kept_bytes
        self._parts_left = max_parts
        self._begun = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._data = bytearray()
        self._file = file
        self._in_file = False
        self._chunk = b""
        self._before_bytes = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    @property
    def known(self) -> bool:
        """See FormReader."""
        return self.ended or self.fault is not None or self.fields.keys() >= self._wanted

    def feed(self, chunk: bytes) -> None:
        """See FormReader. What follows the last boundary is passed over, as form parsers do."""
        if self.fault is not None or not chunk:
            return
        if not self._begun:
            self._begun = True
            if not chunk.startswith(b"-"):
                self.fault = Unreadable(_BODY, "the form does not begin with its boundary")
                return
        self._chunk = chunk
        try:
            self._parser.write(chunk)
            self._before_bytes += len(chunk)
        except _Refused as refused:
            self.fault = refused.fault
        except FormParserError:
            self.fault = Unreadable(_BODY, "the form is malformed")

    def finish(self) -> None:
        """See FormReader."""
        if not self.ended and self.fault is None:
            self.fault = Unreadable(_BODY, "the form is cut short")

    def _part_begin(self) -> None:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise _Refused(Unreadable(_BODY, "the form has too many parts"))
        self._headers = {}
        self._field = None
        self._in_file = False

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        name = bytes(self._header_name).lower()
        if name in self._headers:
            raise _Refused(Unreadable(_BODY, "a part of the form has a header twice"))
        self._headers[name] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        kind, parameters = _header_value(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or parameters is None or b"name" not in parameters:
            raise _Refused(Unreadable(_BODY, "a part of the form has no readable name"))
        if b"\\" in parameters[b"name"] or b"name*" in parameters:
            raise _Refused(Unreadable(_BODY, "the name of a part can be read in more than one way"))
        name = parameters[b"name"].decode("utf-8", "replace")
        coding = self._headers.get(b"content-transfer-encoding", b"8bit").strip().lower()
        if self._file is not None and name == self._file.field:
            self._file_begins(self._file, plain=coding in {b"7bit", b"8bit", b"binary"})
            return
        if name not in self._kept:
            return
        if b"filename" in parameters or b"filename*" in parameters or coding not in {b"7bit", b"8bit", b"binary"}:
            raise _Refused(Unreadable((*_BODY, name), "must be a plain form field"))
        if name in self.fields:
            raise _Refused(Unreadable((*_BODY, name), "was sent more than once"))
        self._field = name

    def _file_begins(self, file: FilePart, *, plain: bool) -> None:
        if file.seen:
            raise _Refused(Unreadable((*_BODY, file.field), "was sent more than once"))
        file.seen, file.readable, file.ended = True, plain, not plain
        self._in_file = plain

    def _file_data(self, file: FilePart, data: bytes, start: int, end: int) -> None:
        if file.length == 0:
            # What looked like the beginning of a boundary comes from elsewhere; no PDF begins like one.
            file.start = self._before_bytes + start
            file.readable = data is self._chunk and data.startswith(_PDF[: end - start], start)
        file.length += end - start
        if not file.readable or file.length > file.max_bytes:
            file.readable = self._in_file = False
            file.ended = True

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file and self._file is not None:
            self._file_data(self._file, data, start, end)
        if self._field is None:
            return
        self._room -= end - start
        if self._room < 0 or len(self._data) + end - start > self._max_field_bytes:
            raise _Refused(Unreadable((*_BODY, self._field), "is too long"))
        self._data += data[start:end]

    def _part_end(self) -> None:
        if self._in_file and self._file is not None:
            self._file.ended = True
            self._in_file = False
        if self._field is None:
            return
        self.fields[self._field] = _text(bytes(self._data), self._field)
        self._data.clear()
        self._field = None

    def _end(self) -> None:
        self.ended = True


class UrlencodedReader:
    """An application/x-www-form-urlencoded body: it holds no file, so it is kept whole, up to a bound."""

    def __init__(self, wanted: Collection[str], *, also: Collection[str] = (), max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.fields: dict[str, str] = {}
        self.fault: Unreadable | None = None
        self.ended = False
        self._kept = frozenset(wanted) | frozenset(also)
        self._max_bytes = max_bytes
        self._data = bytearray()

    @property
    def known(self) -> bool:
        """Only at the end: the last pair may still repeat the first."""
        return self.ended or self.fault is not None

    def feed(self, chunk: bytes) -> None:
        """See FormReader."""
        if self.fault is None:
            if len(self._data) + len(chunk) > self._max_bytes:
                self.fault = Unreadable(_BODY, "the form is too long")
                self._data.clear()
                return
            self._data += chunk

    def finish(self) -> None:
        """See FormReader."""
        if self.fault is not None or self.ended:
            return
        self.ended = True
        found = pairs(bytes(self._data), self._kept, place="body")
        self._data.clear()
        if isinstance(found, Unreadable):
            self.fault = found
            return
        for name, values in found.items():
            if len(values) > 1:
                self.fault = Unreadable((*_BODY, name), "was sent more than once")
                return
            self.fields[name] = values[0]


def pairs(text: bytes, names: Collection[str], *, place: str) -> Mapping[str, list[str]] | Unreadable:
    """The values of the named `name=value` pairs of a query or an urlencoded form, in order.

    Only `&` separates. Where a reader that also splits at `;` would see another value, or a value's percent-encoding
    or UTF-8 is broken, the text is Unreadable (Go's QueryParameterSmuggling cases).
    """
    found: dict[str, list[str]] = {}
    for piece in text.split(b"&"):
        raw_name, _, raw_value = piece.partition(b"=")
        name = _unquoted(raw_name)
        if name is not None and name in names:
            if b";" in raw_value or _BAD_PERCENT.search(raw_value):
                return Unreadable((place, name), "can be read in more than one way")
            value = _unquoted(raw_value)
            if value is None:
                return Unreadable((place, name), "is not valid UTF-8")
            found.setdefault(name, []).append(value)
        elif b";" in piece and (hidden := _hidden(piece, names)):
            return Unreadable((place, hidden), "can be read in more than one way")
    return found


def _hidden(piece: bytes, names: Collection[str]) -> str | None:
    """The wanted name that a reader which splits at `;` would find inside this pair."""
    for part in piece.split(b";"):
        name = _unquoted(part.partition(b"=")[0])
        if name is not None and name in names:
            return name
    return None


def _unquoted(raw: bytes) -> str | None:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _Refused(Unreadable((*_BODY, name), "is not valid UTF-8")) from None


def _header_value(value: bytes) -> tuple[bytes, dict[bytes, bytes] | None]:
    """A header value and its parameters (RFC 9110, 5.6.6); None for parameters that are malformed or come twice."""
    head = _VALUE.match(value)
    if head is None:
        return b"", None
    at = head.end()
    parameters: dict[bytes, bytes] = {}
    while found := _PARAMETER.match(value, at):
        name = found.group(1).lower()
        if name in parameters:
            return head.group(1).lower(), None
        parameters[name] = found.group(2) or found.group(3) or b""
        at = found.end()
    return head.group(1).lower(), None if value[at:].strip(b" \t;") else parameters
