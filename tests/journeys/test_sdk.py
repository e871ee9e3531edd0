"""The vendor's own client, unmodified, pointed at the gateway: it works, and each call costs what the list says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest
from llama_cloud import APIStatusError, LlamaCloud
from llama_cloud._polling import PollingError

from gateway.edges.demo.services import DEMO_CREDENTIAL, sample_pdf
from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Usage, eventually
from tests.journeys.stand_ins import StandIns

SCHEMA: Final[Any] = {"type": "object", "properties": {"total": {"type": "number"}}}
RULES: Final[Any] = [{"type": "invoice", "description": "a bill"}]
CATEGORIES: Final[Any] = [{"name": "front"}, {"name": "back"}]
QUICK: Final = 0.05


def pdf(pages: int, name: str = "sample.pdf") -> tuple[str, bytes, str]:
    return name, sample_pdf(pages), "application/pdf"


@contextmanager
def official_client(url: str, account: Account) -> Iterator[LlamaCloud]:
    with LlamaCloud(api_key=account.key, base_url=url) as client:
        yield client


def stored(client: LlamaCloud, pages: int) -> str:
    return client.files.create(file=pdf(pages), purpose="parse").id


def test_every_product_works_unmodified_and_costs_exactly_what_the_rate_card_says(
    town: Town, stand_ins: StandIns
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        parsed = client.parsing.parse(
            polling_interval=QUICK, tier="agentic", version="latest", upload_file=pdf(3), expand=["markdown", "usage"]
        )
        assert parsed.job.status == "COMPLETED"
        assert parsed.markdown is not None
        assert len(parsed.markdown.pages) == 3

        file_id = stored(client, 2)
        by_id = client.parsing.parse(
            polling_interval=QUICK, tier="cost_effective", version="latest", file_id=file_id, expand=["text"]
        )
        assert by_id.text is not None

        configuration: Any = {"data_schema": SCHEMA, "tier": "cost_effective"}
        from_file = client.extract.run(polling_interval=QUICK, file_input=file_id, configuration=configuration)
        assert from_file.extract_result == {"total": 42.5}
        configuration = {"data_schema": SCHEMA, "tier": "agentic_plus"}
        client.extract.run(polling_interval=QUICK, file_input=parsed.job.id, configuration=configuration)
        client.classify.run(polling_interval=QUICK, file_input=stored(client, 5), configuration={"rules": RULES})
        split = client.beta.split.split(
            polling_interval=QUICK,
            document_input={"type": "file_id", "value": stored(client, 4)},
            categories=CATEGORIES,
        )
        assert split.status == "completed"
        assert client.retrieval.retrieve(index_id="idx-demo", query="Where?").results
        session = client.chat.create(index_ids=["idx-demo"])
        turn = client.chat.stream(session.session_id, index_ids=["idx-demo"], prompt="Why?")
        assert "You asked" in str(turn)
        assert {one.id for one in client.files.list()} >= {file_id}
        client.files.delete(file_id)
        assert "latest" in client.parsing.list_versions().to_dict()

    town.place.settled(account)
    used = Usage(town.place.cli("usage", account.id))
    assert used.charged == {
        ("parse", "agentic"): 3 * 10,
        ("parse", "cost_effective"): 2 * 3,
        ("extract", "cost_effective"): 2 * (5 + 3),
        ("extract", "agentic_plus"): 3 * 50,  # of a finished parse job: its parse part was paid for already
        ("classify", "fast"): 5,
        ("split", "fast"): 4 * 4,
        ("index", "retrieval"): 1,
        ("index", "chat"): 100,
    }
    assert used.calls == 8
    assert used.credits["used"] == sum(used.charged.values())
    assert used.credits["remaining"] == 400_000 - used.credits["used"]
    assert town.place.cli("reconcile", account.id)["ok"]


def test_the_services_are_told_who_calls_and_never_the_callers_key(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    forged = {"X-Account-Id": "acc_other", "X-Project-Id": "prj_other", "X-Credits-Limit": "1000000", "Cookie": "a=b"}
    with LlamaCloud(api_key=account.key, base_url=town.first.url, default_headers=forged) as client:
        raw = client.retrieval.with_raw_response.retrieve(index_id="idx-demo", query="Where?")
        job = client.parsing.create(tier="agentic", version="latest", upload_file=pdf(1))
        client.parsing.get(job.id)
    arrived = stand_ins.arrived(account.id)
    town.place.settled(account)
    assert {call.path for call in arrived} >= {
        "/api/v1/retrieval/retrieve",
        "/api/v2/parse/upload",
        f"/api/v2/parse/{job.id}",
    }
    for call in stand_ins.arrived(account.id):
        assert call.headers["authorization"] == f"Bearer {DEMO_CREDENTIAL}"
        assert account.key not in f"{call.query} {call.headers}"
        assert call.headers["x-account-id"] == account.id
        assert call.headers["x-project-id"] == account.project_id
        assert call.headers["x-request-id"].startswith("req_")
    for call in arrived:
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", call.headers["traceparent"])
    limits = {call.path: call.headers.get("x-credits-limit") for call in arrived}
    assert limits["/api/v1/retrieval/retrieve"] == "1"
    assert limits["/api/v2/parse/upload"] == "100"
    assert limits[f"/api/v2/parse/{job.id}"] is None
    retrieved = next(call for call in arrived if call.path == "/api/v1/retrieval/retrieve")
    assert raw.headers["x-request-id"] == retrieved.headers["x-request-id"]


def test_a_failed_job_is_free(town: Town) -> None:
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        with pytest.raises(PollingError):
            client.parsing.parse(
                polling_interval=QUICK,
                tier="agentic",
                version="latest",
                upload_file=pdf(3, "fail.pdf"),
                expand=["text"],
            )
        with pytest.raises(APIStatusError) as refused:
            client.parsing.create(tier="agentic", version="latest", file_id="dfl-of-nobody")
    assert refused.value.status_code == 404
    used = town.place.settled(account)
    assert used.charged == {}
    assert used.credits["used"] == used.credits["held"] == 0


def test_a_job_stays_held_while_its_price_is_unknown_and_is_then_charged_exactly(
    town: Town, stand_ins: StandIns
) -> None:
    stand_ins.behave(job_seconds=0, billing_lag_seconds=1.0, polls_until_billed=2)
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        job = client.parsing.create(tier="agentic", version="latest", upload_file=pdf(3))
        seen = client.parsing.get(job.id, expand=["usage"]).job
        assert seen.status == "COMPLETED"
        assert seen.usage is not None
        assert seen.usage.credits is None
        held = town.place.usage(account).credits
        assert [held[name] for name in ("used", "held", "remaining")] == [0, 100, 399_900]
    assert town.place.settled(account).charged == {("parse", "agentic"): 30}


def test_a_cancelled_job_costs_what_it_delivered(town: Town, stand_ins: StandIns) -> None:
    stand_ins.behave(job_seconds=1.0)
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        job = client.parsing.create(tier="agentic", version="latest", upload_file=pdf(40))
        eventually(lambda: client.parsing.get(job.id).job.status == "RUNNING")
        client.parsing.cancel(job.id)
        done = client.parsing.get(job.id, expand=["metadata"])
        assert done.job.status == "CANCELLED"
        assert done.metadata is not None
        delivered = len(done.metadata.pages)
    assert 0 < delivered < 40
    assert town.place.settled(account).charged == {("parse", "agentic"): delivered * 10}


def test_a_job_is_charged_by_the_callers_own_poll_the_moment_it_tells_the_price(town: Town) -> None:
    account = town.place.account("pro")
    with official_client(town.second.url, account) as client:
        job = client.parsing.create(tier="fast", version="latest", upload_file=pdf(7))

        def billed() -> Any:
            usage = client.parsing.get(job.id, expand=["usage"]).job.usage
            return usage is not None and usage.credits is not None

        eventually(billed)
        used = town.place.usage(account)
    assert used.charged == {("parse", "fast"): 7}
    assert used.credits["held"] == 0


def test_a_job_nobody_asks_about_again_is_charged_all_the_same(town: Town) -> None:
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        client.parsing.create(tier="agentic", version="latest", upload_file=pdf(12))
        assert town.place.usage(account).credits["held"] == 100
    # Twelve pages were more than the ten that were held: a job of unknown length costs what it costs.
    assert town.place.settled(account).charged == {("parse", "agentic"): 120}


def test_out_of_credits_reaches_the_caller_at_once_and_is_not_tried_again(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free", credits_=0)
    with official_client(town.first.url, account) as client, pytest.raises(APIStatusError) as refused:
        client.retrieval.retrieve(index_id="idx-demo", query="Where?")
    assert refused.value.status_code == 402
    body: Any = refused.value.body
    assert body["detail"] == "You've exceeded the maximum number of credits for your plan"
    assert stand_ins.arrived(account.id) == []
    with town.first.caller(account) as caller:
        retried = caller.post("/api/v1/retrieval/retrieve", json={"index_id": "idx-demo", "query": "Where?"})
    # The first refusal was the only one: twenty a minute are still nineteen, had it been counted.
    assert retried.status_code == 402
    assert "r=20" in retried.headers["ratelimit"]


@pytest.mark.parametrize("upload", [True, False], ids=["upload", "json"])
def test_the_price_of_the_tier_is_held_that_a_saved_configuration_hides(town: Town, upload: bool) -> None:
    account = town.place.account("pro")
    with official_client(town.first.url, account) as client:
        saved = client.configurations.create(
            name="best", parameters={"product_type": "parse_v2", "tier": "fast", "version": "latest"}
        )
        document = {"configuration_id": saved.id}
        with town.first.caller(account) as caller:
            if upload:
                form = {"configuration": (None, httpx.Request("POST", "http://x", json=document).content)}
                reply = caller.post("/api/v2/parse/upload", files=[*form.items(), ("file", pdf(2))])
            else:
                reply = caller.post("/api/v2/parse", json={**document, "file_id": stored(client, 2)})
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-credits-held"] == "10"
    assert sum(town.place.settled(account).charged.values(), Decimal(0)) == 2
