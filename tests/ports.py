"""Ports for servers that tests start."""

import socket
import sys


def free_port() -> int:
    """A loopback port for a server to listen on, which nobody else is given while this process runs.

    A socket that is bound and does not listen keeps it: no other test and no outgoing connection gets it meanwhile,
    and calls are refused until a server is there. Linux lets that server have it too where it allows reuse, as all do.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port: int = keeper.getsockname()[1]
        if sys.platform == "linux":
            keeper.detach()  # open until the process ends
        return port
