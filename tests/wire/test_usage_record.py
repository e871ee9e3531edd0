"""Outbox records and the JSON in them: back as they went, and anything odd refused with its reason."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.hold import Ending
from gateway.domain.usage import CallFacts, JobAttached, Settlement, UsageEvent
from gateway.wire.call_facts import facts_json, read_facts, read_settlement, settlement_json
from gateway.wire.usage_record import BadRecord, fields_of, read_record

FACTS = CallFacts(
    request_id="req_1",
    account_id="acc_1",
    project_id="prj_1",
    key_id="key_1",
    product="parse",
    mode="agentic",
    unit="page",
    route="POST /api/v1/parsing/upload",
    upstream="parse",
    plan_id="free",
    rate_card_version="2026-11",
    millicredits_per_unit=10_000,
    expected_units=10,
    quote_millicredits=100_000,
)
USAGE = {
    b"kind": b"usage",
    b"id": b"req_1.captured",
    b"account": b"acc_1",
    b"ending": b"captured",
    b"facts": facts_json(FACTS),
    b"settlement": settlement_json(Settlement(3, "reply")),
    b"held": b"100000",
    b"captured": b"30000",
    b"period": b"1700000000000",
    b"admitted": b"1800000000000",
    b"at": b"1800000000999",
    b"seq": b"7",
    b"job": b"",
}
JOB = {
    b"kind": b"job",
    b"id": b"req_1.job",
    b"account": b"acc_1",
    b"facts": facts_json(FACTS),
    b"job_kind": b"parse_job",
    b"upstream": b"parse",
    b"job": b"job-1",
    b"held": b"100000",
    b"period": b"1700000000000",
    b"admitted": b"1800000000000",
    b"deadline": b"1800001800999",
    b"at": b"1800000000999",
    b"seq": b"8",
}


def test_a_usage_record() -> None:
    assert read_record(USAGE) == UsageEvent(
        id="req_1.captured",
        ending=Ending.CAPTURED,
        facts=FACTS,
        settlement=Settlement(3, "reply"),
        held_millicredits=100_000,
        captured_millicredits=30_000,
        period_start_ms=1_700_000_000_000,
        admitted_at_ms=1_800_000_000_000,
        happened_at_ms=1_800_000_000_999,
        seq=7,
        job_id=None,
    )


def test_a_job_record() -> None:
    assert read_record(JOB) == JobAttached(
        facts=FACTS,
        job_kind="parse_job",
        upstream="parse",
        job_id="job-1",
        held_millicredits=100_000,
        period_start_ms=1_700_000_000_000,
        admitted_at_ms=1_800_000_000_000,
        deadline_ms=1_800_001_800_999,
        happened_at_ms=1_800_000_000_999,
        seq=8,
    )


@pytest.mark.parametrize("record", [USAGE, JOB], ids=["usage", "job"])
def test_a_record_that_lacks_anything_is_bad(record: dict[bytes, bytes]) -> None:
    for name in record:
        assert isinstance(read_record({key: value for key, value in record.items() if key != name}), BadRecord), name


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (b"kind", b"invoice", "kind: b'invoice' is neither usage nor job"),
        (b"id", b"req_1.late", "id: 'req_1.late' does not match the facts, which say 'req_1.captured'"),
        (b"account", b"acc_2", "account: 'acc_2' does not match the facts, which say 'acc_1'"),
        (b"ending", b"lost", "'lost' is not a valid Ending"),
        (b"captured", b"-1", "captured: b'-1' is no whole number below 2^53"),
        (b"captured", b"1.5", "captured: b'1.5' is no whole number below 2^53"),
        (b"captured", b"1e+16", "captured: b'1e+16' is no whole number below 2^53"),
        (b"captured", b"9007199254740992", "captured: b'9007199254740992' is no whole number below 2^53"),
        (b"captured", b"", "captured: b'' is no whole number below 2^53"),
        (b"seq", b"1_0", "seq: b'1_0' is no whole number below 2^53"),
        (b"facts", b"[]", "facts: no JSON object"),
        (b"job", b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_what_is_wrong_is_said(name: bytes, value: bytes, reason: str) -> None:
    assert read_record(USAGE | {name: value}) == BadRecord(reason)


@given(record=st.dictionaries(st.sampled_from(sorted(USAGE | JOB)), st.binary(max_size=20)))
def test_nothing_in_a_record_breaks_the_reader(record: dict[bytes, bytes]) -> None:
    assert isinstance(read_record(record), BadRecord)
    assert isinstance(read_record(USAGE | record), BadRecord | UsageEvent | JobAttached)


def test_a_stream_entry_s_fields_are_pairs() -> None:
    assert fields_of([b"a", b"1", b"b", b"2"]) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": None}, "facts.mode: None is no str"),
        ({"expected_units": "10"}, "facts.expected_units: '10' is no int"),
        ({"expected_units": True}, "facts.expected_units: True is no int"),
        ({"quote_millicredits": 1.5}, "facts.quote_millicredits: 1.5 is no int"),
        ({"colour": "blue"}, "facts: missing or unknown: colour"),
    ],
)
def test_facts_of_the_wrong_kind_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        read_facts(orjson.dumps(orjson.loads(facts_json(FACTS)) | change))


@given(
    route=st.text(max_size=20),
    units=st.integers(0, 2**53 - 1),
    price=st.integers(0, 2**53 - 1),
    mode=st.text(max_size=9),
)
def test_facts_come_back_as_they_went(route: str, units: int, price: int, mode: str) -> None:
    facts = replace(FACTS, route=route, expected_units=units, millicredits_per_unit=price, mode=mode)
    assert read_facts(facts_json(facts)) == facts


@pytest.mark.parametrize(
    "settlement",
    [Settlement(None, "the amount held, 3 €"), Settlement(0, ""), Settlement(7, "x"), Settlement(None, "y", "agentic")],
)
def test_settlements_come_back_as_they_went(settlement: Settlement) -> None:
    assert read_settlement(settlement_json(settlement)) == settlement


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"units":1}', b'{"units":true,"evidence":""}', b'{"units":1.5,"evidence":""}',
     b'{"units":1,"evidence":"","more":1}', b'{"units":1,"evidence":null}'],
)  # fmt: skip
def test_other_settlements_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="settlement"):
        read_settlement(text)
