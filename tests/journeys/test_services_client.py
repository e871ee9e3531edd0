"""What `LlamaParse` and `LlamaExtract` make of a good day and of a bad one: the published ones, unmodified.

One row of each table is one of their behaviours. The reader swallows errors: it prints them and returns nothing, and
polls on whatever it is answered. The extraction service of that time has no word for cancelling.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.edges.demo.services import sample_pdf
from tests.journeys.client_environments import set_up
from tests.journeys.conftest import SERVICES_CLIENT, Town
from tests.journeys.gateway_process import ROOT, Account, eventually
from tests.journeys.stand_ins import StandIns

OUT_OF_CREDITS: Final = "You've exceeded the maximum number of credits for your plan"
SCHEMA: Final = {"type": "object", "properties": {"total": {"type": "number"}}}
PARSE: Final[dict[str, Any]] = {"what": "parse", "options": {}}
LOUD_PARSE: Final[dict[str, Any]] = {"what": "parse", "options": {"ignore_errors": False}}
EXTRACT: Final[dict[str, Any]] = {"what": "extract", "options": {"mode": "BALANCED", "schema": SCHEMA}}
UPLOAD: Final = "/api/parsing/upload"

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def _program() -> Iterator[subprocess.Popen[str]]:
    command = [str(set_up(SERVICES_CLIENT)), "-m", "tests.journeys.services_program"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        with contextlib.suppress(BrokenPipeError):
            process.communicate(timeout=10)


@pytest.fixture
def ask(_program: "subprocess.Popen[str]", town: Town, tmp_path: Path) -> Ask:
    """Has the program make a call with a document of so many pages; what came of it."""

    def asked(account: Account, call: dict[str, Any], *, pages: int = 4, name: str = "a.pdf", **more: Any) -> Any:
        document = tmp_path / name
        document.write_bytes(sample_pdf(pages))
        whole = {"as": "path", "awaits": False, **call, **more}
        whole |= {"url": town.first.url, "key": account.key, "document": str(document)}
        assert _program.stdin is not None
        assert _program.stdout is not None
        _program.stdin.write(json.dumps(whole) + "\n")
        _program.stdin.flush()
        line = _program.stdout.readline()
        assert line, "the program with the client is gone; what it said stands above"
        return json.loads(line)

    return asked


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def awaits(request: pytest.FixtureRequest) -> bool:
    """Which of its two ways the client is used in."""
    return bool(request.param)


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_llamaparse_gets_its_document_through_and_pays_for_its_pages(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool, kind: str
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    told = ask(account, PARSE, awaits=awaits, **{"as": kind})
    assert told["answer"] == [f"Sample, page {page}" for page in range(1, 5)], told
    upload = next(call for call in stand_ins.arrived(account.id) if call.path == UPLOAD)
    assert ("content-length" in upload.headers) is (kind != "stream")
    assert town.place.settled(account).charged == {("parse", "parse_page_with_llm"): 12}


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_llamaextract_gets_its_document_through_and_pays_for_its_pages(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool, kind: str
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    told = ask(account, EXTRACT, awaits=awaits, **{"as": kind})
    assert told["answer"]["data"] == {"total": 42.5}
    assert town.place.settled(account).charged == {("extract", "balanced"): 40}


def test_llamaparse_prints_that_the_credits_are_spent_returns_nothing_and_tries_no_second_time(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool
) -> None:
    account = town.place.account("free", credits_=2)
    told = ask(account, PARSE, awaits=awaits)
    assert told["answer"] == []
    assert "402" in told["printed"] or OUT_OF_CREDITS in told["printed"], told
    assert stand_ins.arrived(account.id) == []
    assert town.place.settled(account).charged == {}


def test_llamaparse_says_so_aloud_where_it_is_told_to(town: Town, ask: Ask, awaits: bool) -> None:
    account = town.place.account("free", credits_=2)
    told = ask(account, LOUD_PARSE, awaits=awaits)
    assert "402" in told["text"], told


def test_llamaextract_raises_that_the_credits_are_spent(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool
) -> None:
    account = town.place.account("free", credits_=2)
    told = ask(account, EXTRACT, awaits=awaits)
    assert (told["error"], told["status"]) == ("ApiError", 402)
    assert OUT_OF_CREDITS in told["text"]
    assert town.place.settled(account).charged == {}


def test_llamaparse_waits_when_it_is_over_the_limit_and_then_works(town: Town, stand_ins: StandIns, ask: Ask) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("blink")  # three calls in any second
    with town.first.caller(account) as caller:
        query = {"index_id": "idx-demo", "query": "Where?"}
        while caller.post("/api/v1/retrieval/retrieve", json=query).is_success:
            pass
    begun = time.monotonic()
    told = ask(account, PARSE, pages=1)
    assert told["answer"] == ["Sample, page 1"], told
    assert time.monotonic() - begun >= 4  # as long as this client ever waits first, whatever it is told
    charged = town.place.settled(account).charged
    assert charged[("parse", "parse_page_with_llm")] == 3
    assert [call.path for call in stand_ins.arrived(account.id)].count(UPLOAD) == 1


def test_llamaextract_waits_when_it_is_over_the_limit_and_then_works(town: Town, stand_ins: StandIns, ask: Ask) -> None:
    account = town.place.account("blink")
    names = [f"agent-{number}" for number in range(4)]
    told = ask(account, {"what": "agents", "options": {"names": names, "schema": SCHEMA}})
    assert told["answer"] == names, told
    made = [call for call in stand_ins.arrived(account.id) if call.path.endswith("/extraction-agents")]
    assert len(made) == len(names)


def test_llamaparse_learns_that_a_job_failed_and_pays_nothing(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool
) -> None:
    stand_ins.behave(job_seconds=0)
    account = town.place.account("pro")
    told = ask(account, PARSE, awaits=awaits, name="fail.pdf")
    assert told["answer"] == []
    assert "Error while parsing the file" in told["printed"]
    assert ask(account, LOUD_PARSE, awaits=awaits, name="fail.pdf")["error"] == "JobFailedException"
    assert town.place.settled(account).charged == {}


def test_llamaextract_learns_that_a_job_failed_and_pays_nothing(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool
) -> None:
    stand_ins.behave(job_seconds=0, failing=True)
    account = town.place.account("pro")
    told = ask(account, EXTRACT, awaits=awaits)
    assert told.get("answer", {}).get("data") is None, told
    assert town.place.settled(account).charged == {}


def test_llamaparse_learns_that_a_job_was_cancelled_and_pays_nothing(
    town: Town, stand_ins: StandIns, ask: Ask, awaits: bool
) -> None:
    stand_ins.behave(job_seconds=60)
    account = town.place.account("pro")
    with ThreadPoolExecutor(1) as beside, town.first.caller(account) as caller:
        waits = beside.submit(ask, account, LOUD_PARSE, awaits=awaits)
        polls = eventually(lambda: [one for one in stand_ins.arrived(account.id) if "/parsing/job/" in one.path])
        caller.post(f"{polls[0].path.replace('/api/parsing', '/api/v1/parsing')}/cancel").raise_for_status()
        told = waits.result()
    assert told["error"] == "JobFailedException"
    assert "CANCEL" in told["text"], told
    assert sum(town.place.settled(account).charged.values()) == 0


def test_both_are_charged_once_the_bill_is_known_which_takes_ten_looks(
    town: Town, stand_ins: StandIns, ask: Ask
) -> None:
    stand_ins.behave(job_seconds=0, polls_until_billed=10)
    account = town.place.account("pro")
    for call in (PARSE, EXTRACT):
        assert ask(account, call)["answer"]
    assert town.place.usage(account).credits["used"] == 0
    assert town.place.settled(account, within_s=60).charged == {
        ("parse", "parse_page_with_llm"): 12,
        ("extract", "balanced"): 40,
    }
    assert town.place.reconciled(account)
