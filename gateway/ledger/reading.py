"""What is in the outbox of one account, without taking it away: for rebuilding, reconciling and showing."""

from gateway.domain.usage import JobAttached, UsageEvent
from gateway.ledger.keys import outbox_key
from gateway.ledger.scripts import Script
from gateway.ledger.store import Store
from gateway.wire.usage_record import BadRecord, fields_of, read_record

# A page is read in about a millisecond, during which Redis does nothing else.
_PAGE = 1000


async def account_events(
    redis: Store, outbox_page: Script, prefix: str, account_id: str, *, since: str = "-"
) -> list[UsageEvent | JobAttached]:
    """The account's records that are not trimmed yet, in order. Records that cannot be read are left out.

    `since` is the stream id to begin at.
    """
    events: list[UsageEvent | JobAttached] = []
    start: str | bytes = since
    while start:
        start, found = await redis.evalsha(outbox_page, [outbox_key(prefix)], [account_id, start, _PAGE])
        for _, flat in found:
            record = read_record(fields_of(flat))
            if not isinstance(record, BadRecord):
                events.append(record)
    return events
