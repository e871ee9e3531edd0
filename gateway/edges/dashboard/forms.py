"""What a form brings: read whole, within bounds, as text fields alone."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from gateway.flows.faults import CallerFault, WrongParameter

LARGEST_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 200
_KIND: Final = "application/x-www-form-urlencoded"


class Form(Mapping[str, str]):
    """The fields sent. `form["name"]` is the first of its name, stripped; missing ones are WrongParameter."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value.strip())

    def __getitem__(self, name: str) -> str:
        if name not in self._fields:
            raise WrongParameter(name, f"the form lacks {name}; go back, reload the page and try again")
        return self._fields[name][0]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """The field, or the default where it was not sent: unticked boxes are not."""
        return self._fields[name][0] if name in self._fields else default

    def every(self, name: str) -> list[str]:
        """All that were sent under this name."""
        return self._fields.get(name, [])


async def read_form(request: Request) -> Form:
    """The form in a request's body. CallerFault for anything else, or too much."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise CallerFault("this is no form of this page; go back, reload it and try again")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise CallerFault(f"the form is larger than {LARGEST_BYTES // 1024} KiB")
    try:
        text = body.decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise CallerFault("the form could not be read; go back, reload the page and try again") from error
