"""Uploads whose pages the gateway counts itself: the quote is exact, and what cannot be counted is as it ever was."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest

from gateway.edges.demo.services import sample_pdf
from tests.journeys.gateway_process import Account, Gateway, Launcher, Place
from tests.journeys.stand_ins import StandIns
from tests.journeys.test_big_bodies import flat_memory

UPLOAD: Final = "/api/v2/parse/upload"
MOST_BYTES: Final = 48 * 2**20
TIER: Final = '"tier": "agentic", "version": "latest"'


def counting(document: dict[str, Any]) -> None:
    for route, within in (("POST /api/v2/parse/upload", "20 s"), ("POST /api/v1/parsing/upload", "20 s")):
        count = {"field": "file", "max_bytes": MOST_BYTES, "within": within}
        document["routes"][route]["units"]["count_pages"] = count


@pytest.fixture(scope="module")
def _place(launcher: Launcher, _stand_ins: StandIns) -> Iterator[tuple[Place, Gateway]]:
    with closing(Place(launcher, _stand_ins.url, routes=counting)) as place:
        gateway = place.serve()
        with gateway.caller(place.account("pro")) as caller:
            assert caller.post(UPLOAD, data={"configuration": f"{{{TIER}}}"}, files={"file": sample_pdf(1)}).is_success
        yield place, gateway


@pytest.fixture
def place(_place: tuple[Place, Gateway], stand_ins: StandIns) -> Place:
    return _place[0]


@pytest.fixture
def gateway(_place: tuple[Place, Gateway]) -> Gateway:
    return _place[1]


def held(gateway: Gateway, account: Account, document: bytes, more: str = "") -> str:
    with gateway.caller(account) as caller:
        files = {"file": ("a.pdf", document, "application/pdf")}
        reply = caller.post(UPLOAD, data={"configuration": f"{{{TIER}{more}}}"}, files=files)
    assert reply.is_success, reply.text
    return str(reply.headers["x-credits-held"])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", 14 * 10),
        (', "page_ranges": {"target_pages": "1,3,13-20"}', 4 * 10),
        (', "page_ranges": {"max_pages": 3}', 3 * 10),
        (', "processing_options": {"confidence_score_effort": "high"}', 14 * 15),
    ],
)
def test_what_is_held_is_what_it_will_cost(place: Place, gateway: Gateway, more: str, expected: int) -> None:
    account = place.account("pro")
    assert held(gateway, account, sample_pdf(14), more) == str(expected)
    assert place.settled(account).charged == {("parse", "agentic"): expected}


def test_an_upload_that_is_longer_than_the_credits_is_refused_before_the_service_sees_it(
    place: Place, gateway: Gateway, stand_ins: StandIns
) -> None:
    account = place.account("free", credits_=39)
    with gateway.caller(account) as caller:
        configuration = {"configuration": f"{{{TIER}}}"}
        reply = caller.post(UPLOAD, data=configuration, files={"file": sample_pdf(4)})
        assert (reply.status_code, reply.json()["required_credits"]) == (402, 40)
        assert stand_ins.arrived(account.id) == []
        assert caller.post(UPLOAD, data=configuration, files={"file": sample_pdf(3)}).is_success
    assert place.settled(account).charged == {("parse", "agentic"): 30}


def test_the_older_upload_counts_its_pages_from_naught(place: Place, gateway: Gateway) -> None:
    account = place.account("pro")
    with gateway.caller(account) as caller:
        data = {"target_pages": "0,2-9", "parse_mode": "parse_page_with_llm"}
        reply = caller.post("/api/v1/parsing/upload", data=data, files={"file": sample_pdf(5)})
    assert reply.headers["x-credits-held"] == str(4 * 3)
    assert place.settled(account).charged == {("parse", "parse_page_with_llm"): 4 * 3}


@pytest.mark.parametrize(
    "document",
    [
        b"words, not a PDF",
        b"%PDF-1.7\n" + b"broken" * 1000,
        sample_pdf(2) + b"%" + bytes(MOST_BYTES),
        sample_pdf(2) + b"%" + bytes(MOST_BYTES + 4 * 2**20),
    ],
    ids=["text", "broken", "too long", "far too long"],
)
def test_what_cannot_be_counted_is_expected_to_be_as_usual(place: Place, gateway: Gateway, document: bytes) -> None:
    assert held(gateway, place.account("pro"), document) == "100"


def test_counting_a_long_document_takes_little_memory_and_leaves_no_file(place: Place, gateway: Gateway) -> None:
    document = sample_pdf(3) + b"\n%" + bytes(MOST_BYTES - 1_000_000)
    with flat_memory(gateway):
        assert held(gateway, place.account("pro"), document) == "30"
    assert not any((place.data / "spool").glob("*"))
