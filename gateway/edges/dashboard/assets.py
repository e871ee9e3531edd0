"""Styles and scripts, served under addresses that change with their content, so that browsers may keep them for good.

Only files listed at start are served; a path is looked up and never opened.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).parent / "static"
FOR_GOOD: Final = "public, max-age=31536000, immutable"
_SERVED: Final = frozenset({".css", ".js", ".svg", ".txt", ".json"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `mark` changes with its content."""

    name: str
    kind: str
    mark: str
    plain: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Every file of the static folder, by its path below it."""
    found = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in _SERVED)
    return {one.name: one for one in map(_read, found)}


def asset_path(root: str, name: str) -> str:
    """Where the file of this name is. KeyError for one that is not there."""
    return f"{root}/static/{assets()[name].mark}/{name}"


def asset_routes(root: str) -> list[Route]:
    """Serves them below `root`."""

    async def serve(request: Request) -> Response:
        asset = assets().get(request.path_params["name"])
        if asset is None:
            return Response("There is no such file.\n", 404, {"cache-control": "no-store"}, "text/plain")
        # A page of the version before or after this one may ask: it gets what there is, and does not keep it.
        known = request.path_params["mark"] == asset.mark
        headers = {"cache-control": FOR_GOOD if known else "no-store", "vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, 200, {**headers, "content-encoding": "gzip"}, asset.kind)
        return Response(asset.plain, 200, headers, asset.kind)

    return [Route(f"{root}/static/{{mark}}/{{name:path}}", serve)]


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind == "text/javascript" or path.suffix == ".js":
        kind = "text/javascript"
    mark = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(path.relative_to(FOLDER).as_posix(), kind, mark, plain, gzip.compress(plain, mtime=0))
