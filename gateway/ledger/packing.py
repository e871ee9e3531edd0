"""Admissions and captures in Redis's own form: what is the same for every call of an account is packed once.

An admission has thirty parts, of which nine are the call's own: packing them all anew costs more than all the rest of
asking. Knows the order of the scripts' keys and arguments, and nothing of what they do.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from gateway.domain.plan import RateLimit
from gateway.domain.terms import Terms
from gateway.ledger.answers import AdmitCall
from gateway.ledger.keys import (
    account_prefix,
    acct_key,
    due_key,
    follow_key,
    hold_key,
    job_key,
    open_key,
    outbox_key,
    period_key,
    periods_prefix,
    window_key,
)
from gateway.ledger.scripts import Script
from gateway.ledger.store import Argument, Packed

# Up to this many calls a window keeps the time of each, about 11 bytes; above, of each group of calls / _ENTRIES.
_EXACT_UP_TO: Final = 4096
_ENTRIES: Final = 1024
_MOST_FRAMES: Final = 20_000


class _Frame(NamedTuple):
    """An admission around its own parts, the same for calls with the same terms and limits."""

    terms: Terms
    limits: tuple[RateLimit, ...]
    concurrent_calls: int | None
    head: bytes
    tail: bytes


class Packer:
    """Packs for one number of shards, and remembers a bounded number of accounts."""

    def __init__(self, admit: Script, capture: Script, shards: int) -> None:
        self._admit = admit
        self._capture = _begin(capture, keys=6, arguments=5)
        self._shards = shards
        self._frames: dict[tuple[str, str, bool], _Frame] = {}

    def admit(self, call: AdmitCall) -> tuple[str, Packed]:
        """The question of `admit.lua`, and a key that says where it goes."""
        terms, limits, job = call.terms, call.plan_limits, call.job
        name = (terms.account_id, limits[0].name if limits else "", job is not None)
        frame = self._frames.get(name)
        if frame is None or frame.terms is not terms or frame[1:3] != (limits, call.concurrent_calls):
            frame = self._remember(name, _frame(self._admit, call, self._shards))
        prefix = account_prefix(terms.account_id, self._shards)
        hold, hold_id, facts = hold_key(prefix, call.hold_id), bulk(call.hold_id), call.facts
        parts = (
            frame.head,
            bulk(hold) if job is None else bulk(hold) + bulk(job_key(prefix, *job)),
            hold_id,
            hold_id if call.nonce == call.hold_id else bulk(call.nonce),
            _amounts(call.quote_millicredits, call.least_millicredits, call.ttl_ms),
            b"$%d\r\n%b\r\n" % (len(facts), facts),
            frame.tail,
        )
        return hold, Packed(b"".join(parts))

    def capture(
        self, hold_id: str, account_id: str, cost_millicredits: int | None, settlement: bytes, *, cap: bool
    ) -> tuple[str, Packed]:
        """The question of `capture.lua`, and a key that says where it goes."""
        prefix, account = _settling(account_id, self._shards)
        hold = hold_key(prefix, hold_id)
        parts = (self._capture, bulk(hold), account, bulk(hold_id), _taken(cost_millicredits, settlement, cap=cap))
        return hold, Packed(b"".join(parts))

    def _remember(self, name: tuple[str, str, bool], frame: _Frame) -> _Frame:
        self._frames.pop(name, None)
        if len(self._frames) >= _MOST_FRAMES:
            del self._frames[next(iter(self._frames))]
        self._frames[name] = frame
        return frame


def calls_per_entry(limit: RateLimit) -> int:
    """1 where a window is exact to the call; above, how many calls share one entry of its list.

    Never too many are admitted; a slot may open late by the time in which that many calls came in.
    """
    return 1 if limit.calls <= _EXACT_UP_TO else -(-limit.calls // _ENTRIES)


def settling_keys(prefix: str, account_id: str) -> tuple[str, ...]:
    """The keys of a settlement behind the hold's own."""
    return (
        acct_key(prefix, account_id),
        open_key(prefix, account_id),
        due_key(prefix),
        follow_key(prefix),
        outbox_key(prefix),
    )


def bulk(part: Argument) -> bytes:
    """One part of a command."""
    text = part if isinstance(part, bytes) else str(part).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _frame(script: Script, call: AdmitCall, shards: int) -> _Frame:
    terms, limits, most_open = call.terms, call.plan_limits, call.concurrent_calls
    account_id, prefix = terms.account_id, account_prefix(terms.account_id, shards)
    keys: list[Argument] = [acct_key(prefix, account_id), open_key(prefix, account_id), due_key(prefix)]
    arguments: list[Argument] = [account_id, terms.epoch, terms.booked_seq, terms.version]
    arguments += (-1 if most_open is None else most_open, len(terms.periods), len(limits), int(call.job is not None))
    for period in terms.periods:
        keys.append(period_key(prefix, account_id, period.start_ms))
        arguments += (period.start_ms, period.end_ms)
    for limit in limits:
        group = calls_per_entry(limit)
        keys.append(window_key(prefix, account_id, limit.name, group))
        arguments += (limit.calls, limit.window_ms * 1000, group)
    begin = _begin(script, keys=len(keys) + (1 if call.job is None else 2), arguments=len(arguments) + 6)
    return _Frame(terms, limits, most_open, begin + b"".join(map(bulk, keys)), b"".join(map(bulk, arguments)))


def _begin(script: Script, *, keys: int, arguments: int) -> bytes:
    return b"*%d\r\n%b%b%b" % (3 + keys + arguments, bulk("EVALSHA"), bulk(script.sha), bulk(keys))


@lru_cache(maxsize=65_536)
def _settling(account_id: str, shards: int) -> tuple[str, bytes]:
    """The account's key prefix, and what stands between a hold's key and its id."""
    prefix = account_prefix(account_id, shards)
    return prefix, b"".join(map(bulk, (*settling_keys(prefix, account_id), periods_prefix(prefix, account_id))))


@lru_cache(maxsize=1_024)
def _amounts(quote_millicredits: int, least_millicredits: int, ttl_ms: int) -> bytes:
    return bulk(quote_millicredits) + bulk(least_millicredits) + bulk(ttl_ms)


@lru_cache(maxsize=1_024)
def _taken(cost_millicredits: int | None, settlement: bytes, *, cap: bool) -> bytes:
    return bulk("" if cost_millicredits is None else cost_millicredits) + bulk(int(cap)) + bulk(settlement)
