"""What the call log hands on."""

import asyncio
import threading
from datetime import date

from prometheus_client import CollectorRegistry

from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.quote import Quote, quote
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.edges.proxy.call import Call
from gateway.flows.follow_job import JobAlert
from gateway.observe import MOST_WAITING, CallLog, Metrics

REQUEST_ID = "req_019ab0e4b2c07000800000000000abcd"


def refused_call() -> Call:
    call = Call(REQUEST_ID, "POST", 0.0)
    call.account_id, call.project_id, call.key_id, call.plan_id = "acc_1", "prj_1", "key_1", "free"
    call.route, call.status, call.code = "parse.upload", 402, "credits_exhausted"
    call.product, call.mode = "parse", "agentic"
    card = RateCard("2026-11", date(2026, 11, 1), {"parse": ProductRates("parse", "page", {"agentic": 10_000})})
    asked = quote(card, (("parse", "agentic"),), expected_units=10, least_units=1)
    assert isinstance(asked, Quote)
    call.refused = (Refused(RefusalCode.CREDITS_EXHAUSTED, required_millicredits=10_000, resets_at_ms=7), asked)
    return call


async def test_refused_calls_of_known_accounts_are_handed_on_after_they_are_logged() -> None:
    lines: list[bytes] = []
    told: asyncio.Queue[list[Call]] = asyncio.Queue()
    log = CallLog(Metrics(CollectorRegistry()), write=lines.append, refused=told.put_nowait)
    refused, unknown, charged, held = refused_call(), refused_call(), refused_call(), refused_call()
    unknown.account_id = ""
    charged.code = ""
    held.held_millicredits = 1
    for call in (unknown, refused, charged, held):
        log.record(call)
    running = asyncio.create_task(log.run())
    assert await told.get() == [refused]
    assert len(lines) == 1
    running.cancel()


async def test_a_log_that_nobody_reads_holds_up_no_call_and_keeps_a_bounded_number_of_lines() -> None:
    blocked, read = threading.Event(), threading.Event()
    lines: list[bytes] = []

    def write(some: bytes) -> None:
        blocked.set()
        read.wait(30)
        lines.append(some)

    registry, call = CollectorRegistry(), refused_call()
    log = CallLog(Metrics(registry), write=write)
    log.record(call)
    running = asyncio.create_task(log.run())
    await asyncio.to_thread(blocked.wait, 30)
    for _ in range(MOST_WAITING + 5):
        log.record(call)
    assert not lines
    read.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert lines[-1].count(b"\n") == MOST_WAITING
    assert registry.get_sample_value("gateway_log_lines_dropped_total") == 5


def test_a_refusal_is_kept_with_the_numbers_it_was_decided_by() -> None:
    kept = refused_call().refusal()
    assert (kept.request_id, kept.at_ms) == (REQUEST_ID, 0x019AB0E4B2C0)
    assert (kept.plan_id, kept.rate_card_version, kept.expected_units, kept.millicredits_per_unit) == (
        "free",
        "2026-11",
        10,
        10_000,
    )
    assert (kept.required_millicredits, kept.available_millicredits, kept.resets_at_ms) == (10_000, 0, 7)


def test_a_call_that_was_refused_before_it_was_priced_is_kept_without_numbers() -> None:
    call = refused_call()
    call.refused = None
    kept = call.refusal()
    assert (kept.expected_units, kept.required_millicredits, kept.limit_name) == (None, None, "")


def test_jobs_that_need_a_look_and_modes_that_nobody_asked_for_are_counted() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.job_alert("parse_v2", JobAlert.NEVER_ENDED)
    metrics.mode_mismatch("parse", "agentic")
    value = metrics.registry.get_sample_value
    assert value("gateway_job_alerts_total", {"kind": "parse_v2", "alert": "never_ended"}) == 1
    assert value("gateway_mode_mismatches_total", {"product": "parse", "requested": "agentic"}) == 1
