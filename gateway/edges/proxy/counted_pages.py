"""The pages of an uploaded PDF, counted before its call is admitted, where the route says so.

The upload is read ahead into a file of the spool until its document has ended, in flat memory. What cannot be counted
is no error: the route's usual number of units is expected then. Does not know what a page costs.
"""

from typing import Final

from gateway.edges.proxy.request_body import RequestBody
from gateway.pages.page_counter import PageCounter
from gateway.wire.multipart import FilePart
from gateway.wire.request_head import RequestHead
from gateway.wire.route import CountPages

# What a form holds besides its file: fields, heads of parts, and the chunk in which the file turns out to be too long.
BESIDE_BYTES: Final = 2_097_152


def counting_of(wanted: CountPages, head: RequestHead, body: RequestBody) -> FilePart | None:
    """Where the file will be found, before anything of the body is read; None where it will not be counted.

    That is where it is known to be too long, or the spool has no room.
    """
    most_bytes = wanted.max_bytes + BESIDE_BYTES
    length = head.content_length
    if not head.has_body or head.content_encoded or (length is not None and length > most_bytes):
        return None
    return FilePart(wanted.field, wanted.max_bytes) if body.reserve(length or most_bytes) else None


async def pages_in(file: FilePart, wanted: CountPages, body: RequestBody, counter: PageCounter) -> int | None:
    """The pages of the file that was read ahead; None where nobody knows."""
    if not (file.readable and file.ended and file.length):
        return None
    descriptor = await body.ahead_in_file()
    within_s = wanted.within_ms / 1000
    counted = await counter.count(descriptor, start=file.start, length=file.length, within_s=within_s)
    return counted.pages or None if counted is not None else None
