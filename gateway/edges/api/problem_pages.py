"""`/problems/{code}`: what the `type` of a problem document leads to, as docs/problems/ has it. No key needed."""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from starlette.responses import Response

import gateway
from gateway.edges.api.endpoint import Ask, Endpoint
from gateway.flows.faults import NoSuchThing
from gateway.wire.problems import PROBLEMS, Fault

_PACKAGE: Final = Path(gateway.__file__).parent
# The wheel carries the pages inside the package; in a checkout they are where people read them.
_FOLDERS: Final = (_PACKAGE / "problem_pages", _PACKAGE.parent / "docs" / "problems")
_CODES: Final = frozenset(map(str, PROBLEMS))
_MARKDOWN: Final = "text/plain; charset=utf-8"
_DAY: Final = "public, max-age=86400"


def problem_page_endpoint() -> Endpoint:
    """The page of a code that there is; 404 for any other."""

    async def page(ask: Ask) -> Response:
        code = ask.path("code")
        if code not in _CODES:
            raise NoSuchThing("problem", code)
        said = await asyncio.to_thread(_read, code)
        headers = {"etag": f'"{hashlib.sha256(said).hexdigest()[:32]}"', "cache-control": _DAY}
        if ask.request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(said, headers=headers, media_type=_MARKDOWN)

    return Endpoint(
        "GET",
        "/problems/{code}",
        page,
        "What a problem means and what to do",
        "health",
        other_statuses={304: "Not changed since"},
        files={_MARKDOWN: {"type": "string"}},
        problems=(Fault.NO_SUCH_RESOURCE,),
    )


def _read(code: str) -> bytes:
    folder = next(one for one in _FOLDERS if one.is_dir())
    return (folder / f"{code}.md").read_bytes()
