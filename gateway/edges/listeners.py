"""Taking ports, before anything is opened or printed: one that is taken is told in a sentence, and nothing was done.

A socket is bound here and listens only once its server runs, so that callers are refused rather than kept waiting.
"""

import socket
from contextlib import suppress

from gateway.settings import Listen


class CannotListen(Exception):
    """An address that cannot be listened on. The text says why and what to do."""


def bound(listen: Listen, setting: str, variable: str) -> socket.socket:
    """A socket on that address. `setting` and `variable` are where it is chosen, for the sentence. CannotListen."""
    host, port = listen.host, listen.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Stop what uses it, or choose another one with "
            f"{variable} ({setting} in gateway.yaml)."
        ) from error
    return taken


def free_port(host: str, wished: int = 0) -> int:
    """The wished port where nobody listens on it, else one that was free a moment ago."""
    for port in (wished, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            found: int = trial.getsockname()[1]
            return found
    raise CannotListen(f"no port is free on {host}")
