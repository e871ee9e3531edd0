"""A caller over a bare socket: it can leave in the middle, and sees every byte as it comes."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.journeys.gateway_process import Account, Gateway

WAIT_S: Final = 10.0


class RawCaller:
    """One connection with one request on it."""

    def __init__(self, gateway: Gateway) -> None:
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=WAIT_S)
        self.heard = b""
        self.ended = False

    def send(self, account: Account, path: str, document: object = None, *, method: str = "POST") -> None:
        """A request with a JSON body."""
        body = b"" if document is None else json.dumps(document).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {account.key}\r\n"
        self.say(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def say(self, data: bytes) -> None:
        """Sends bytes."""
        self._socket.sendall(data)

    def hear(self, wanted: bytes, within_s: float = WAIT_S) -> None:
        """Reads until this has come; fails where the connection ends or the time is up before."""
        deadline = time.monotonic() + within_s
        while wanted not in self.heard:
            assert self._read(deadline - time.monotonic()), f"{wanted!r} did not come, but {self.heard!r}"

    def listen(self, for_s: float) -> bytes:
        """All that has come when so much time has passed."""
        deadline = time.monotonic() + for_s
        while self._read(deadline - time.monotonic()):
            pass
        return self.heard

    def rest(self, within_s: float = WAIT_S) -> bytes:
        """Everything, up to the end of the connection."""
        deadline = time.monotonic() + within_s
        while self._read(deadline - time.monotonic()):
            pass
        assert self.ended, f"still open after {within_s} s: {self.heard!r}"
        return self.heard

    @property
    def status(self) -> int:
        """The status of what was heard."""
        return int(self.heard.split(b" ", 2)[1])

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of what was heard."""
        lines = self.heard.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def body(self) -> bytes:
        """What was heard behind the head, framing included."""
        return self.heard.partition(b"\r\n\r\n")[2]

    def document(self) -> Any:
        """The body as JSON, once it has come to its full length."""
        while len(self.body) < int(self.headers["content-length"]):
            assert self._read(WAIT_S)
        return json.loads(self.body)

    def leave(self) -> None:
        """Is gone, at once and for good."""
        if self._socket.fileno() < 0:
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _read(self, within_s: float) -> bool:
        if within_s <= 0 or self.ended:
            return False
        self._socket.settimeout(within_s)
        try:
            piece = self._socket.recv(65_536)
        except TimeoutError:
            return False
        except ConnectionError:
            piece = b""
        self.heard += piece
        self.ended = not piece
        return not self.ended


@contextlib.contextmanager
def raw_caller(gateway: Gateway) -> Iterator[RawCaller]:
    """A caller who leaves at the end if not before."""
    caller = RawCaller(gateway)
    try:
        yield caller
    finally:
        caller.leave()
