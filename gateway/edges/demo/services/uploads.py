"""Reads a form, multipart as it streams in: fields are kept, within bounds, and the file goes to an Intake.

Memory stays flat however long the upload. Does not know what the fields mean; their order does not matter.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from gateway.edges.demo.services.documents import Intake
from gateway.edges.demo.services.replies import Refused, invalid

_MAX_FIELDS: Final = 200
_MAX_FIELD_BYTES: Final = 1024 * 1024
_MAX_HEADER_BYTES: Final = 16 * 1024


@dataclass(slots=True)
class Form:
    """What a form held. `intake` is None where it brought no file; whoever gets it closes it."""

    fields: dict[str, str] = field(default_factory=dict)
    intake: Intake | None = None


class _Reader:
    """The parser's callbacks. Only the first file counts; further ones pass by."""

    def __init__(self) -> None:
        self.form = Form()
        self._headers: dict[str, str] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._field_name: str | None = None
        self._field = bytearray()
        self._into_file = False

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value_data,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
            },
            max_header_size=_MAX_HEADER_BYTES,
        )

    def _part_begin(self) -> None:
        self._headers = {}
        self._field_name, self._into_file = None, False
        self._field.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_data(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode("latin-1")
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        if b"filename" in options:
            if self.form.intake is None:
                self.form.intake = Intake(options[b"filename"].decode(errors="replace") or "upload")
                self._into_file = True
        elif len(self.form.fields) < _MAX_FIELDS:
            self._field_name = options.get(b"name", b"").decode(errors="replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._into_file and self.form.intake is not None:
            self.form.intake.feed(data[start:end])
        elif self._field_name is not None:
            if len(self._field) + end - start > _MAX_FIELD_BYTES:
                raise Refused(413, f"the form field {self._field_name} is too long")
            self._field += data[start:end]

    def _part_end(self) -> None:
        if self._field_name is not None:
            self.form.fields[self._field_name] = self._field.decode(errors="replace")


async def read_form(request: Request) -> Form:
    """The form of a request. Raises Refused where it is no readable multipart form."""
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    if content_type == b"application/x-www-form-urlencoded":  # a form without a file
        return Form(dict(parse_qsl((await request.body())[:_MAX_FIELD_BYTES].decode(errors="replace"))))
    if content_type != b"multipart/form-data" or b"boundary" not in options:
        raise invalid(("header", "content-type"), "Expected multipart/form-data with a boundary", "value_error")
    reader = _Reader()
    parser = reader.parser(options[b"boundary"])
    form = reader.form
    try:
        async for chunk in request.stream():
            if chunk:
                parser.write(chunk)
            if form.intake is not None:
                await form.intake.flush()
        parser.finalize()
    except MultipartParseError as fault:
        _close(form)
        raise invalid(("body",), f"There was an error parsing the body: {fault}", "value_error") from fault
    except BaseException:
        _close(form)
        raise
    return form


def _close(form: Form) -> None:
    if form.intake is not None:
        form.intake.close()
