"""The first reply of a call with an Idempotency-Key, as it is kept and given again. Bytes in, bytes out."""

import orjson

from gateway.wire.headers import Headers
from gateway.wire.problems import ProblemReply

# A job's first reply has a few hundred bytes. What is longer is charged once all the same, but not kept: Redis holds
# these for a day in memory, for every account.
MOST_BYTES = 32_768
REPLAYED = (b"idempotency-replayed", b"true")


def pack(status: int, headers: Headers, body: bytes) -> bytes:
    """The reply in one piece: a line of JSON, then the body as it was."""
    lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
    return orjson.dumps([status, lines]) + b"\n" + body


def unpack(kept: bytes) -> ProblemReply:
    """The reply again, with a header that says so. Its length is always told, however the first was framed."""
    head, _, body = kept.partition(b"\n")
    status, lines = orjson.loads(head)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines if name != "content-length"]
    return ProblemReply(status, [*headers, (b"content-length", b"%d" % len(body)), REPLAYED], body)
