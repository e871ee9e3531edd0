"""What a listener puts up with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Sizes and times of one listener. Times are in seconds, watched by a timer that ticks every second at most.

    A time begins at the tick behind its cause and is over at a tick, so it may be two ticks late.
    """

    head_bytes: int = 64 * 1024
    header_lines: int = 200
    target_bytes: int = 16 * 1024
    # From the first byte of a request (or the connection) to the end of its head.
    head_s: float = 10.0
    # Between two requests on a connection.
    idle_s: float = 75.0
    # Between two pieces of a body we are ready to read.
    body_idle_s: float = 60.0
    # Of a caller who takes nothing of the answer.
    send_idle_s: float = 60.0
    # For the rest of a body behind its answer, which nobody reads.
    unread_body_bytes: int = 256 * 1024
    unread_body_s: float = 5.0
    # For a refused caller to read why before the connection is gone.
    linger_s: float = 1.0
    # Chunk sizes, extensions and trailers in a row without a byte of body.
    bytes_without_body: int = 16 * 1024
    pipelined_requests: int = 16
    connections: int = 20_000
    backlog: int = 2048
    # From SIGTERM until calls in flight are cut.
    drain_s: float = 30.0
