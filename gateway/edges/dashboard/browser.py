"""What a request says about the browser and the way it came: scheme, peer, cookies, and whether our own page sent it.

Takes a proxy's word only where the peer is trusted. Reads; decides nothing about sessions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gateway.edges.peers import host_of, peer_of
from gateway.wire.headers import forwarded_scheme

_OWN_SITE: Final = frozenset({"same-origin", "none"})
_LONGEST_PATH: Final = 2_000


@dataclass(frozen=True, slots=True)
class Browsers:
    """`trusted` tells the proxies in front of us; `public_url` is the address people know, where there is one."""

    trusted: Callable[[str], bool]
    public_url: str | None

    def is_https(self, request: Request) -> bool:
        """Whether the browser came by https, so that its cookies may be kept to it."""
        if self.public_url is not None and self.public_url.startswith("https://"):
            return True
        scheme = request.url.scheme.encode()
        return (forwarded_scheme(request.headers.raw, scheme) if self.trusted(host_of(request)) else scheme) == b"https"

    def origin(self, request: Request) -> str:
        """The address people know us by, for links that lead back here."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return f"{'https' if self.is_https(request) else 'http'}://{request.headers.get('host', '')}"

    def peer(self, request: Request) -> str:
        """Where the request comes from, to count attempts by."""
        return peer_of(request, self.trusted)

    def from_own_page(self, request: Request) -> bool:
        """Whether a form was sent by one of our own pages, as far as the browser tells; one that tells nothing: no."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None and site not in _OWN_SITE:
            return False
        if origin is not None:
            return origin in self._own_origins(request)
        return site is not None

    def cookie_name(self, request: Request, name: str) -> str:
        """Browsers keep a cookie of the prefix to this very host and to https; on plain http there is no such thing."""
        return f"__Host-{name}" if self.is_https(request) else name

    def set_cookie(self, request: Request, response: Response, name: str, value: str, *, max_age_s: int) -> None:
        """A cookie that no script reads and no other site's form brings along."""
        response.set_cookie(
            self.cookie_name(request, name),
            value,
            max_age=max_age_s,
            path="/",
            secure=self.is_https(request),
            httponly=True,
            samesite="lax",
        )

    def cookie(self, request: Request, name: str) -> str | None:
        """What was set under this name."""
        return request.cookies.get(self.cookie_name(request, name))

    def _own_origins(self, request: Request) -> set[str]:
        scheme = "https" if self.is_https(request) else "http"
        own = {f"{scheme}://{request.headers.get('host', '').lower()}"}
        if self.public_url is not None:
            known = urlsplit(self.public_url)
            own.add(f"{known.scheme}://{known.netloc}".lower())
        return own


def own_path(wished: str | None, *, below: str, otherwise: str) -> str:
    """Where to go after signing in: only ever a path of ours, since anybody can write a link."""
    if wished is None or len(wished) > _LONGEST_PATH or not (wished.isascii() and wished.isprintable()):
        return otherwise
    path = wished.partition("?")[0]
    if not (path == below or path.startswith(f"{below}/")) or any(part in path for part in ("\\", "//", "/.", " ")):
        return otherwise
    return wished
