"""What the vendor's clients make of a good day and of a bad one, whether they block or await: each does the same.

They are the published ones, unmodified: today's, and the one before its rewrite. Every call goes through a real
gateway. That each product's price is right is test_sdk.py's and test_older_products.py's.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from llama_cloud import APIStatusError, AsyncLlamaCloud, LlamaCloud, UnprocessableEntityError
from llama_cloud._polling import PollingError

from gateway.edges.demo.services import sample_pdf
from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, eventually
from tests.journeys.legacy_clients import LegacyClient, LegacyError, Program, legacy_program
from tests.journeys.one_way import OneWay
from tests.journeys.stand_ins import StandIns

__all__ = ["legacy_program"]  # a fixture, found by its name

QUICK: Final = 0.05
AGENTIC: Final = {"tier": "agentic", "version": "latest"}
OUT_OF_CREDITS: Final = "You've exceeded the maximum number of credits for your plan"
RULE: Final = {"type": "bill", "description": "a bill"}
SCHEMA: Final = {"type": "object", "properties": {"total": {"type": "number"}}}


@pytest.fixture(params=[LlamaCloud, AsyncLlamaCloud], ids=["sync", "async"])
def official(request: pytest.FixtureRequest, town: Town) -> Any:
    """Opens the client of either kind with an account's key."""

    @asynccontextmanager
    async def open_client(account: Account) -> Any:
        client = request.param(api_key=account.key, base_url=town.first.url)
        try:
            yield client
        finally:
            await asked(client.close)

    return open_client


async def asked(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a method of either kind of client gives; the one that blocks does so beside the test."""
    answer = await asyncio.to_thread(method, *arguments, **options)
    return await answer if inspect.isawaitable(answer) else answer


async def outcome(waits: Awaitable[Any]) -> str:
    """How a job ended for whoever waited for it: the client that blocks raises, the one that awaits hands it over."""
    try:
        return str((await waits).status)
    except PollingError as told:
        return str(told)


def pdf(pages: int, name: str = "sample.pdf") -> tuple[str, bytes, str]:
    return name, sample_pdf(pages), "application/pdf"


async def test_an_application_that_does_everything_at_once_pays_for_each_thing_once(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    async with official(account) as client:
        parse: Any = {**AGENTIC, "polling_interval": QUICK, "expand": ["markdown"]}
        parsed = await asyncio.gather(
            *(asked(client.parsing.parse, upload_file=pdf(pages), **parse) for pages in (1, 2, 3))
        )
        assert [len(one.markdown.pages) for one in parsed] == [1, 2, 3]
        job = {"file_input": parsed[2].job.id, "polling_interval": QUICK}
        extracted, classified, found = await asyncio.gather(
            asked(client.extract.run, configuration={"data_schema": SCHEMA, "tier": "agentic"}, **job),
            asked(client.classify.run, configuration={"rules": [RULE]}, **job),
            asked(client.retrieval.retrieve, index_id="idx-demo", query="Where?"),
        )
        assert extracted.extract_result == {"total": 42.5}
        assert classified.status == "COMPLETED"
        assert found.results
    charged = town.place.settled(account).charged
    assert charged == {
        ("parse", "agentic"): (1 + 2 + 3) * 10,
        ("extract", "agentic"): 3 * 15,
        ("classify", "fast"): 0,  # of the account's own parse job
        ("index", "retrieval"): 1,
    }
    assert town.place.reconciled(account)


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
async def test_a_document_arrives_however_it_is_handed_over(
    town: Town, stand_ins: StandIns, official: Any, tmp_path: Path, kind: str
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    content = sample_pdf(4)
    path = tmp_path / "four.pdf"
    path.write_bytes(content)
    document = {"path": path, "bytes": content, "stream": ("four.pdf", OneWay(content))}[kind]
    async with official(account) as client:
        options: Any = {**AGENTIC, "polling_interval": QUICK, "expand": ["text"]}
        parsed = await asked(client.parsing.parse, upload_file=document, **options)
    assert len(parsed.text.pages) == 4
    upload = next(call for call in stand_ins.arrived(account.id) if call.path == "/api/v2/parse/upload")
    assert ("content-length" in upload.headers) is (kind != "stream")
    assert town.place.settled(account).charged == {("parse", "agentic"): 40}


async def test_the_last_credits_are_spent_and_the_next_call_says_why_not(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    account = town.place.account("free", credits_=10)
    async with official(account) as client:
        job = await asked(client.parsing.create, upload_file=pdf(1), **AGENTIC)
        # All is held now, and still nothing stands between the caller and the job: polls are never refused for credits.
        await asked(client.parsing.wait_for_completion, job.id, polling_interval=QUICK)
        assert town.place.settled(account).credits["remaining"] == 0
        with pytest.raises(APIStatusError) as refused:
            await asked(client.parsing.parse, upload_file=pdf(1), expand=["text"], **AGENTIC)
        again = await asked(client.parsing.get, job.id, expand=["markdown"])
    assert refused.value.status_code == 402
    assert OUT_OF_CREDITS in str(refused.value)
    body: Any = refused.value.body
    assert (body["detail"], body["required_credits"], body["available_credits"]) == (OUT_OF_CREDITS, 10, 0)
    assert len(again.markdown.pages) == 1
    uploads = [call for call in stand_ins.arrived(account.id) if call.path == "/api/v2/parse/upload"]
    assert len(uploads) == 1


async def test_a_call_over_the_limit_waits_as_long_as_it_is_told_and_then_works(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    account = town.place.account("blink")  # three calls in any second

    async def retrieved(client: Any) -> tuple[int, float]:
        begun = time.monotonic()
        raw = await asked(client.retrieval.with_raw_response.retrieve, index_id="idx-demo", query="Where?")
        return raw.retries_taken, time.monotonic() - begun

    made = 0
    waited: list[tuple[int, float]] = []
    async with official(account) as client:
        while not waited:
            assert (made := made + 4) <= 40
            answers = await asyncio.gather(*(retrieved(client) for _ in range(4)))
            waited = [(retries, took_s) for retries, took_s in answers if retries]
    # Of its own accord the client comes back within half a second.
    assert all(took_s >= retries for retries, took_s in waited)
    assert len(stand_ins.arrived(account.id)) == made
    assert town.place.settled(account).charged == {("index", "retrieval"): made}


async def test_whoever_waits_for_a_job_learns_that_it_failed_and_pays_nothing(town: Town, official: Any) -> None:
    account = town.place.account("pro")
    async with official(account) as client:
        job = await asked(client.parsing.create, upload_file=pdf(3, "fail.pdf"), **AGENTIC)
        waits = asked(client.parsing.wait_for_completion, job.id, polling_interval=QUICK)
        assert "FAILED" in await outcome(waits)
    assert town.place.settled(account).charged == {}


async def test_whoever_waits_for_a_job_learns_that_it_was_cancelled(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    stand_ins.behave(job_seconds=60)
    account = town.place.account("pro")
    async with official(account) as client:
        job = await asked(client.parsing.create, upload_file=pdf(2), **AGENTIC)
        wait = asked(client.parsing.wait_for_completion, job.id, polling_interval=QUICK, max_interval=QUICK)
        waits = asyncio.create_task(wait)
        await asyncio.to_thread(eventually, lambda: len(stand_ins.arrived(account.id)) > 1)  # its first poll
        await asked(client.parsing.cancel, job.id)
        assert "CANCELLED" in await outcome(waits)
    assert sum(town.place.settled(account).charged.values()) == 0  # it had delivered nothing yet


async def test_a_price_that_stays_unknown_for_ten_looks_is_charged_once_it_is_known(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    stand_ins.behave(job_seconds=0, polls_until_billed=10)
    account = town.place.account("pro")
    told: list[Any] = []
    async with official(account) as client:
        job = await asked(client.parsing.create, upload_file=pdf(3), **AGENTIC)
        while not told or told[-1] is None:
            assert len(told) < 12
            usage = (await asked(client.parsing.get, job.id, expand=["usage"])).job.usage
            told.append(usage and usage.credits)
            if len(told) == 1:
                assert town.place.usage(account).credits["held"] == 100
    assert told[-1] == 30
    assert len(told) > 3  # the gateway's own looks are among the ten
    used = town.place.usage(account)  # that very poll has charged it
    assert used.charged == {("parse", "agentic"): 30}
    assert used.credits["held"] == 0


async def test_a_mode_that_is_not_on_the_list_is_named_and_costs_nothing(
    town: Town, stand_ins: StandIns, official: Any
) -> None:
    account = town.place.account("pro")
    async with official(account) as client:
        with pytest.raises(UnprocessableEntityError, match="enormous"):
            await asked(client.parsing.create, upload_file=pdf(1), tier="enormous", version="latest")
    assert stand_ins.arrived(account.id) == []
    assert town.place.settled(account).charged == {}


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def legacy(request: pytest.FixtureRequest, town: Town, legacy_program: Program) -> Callable[[Account], LegacyClient]:
    """Makes clients from before the rewrite."""
    return lambda account: LegacyClient(legacy_program, request.param, town.first.url, account)


@pytest.fixture
def four_pages(tmp_path: Path) -> Path:
    """A document of four pages."""
    path = tmp_path / "four.pdf"
    path.write_bytes(sample_pdf(4))
    return path


def extraction(client: LegacyClient, path: Path, mode: str = "BALANCED") -> dict[str, Any]:
    """What an extraction of a document is asked for with."""
    config = {"extraction_mode": mode}
    agent = client("llama_extract.create_extraction_agent", name="bills", data_schema=SCHEMA, config=config)
    document = {"document": str(path), "as": "path"}
    return {"extraction_agent_id": agent["id"], "file": document, "config_override": json.dumps(config)}


def refusal_of(client: LegacyClient, method: str, **options: Any) -> LegacyError | None:
    """What a call is refused with, None where it works."""
    try:
        client(method, **options)
    except LegacyError as refused:
        return refused
    return None


def ended(client: LegacyClient, job_id: str) -> str:
    """How a job ended."""
    return eventually(
        lambda: (found := client("llama_extract.get_job", job_id=job_id)["status"]) != "PENDING" and found
    )


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_the_older_client_gets_its_document_through_and_pays_for_its_pages(
    town: Town, stand_ins: StandIns, legacy: Any, four_pages: Path, kind: str
) -> None:
    account = town.place.account("pro")
    client = legacy(account)
    asked_for = extraction(client, four_pages)
    job = client("llama_extract.run_job_on_file", **{**asked_for, "file": {"document": str(four_pages), "as": kind}})
    assert ended(client, job["id"]) == "SUCCESS"
    assert client("llama_extract.get_job_result", job_id=job["id"])["data"] == {"total": 42.5}
    assert town.place.settled(account).charged == {("extract", "balanced"): 40}


def test_the_older_client_is_told_that_the_credits_are_spent(town: Town, legacy: Any, four_pages: Path) -> None:
    account = town.place.account("free", credits_=40)
    client = legacy(account)
    asked_for = extraction(client, four_pages)
    job = client("llama_extract.run_job_on_file", **asked_for)
    assert ended(client, job["id"]) == "SUCCESS"
    town.place.settled(account)
    with pytest.raises(LegacyError, match=OUT_OF_CREDITS) as refused:
        client("llama_extract.run_job_on_file", **asked_for)
    assert (refused.value.kind, refused.value.status) == ("ApiError", 402)
    assert refused.value.body["available_credits"] == 0
    assert client("llama_extract.get_job_result", job_id=job["id"])["data"] == {"total": 42.5}


def test_the_older_client_gives_up_over_the_limit_and_is_told_when_to_come_back(
    town: Town, stand_ins: StandIns, legacy: Any, four_pages: Path
) -> None:
    account = town.place.account("free")  # twenty calls a minute, and this client never tries again by itself
    client = legacy(account)
    document = {"document": str(four_pages), "as": "path"}
    asked_for: Any = {"file_ids": [client("files.upload_file", upload_file=document)["id"]], "rules": [RULE]}
    answers: list[LegacyError | None] = []
    while not answers or answers[-1] is None:
        assert len(answers) <= 20
        answers.append(refusal_of(client, "classifier.create_classify_job", **asked_for))
    assert (answers[-1].kind, answers[-1].status) == ("ApiError", 429)
    assert (answers[-1].body["code"], answers[-1].body["retryable"]) == ("rate_limited", True)
    made = len(answers) - 1
    assert town.place.settled(account).charged == {("classify", "fast"): made * 4}


def test_the_older_client_learns_that_a_job_failed_and_pays_nothing(town: Town, legacy: Any, tmp_path: Path) -> None:
    path = tmp_path / "fail.pdf"
    path.write_bytes(sample_pdf(2))
    account = town.place.account("pro")
    client = legacy(account)
    job = client("llama_extract.run_job_on_file", **extraction(client, path))
    assert ended(client, job["id"]) == "ERROR"
    assert town.place.settled(account).charged == {}


def test_the_older_client_sees_that_a_job_was_cancelled(
    town: Town, stand_ins: StandIns, legacy: Any, four_pages: Path
) -> None:
    stand_ins.behave(job_seconds=60)
    account = town.place.account("pro")
    with town.first.caller(account) as caller:  # that client has no word for cancelling
        job_id = caller.post("/api/v1/parsing/upload", files={"file": four_pages.read_bytes()}).json()["id"]
        caller.post(f"/api/v1/parsing/job/{job_id}/cancel").raise_for_status()
    assert legacy(account)("parsing.get_job", job_id=job_id)["status"] == "CANCELLED"


def test_the_older_client_can_read_why_a_call_makes_no_sense(town: Town, legacy: Any, four_pages: Path) -> None:
    account = town.place.account("pro")
    client = legacy(account)
    asked_for = extraction(client, four_pages)
    with pytest.raises(LegacyError) as refused:
        client("llama_extract.run_job_on_file", **{**asked_for, "config_override": '{"extraction_mode": "ENORMOUS"}'})
    # It takes the reasons for a list: a sentence would have it raise something that says nothing of the call.
    assert (refused.value.kind, refused.value.status) == ("UnprocessableEntityError", 422)
    assert "ENORMOUS" in refused.value.body["detail"][0]["msg"]
    assert town.place.settled(account).charged == {}
