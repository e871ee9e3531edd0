"""Where a request comes from, to count by: the peer, or whom a trusted proxy names. Knows no session and no key."""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request


def peer_of(request: Request, trusted: Callable[[str], bool]) -> str:
    """An address, of version 6 its network of 64 bits; "?" for none. `trusted` tells the proxies in front of us."""
    host = host_of(request)
    if trusted(host):
        named = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
        host = next((part for part in reversed(named) if not trusted(part)), host)
    try:
        address = ip_address(host)
    except ValueError:
        return "?"
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else str(address)


def host_of(request: Request) -> str:
    """Who is at the other end of the connection."""
    return request.client.host if request.client is not None else ""
