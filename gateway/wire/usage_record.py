"""Records of the outbox as the books understand them. The scripts write them; nothing but this reads them.

A record that cannot be understood is a `BadRecord`, so that it can be put aside while the rest flows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.credits import MAX_MILLICREDITS
from gateway.domain.hold import Ending
from gateway.domain.usage import JobAttached, UsageEvent
from gateway.wire.call_facts import read_facts, read_settlement

_JOB_SUFFIX: Final = ".job"


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that is not one of ours, and what is wrong with it."""

    reason: str


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """The fields of a stream entry, which come as name, value, name, value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read_record(raw: Mapping[bytes, bytes]) -> UsageEvent | JobAttached | BadRecord:
    """One record of the outbox."""
    try:
        match raw.get(b"kind"):
            case b"usage":
                return _usage_event(raw)
            case b"job":
                return _job_attached(raw)
            case kind:
                return BadRecord(f"kind: {kind!r} is neither usage nor job")
    except ValueError as error:
        return BadRecord(str(error))


def _usage_event(raw: Mapping[bytes, bytes]) -> UsageEvent:
    facts = read_facts(_bytes(raw, b"facts"))
    ending = Ending(_text(raw, b"ending"))
    event_id = _text(raw, b"id")
    _must_match("id", event_id, f"{facts.request_id}.{ending.name_in_id}")
    _must_match("account", _text(raw, b"account"), facts.account_id)
    return UsageEvent(
        id=event_id,
        ending=ending,
        facts=facts,
        settlement=read_settlement(_bytes(raw, b"settlement")),
        held_millicredits=_amount(raw, b"held"),
        captured_millicredits=_amount(raw, b"captured"),
        period_start_ms=_amount(raw, b"period"),
        admitted_at_ms=_amount(raw, b"admitted"),
        happened_at_ms=_amount(raw, b"at"),
        seq=_amount(raw, b"seq"),
        job_id=_text(raw, b"job") or None,
    )


def _job_attached(raw: Mapping[bytes, bytes]) -> JobAttached:
    facts = read_facts(_bytes(raw, b"facts"))
    _must_match("id", _text(raw, b"id"), facts.request_id + _JOB_SUFFIX)
    _must_match("account", _text(raw, b"account"), facts.account_id)
    return JobAttached(
        facts=facts,
        job_kind=_text(raw, b"job_kind"),
        upstream=_text(raw, b"upstream"),
        job_id=_text(raw, b"job"),
        held_millicredits=_amount(raw, b"held"),
        period_start_ms=_amount(raw, b"period"),
        admitted_at_ms=_amount(raw, b"admitted"),
        deadline_ms=_amount(raw, b"deadline"),
        happened_at_ms=_amount(raw, b"at"),
        seq=_amount(raw, b"seq"),
    )


def _bytes(raw: Mapping[bytes, bytes], name: bytes) -> bytes:
    value = raw.get(name)
    if value is None:
        raise ValueError(f"{name.decode()}: missing")
    return value


def _text(raw: Mapping[bytes, bytes], name: bytes) -> str:
    return _bytes(raw, name).decode()


def _amount(raw: Mapping[bytes, bytes], name: bytes) -> int:
    text = _bytes(raw, name)
    # int() would also take signs, spaces and underscores, none of which a script writes.
    if text.isdigit() and (amount := int(text)) <= MAX_MILLICREDITS:
        return amount
    raise ValueError(f"{name.decode()}: {text!r} is no whole number below 2^53")


def _must_match(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"{name}: {found!r} does not match the facts, which say {expected!r}")
