"""What the vendor's clients make of a good day and of a bad one, whether they block or await: each does the same.

The client is the published one, unmodified, and every call goes through a real gateway. That each product's price is
right is test_sdk.py's.
"""

import asyncio
import inspect
import io
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
from tests.journeys.stand_ins import StandIns

QUICK: Final = 0.05
AGENTIC: Final = {"tier": "agentic", "version": "latest"}
OUT_OF_CREDITS: Final = "You've exceeded the maximum number of credits for your plan"
SCHEMA: Final = {"type": "object", "properties": {"total": {"type": "number"}}}


class OneWay(io.RawIOBase):
    """A document that comes from a pipe: it has no length, and cannot be read a second time."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


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
            asked(client.classify.run, configuration={"rules": [{"type": "bill", "description": "a bill"}]}, **job),
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
    made = retries = 0
    took_s = 0.0
    async with official(account) as client:
        while not retries:
            assert (made := made + 1) < 40
            begun = time.monotonic()
            raw = await asked(client.retrieval.with_raw_response.retrieve, index_id="idx-demo", query="Where?")
            took_s = time.monotonic() - begun
            retries = raw.retries_taken
    # Of its own accord the client comes back within half a second.
    assert retries == 1
    assert took_s >= 1.0
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
