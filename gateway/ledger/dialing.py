"""Making connections with redis-py: URLs, TLS, authentication, unix sockets, and Sentinel's word on who is the primary.

Makes one connection when told to. When to try again is `connection`'s business.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError, ResponseError

Address: TypeAlias = tuple[str, int]
Dial: TypeAlias = Callable[[], Awaitable[AbstractConnection]]

_TIMEOUT_S: Final = 1.0
_DEFAULTS: Final[Mapping[str, Any]] = {
    "socket_connect_timeout": _TIMEOUT_S,
    "socket_timeout": _TIMEOUT_S,
    "client_name": "credit-gateway",
    "protocol": 2,
}
_SENTINEL_PORT: Final = 26379
_REDIS_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A URL that names several servers: `options` are redis-py's for each of them, `name` is Sentinel's for the set."""

    addresses: tuple[Address, ...]
    options: Mapping[str, Any]
    name: str = ""


def dial_url(url: str) -> Dial:
    """How to connect to `redis://`, `rediss://`, `unix:///path` or `redis+sentinel://`; ValueError for other URLs."""
    scheme = urlsplit(url).scheme
    if scheme in {"redis+sentinel", "rediss+sentinel"}:
        return _dial_sentinel(read_servers(url, _SENTINEL_PORT))
    options: dict[str, Any] = {**_DEFAULTS, **parse_url(url)}
    connection_class = options.pop("connection_class", Connection)

    async def dial() -> AbstractConnection:
        return await _greeted(connection_class(**options))

    return dial


def dial_address(address: Address, options: Mapping[str, Any]) -> Dial:
    """How to connect to one of several servers that share everything but their address."""

    async def dial() -> AbstractConnection:
        return await _greeted(_make(address, options))

    return dial


def read_servers(url: str, default_port: int = _REDIS_PORT) -> ServerUrl:
    """`redis+cluster://user:secret@host:port,host:port` or `redis+sentinel://host:port,host:port/name/db`."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    credentials, _, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    if "+sentinel" in parts.scheme and not name:
        raise ValueError("Redis URL: redis+sentinel:// ends with the name of the primary: …/mymaster")
    # One of the hosts stands in for all, so that redis-py reads the rest of the URL.
    single = f"{scheme}://{credentials}@localhost/{database}?{parts.query}"
    options: dict[str, Any] = {**_DEFAULTS, **parse_url(single)}
    del options["host"]
    return ServerUrl(tuple(_address(host, default_port) for host in hosts.split(",")), options, name)


def why(fault: BaseException) -> str:
    """Why a connection could not be made. redis-py wraps what the server said where the socket is a unix one."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, AuthenticationError):
            return "authentication"
        if isinstance(cause, BusyLoadingError):
            return "loading"
        cause = cause.__cause__
    return f"unreachable: {type(fault).__name__}"


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"Redis URL: {text!r} is no host:port")
    return parts.hostname, parts.port or default_port


def _make(address: Address, options: Mapping[str, Any]) -> AbstractConnection:
    chosen = dict(options)
    connection_class = chosen.pop("connection_class", Connection)
    host, port = address
    made: AbstractConnection = connection_class(host=host, port=port, **chosen)
    return made


async def _greeted(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        # A server that reads its files answers every command but this handshake with LOADING.
        await connection.send_command("PING", check_health=False)
        await _read_pong(connection)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def _read_pong(connection: AbstractConnection) -> None:
    try:
        await connection.read_response()
    except ResponseError as refused:
        # With its disk full it refuses PING as it does writes. It is there, and still answers what only reads.
        if not str(refused).startswith("MISCONF"):
            raise


def _dial_sentinel(servers: ServerUrl) -> Dial:
    tls = servers.options.get("connection_class") is SSLConnection

    async def primary() -> Address:
        asked = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S, "ssl": tls}
        sentinel = Sentinel(list(servers.addresses), sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
        try:
            host, port = await sentinel.discover_master(servers.name)
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        return str(host), int(port)

    async def dial() -> AbstractConnection:
        connection = await _greeted(_make(await primary(), servers.options))
        await connection.send_command("ROLE", check_health=False)
        role = await connection.read_response()
        if role[0] != b"master":
            await connection.disconnect(nowait=True)
            raise ReadOnlyError("Sentinel named a server that is a replica")
        return connection

    return dial
