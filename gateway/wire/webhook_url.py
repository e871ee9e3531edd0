"""Where webhooks may be sent: the form of an address, and which IP addresses are out on the internet. Looks up nothing.

An account chooses the address, the gateway calls it from within its own network: what is not public is refused, or
accounts could reach services that are meant for no one outside. Which addresses a name has is for `sinks` to find out,
at every delivery anew.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

LONGEST_URL: Final = 2048
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?", re.ASCII)
_LONGEST_HOST: Final = 253
_UNICAST_6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
# Public by their number, but a cloud's own services answer there, or other networks are reached through them.
_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's platform
        "192.0.0.0/24",  # IETF assignments; Oracle's metadata among them
        "192.88.99.0/24",  # relays of 6to4
        "100.64.0.0/10",  # shared by carriers; Alibaba's metadata among them
        "2001::/23",  # IETF assignments; Teredo, which holds IPv4 addresses, among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds IPv4 addresses
        "3fff::/20",  # documentation
    )
)


def is_public(text: str) -> bool:
    """Whether an IP address is out on the internet. False for whatever is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = _within(address)
    if isinstance(address, IPv6Address) and address not in _UNICAST_6:
        return False
    special = address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    if special or address.is_unspecified or not address.is_global:
        return False
    return not any(address.version == refused.version and address in refused for refused in _REFUSED)


def _within(address: IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for; itself where it stands for none."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def checked_url(url: str, *, allow_private: bool) -> str:
    """The address where it is one that webhooks can be sent to. ValueError says what is wrong.

    With `allow_private`, http and addresses that are not public are taken too.
    """
    if not 0 < len(url) <= LONGEST_URL or not url.isascii() or not url.isprintable() or any(c in url for c in ' "<>\\'):
        raise ValueError(f"a webhook's URL has at most {LONGEST_URL} characters, all of them plain; encode the others")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as wrong:
        raise ValueError(f"this is no URL: {wrong}") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes:
        raise ValueError(f"a webhook's URL begins with {' or '.join(f'{name}://' for name in schemes)}")
    if "@" in parts.netloc:
        raise ValueError("a webhook's URL holds no user and password: deliveries are signed instead")
    if parts.fragment or port == 0:
        raise ValueError("a webhook's URL has no fragment, and no port 0")
    if not _is_host(host):
        raise ValueError("a webhook's URL names a host, such as https://example.com/webhooks")
    if not allow_private and _is_private(host):
        raise ValueError(f"{host} is not a public address; webhooks go to public ones only")
    return url


def _is_host(host: str) -> bool:
    if ":" in host:
        return _is_address(host)
    return len(host) <= _LONGEST_HOST and _HOST.fullmatch(host) is not None


def _is_private(host: str) -> bool:
    """What can be told without looking the name up."""
    last = host.rstrip(".").rpartition(".")[2]
    # 127.1 and 0x7f000001 are addresses to some resolvers.
    if _is_address(host) or last.isdigit() or last.startswith("0x"):
        return not is_public(host)
    return "." not in host.rstrip(".") or last in {"localhost", "local", "internal"}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
