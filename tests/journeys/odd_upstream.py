"""An upstream that does exactly what a test says, byte by byte, and no more: slow, garbled, cut, silent."""

import contextlib
import queue
import socket
import threading
from dataclasses import dataclass, field
from typing import Final

WAIT_S: Final = 10.0


@dataclass
class Call:
    """One request that has arrived whole. The test answers it, or does not."""

    head: bytes
    body: bytes
    connection: socket.socket = field(repr=False)

    def say(self, data: bytes) -> None:
        """Sends bytes of an answer."""
        self.connection.sendall(data)

    def answer(self, body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        """A whole, ordinary answer."""
        lines = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
        self.say(b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, lines, headers, body))

    def begin(self, headers: bytes, body: bytes = b"") -> None:
        """The beginning of an answer."""
        self.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n%b\r\n\r\n%b" % (headers, body))

    def cut(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def left(self, within_s: float = WAIT_S) -> bool:
        """Whether the gateway closes the connection before it has had its answer."""
        self.connection.settimeout(within_s)
        try:
            return self.connection.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


class OddUpstream:
    """Listens on a port of its own, and hands each request over to the test."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="odd-upstream", daemon=True)
        self._thread.start()

    def call(self, within_s: float = WAIT_S) -> Call:
        """The next request, once it is there."""
        return self._calls.get(timeout=within_s)

    def idle(self) -> bool:
        """Whether no request waits to be looked at."""
        return self._calls.empty()

    def close(self) -> None:
        """Closes everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        """One request a connection: what comes next on it is the test's to read."""
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65_536)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            length = int(lengths[0].partition(b":")[2]) if lengths else 0
            while len(body) < length:
                piece = connection.recv(65_536)
                if not piece:
                    return
                body += piece
            self._calls.put(Call(head, body, connection))
