"""The older products, and those that start many jobs at once, through real gateways: each costs what its list says."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest

from gateway.edges.demo.services import sample_pdf
from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Usage, eventually
from tests.journeys.stand_ins import StandIns

SCHEMA: Final = {"type": "object", "properties": {"total": {"type": "number"}}}
RULES: Final = [{"type": "invoice", "description": "a bill"}]


@pytest.fixture
def account(town: Town, stand_ins: StandIns) -> Account:
    """A new account; jobs end at once."""
    stand_ins.behave(job_seconds=0.05)
    return town.place.account("pro")


@pytest.fixture
def charged(town: Town, account: Account) -> Callable[[], dict[tuple[str, str], Decimal]]:
    """What the account was charged, once nothing is held any more."""

    def look() -> dict[tuple[str, str], Decimal]:
        usage: Usage = town.place.settled(account, within_s=20)
        assert town.place.reconciled(account)
        return usage.charged

    return look


def done(reply: httpx.Response) -> Any:
    assert reply.is_success, reply.text
    return reply.json()


def stored(caller: httpx.Client, pages: int, name: str = "sample.pdf") -> str:
    files = {"file": (name, sample_pdf(pages))}
    found: str = done(caller.post("/api/v1/beta/files", files=files, data={"purpose": "parse"}))["id"]
    return found


def polled(caller: httpx.Client, path: str, *, until: str = "SUCCESS") -> Any:
    def ended() -> Any:
        found = done(caller.get(path))
        return found if found["status"] in {until, "SUCCESS", "COMPLETED", "ERROR"} else None

    found = eventually(ended)
    assert found["status"] == until
    return found


@pytest.mark.parametrize("base", ["/api/v1/parsing", "/api/parsing"])
def test_parse_v1_costs_its_mode_for_every_page(town: Town, account: Account, charged: Any, base: str) -> None:
    calls: list[tuple[int, dict[str, Any]]] = [
        (3, {}),
        (2, {"fast_mode": "true"}),
        (2, {"premium_mode": "True"}),
        (1, {"preset": "invoice"}),
        (2, {"parse_mode": "parse_page_with_lvm", "model": "gemini-2.0-flash"}),
        (1, {"parse_mode": "parse_page_with_agent", "model": "openai-gpt-4-1-mini"}),
        (5, {"target_pages": "0,2-3", "tier": "agentic"}),
        (4, {"max_pages": "2", "extract_layout": "true", "tier": "cost_effective"}),
    ]
    with town.first.caller(account) as caller:
        for pages, fields in calls:
            job = done(caller.post(f"{base}/upload", data=fields, files={"file": ("a.pdf", sample_pdf(pages))}))
            polled(caller, f"{base}/job/{job['id']}")
            assert done(caller.get(f"{base}/job/{job['id']}/result/json"))["job_metadata"]["job_pages"] <= pages
    assert charged() == {
        ("parse", "parse_page_with_llm"): 3 * 3,
        ("parse", "parse_page_without_llm"): 2 * 1,
        ("parse", "parse_page_with_agent"): 2 * 45,
        ("parse", "invoice"): 90,
        ("parse", "parse_page_with_lvm/gemini-2.0-flash"): 2 * 6,
        ("parse", "parse_page_with_agent/openai-gpt-4-1-mini"): 10,
        ("parse", "agentic"): 3 * 10,
        ("parse", "cost_effective"): 2 * (3 + 3),
    }


def test_a_mode_that_is_decided_page_by_page_costs_what_the_service_billed(
    town: Town, account: Account, charged: Any
) -> None:
    with town.first.caller(account) as caller:
        form = {"file": ("a.pdf", sample_pdf(5))}
        reply = caller.post("/api/v1/parsing/upload", data={"auto_mode": "true"}, files=form)
        assert reply.headers["x-credits-held"] == str(10 * 45)
    assert charged() == {("parse", "auto_mode"): 45 + 4 * 3}


def test_a_parse_v1_job_that_failed_is_free(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        job = done(caller.post("/api/parsing/upload", files={"file": ("fail.pdf", sample_pdf(5))}))
        polled(caller, f"/api/parsing/job/{job['id']}", until="ERROR")
    assert charged() == {}


def test_a_form_without_a_file_is_priced_too(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        done(caller.post("/api/parsing/upload", data={"input_url": "https://x.org/a.pdf", "premium_mode": "true"}))
    assert charged() == {("parse", "parse_page_with_agent"): 45}


def test_sheets_cost_one_credit_each(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        file_id = stored(caller, 1, "book.xlsx")
        body = {"file_id": file_id, "config": {"sheet_names": ["a", "b", "c"]}}
        job = done(caller.post("/api/v1/beta/sheets/jobs", json=body))
        found = polled(caller, f"/api/v1/beta/sheets/jobs/{job['id']}")
        assert len(found["worksheet_metadata"]) == 3
    assert charged() == {("parse", "spreadsheet"): 3}


def test_extract_v1_costs_the_mode_that_its_agent_leaves_open_or_the_call_overrides(
    town: Town, account: Account, charged: Any
) -> None:
    with town.first.caller(account) as caller:
        agents = "/api/v1/extraction/extraction-agents"
        # It leaves the mode to the service, which runs BALANCED.
        agent = done(caller.post(agents, json={"name": "bills", "data_schema": SCHEMA, "config": {}}))["id"]
        file_id = stored(caller, 3)
        hidden = caller.post("/api/v1/extraction/jobs", json={"extraction_agent_id": agent, "file_id": file_id})
        assert hidden.headers["x-credits-held"] == str(10 * 60)
        job_id = done(hidden)["id"]
        polled(caller, f"/api/v1/extraction/jobs/{job_id}")
        run = done(caller.get(f"/api/v1/extraction/runs/by-job/{job_id}"))
        assert run["data"] == {"total": 42.5}
        told = {"extraction_agent_id": agent, "file_id": file_id, "config_override": {"extraction_mode": "FAST"}}
        done(caller.post("/api/v1/extraction/jobs", json=told))
        form = {"extraction_agent_id": agent, "config_override": '{"extraction_mode": "MULTIMODAL"}'}
        done(caller.post("/api/v1/extraction/jobs/file", data=form, files={"file": ("a.pdf", sample_pdf(2))}))
        config = {"extraction_mode": "PREMIUM"}
        done(caller.post("/api/v1/extraction/run", json={"config": config, "data_schema": SCHEMA, "file_id": file_id}))
    assert charged() == {
        ("extract", "premium"): 3 * 10 + 3 * 60,  # the hidden one is booked as what was held for
        ("extract", "fast"): 3 * 5,
        ("extract", "multimodal"): 2 * 20,
    }


def test_a_batch_of_extract_v1_jobs_costs_what_they_cost_together(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        schema = {"name": "bills", "data_schema": SCHEMA, "config": {}}
        agent = done(caller.post("/api/v1/extraction/extraction-agents", json=schema))["id"]
        files = [stored(caller, pages) for pages in (1, 2, 3)] + [stored(caller, 4, "fail.pdf")]
        body = {"extraction_agent_id": agent, "file_ids": files, "config_override": {"extraction_mode": "BALANCED"}}
        reply = caller.post("/api/v1/extraction/jobs/batch", json=body)
        assert reply.headers["x-credits-held"] == str(4 * 10 * 10)
        jobs = done(reply)
        for job in jobs[:3]:
            polled(caller, f"/api/v1/extraction/jobs/{job['id']}")
        polled(caller, f"/api/v1/extraction/jobs/{jobs[3]['id']}", until="ERROR")
    assert charged() == {("extract", "balanced"): (1 + 2 + 3) * 10}


def test_classify_v1_takes_many_files_in_one_job(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        files = [stored(caller, pages) for pages in (1, 2, 3)]
        for mode in ("FAST", "MULTIMODAL"):
            reply = caller.post("/api/v1/classifier/jobs", json={"file_ids": files, "rules": RULES, "mode": mode})
            job = done(reply)
            polled(caller, f"/api/v1/classifier/jobs/{job['id']}")
            assert len(done(caller.get(f"/api/v1/classifier/jobs/{job['id']}/results"))["items"]) == 3
        parsing = {"target_pages": [0], "max_pages": 1}
        body = {"file_ids": files, "rules": RULES, "parsing_configuration": parsing}
        reply = caller.post("/api/v1/classifier/jobs", json=body)
        assert reply.headers["x-credits-held"] == "3"
    assert charged() == {("classify", "fast"): 6 + 3, ("classify", "multimodal"): 12}


@pytest.mark.parametrize(
    ("kind", "parameters", "held", "expected"),
    [
        ("parse_v2", {"tier": "agentic", "version": "latest"}, 4_500, (1 + 2 + 4) * 10),
        ("extract_v2", {"data_schema": SCHEMA, "tier": "cost_effective"}, 9_500, (1 + 2 + 4) * 8),
    ],
)
def test_a_batch_costs_what_the_jobs_of_its_files_cost(
    town: Town, account: Account, charged: Any, kind: str, parameters: dict[str, Any], held: int, expected: int
) -> None:
    with town.first.caller(account) as caller:
        saved = {"name": "mine", "parameters": {"product_type": kind, **parameters}}
        configuration = done(caller.post("/api/v1/beta/configurations", json=saved))["id"]
        directory = done(caller.post("/api/v1/beta/directories", json={"name": "inbox"}))["id"]
        for file_id in (stored(caller, 1), stored(caller, 2), stored(caller, 4), stored(caller, 5, "fail.pdf")):
            done(caller.post(f"/api/v1/beta/directories/{directory}/files", json={"file_id": file_id}))
        job = {"type": kind, "configuration_id": configuration}
        body = {"config": {"job": job}, "source_directory_id": directory}
        reply = caller.post("/api/v2/batches", json=body)
        assert reply.headers["x-credits-held"] == str(held)
        batch = done(reply)["id"]
        polled(caller, f"/api/v2/batches/{batch}", until="COMPLETED")
        results = done(caller.get(f"/api/v2/batches/{batch}", params={"expand": "results"}))["results"]
        made = [one["job_reference"]["id"] for one in results]
        where = "/api/v2/parse" if kind == "parse_v2" else "/api/v2/extract"
        assert done(caller.get(f"{where}/{made[0]}"))
        stranger = town.place.account("pro")
        with town.second.caller(stranger) as other:
            assert other.get(f"{where}/{made[0]}").status_code == 404
            assert other.get(f"/api/v2/batches/{batch}").status_code == 404
    assert charged() == {("parse", "agentic_plus"): expected}


def test_an_empty_batch_is_free(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        saved = {"name": "mine", "parameters": {"product_type": "parse_v2", "tier": "fast", "version": "latest"}}
        configuration = done(caller.post("/api/v1/beta/configurations", json=saved))["id"]
        directory = done(caller.post("/api/v1/beta/directories", json={"name": "inbox"}))["id"]
        job = {"type": "parse_v2", "configuration_id": configuration}
        done(caller.post("/api/v2/batches", json={"config": {"job": job}, "source_directory_id": directory}))
    assert sum(charged().values()) == 0


def test_a_pipeline_costs_what_its_ingestion_jobs_index_and_parse(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        parameters = {"fast_mode": True}
        body = {"name": "handbook", "llama_parse_parameters": parameters}
        pipeline = done(caller.post("/api/v1/pipelines", json=body))["id"]
        base = f"/api/v1/pipelines/{pipeline}"
        assert done(caller.get(f"{base}/status"))["status"] == "NOT_STARTED"
        town.place.settled(account)
        files = [{"file_id": stored(caller, 3)}, {"file_id": stored(caller, 2)}]
        done(caller.put(f"{base}/files", json=files))
        polled(caller, f"{base}/status")
        town.place.settled(account, within_s=20)
        done(caller.post(f"{base}/documents", json=[{"text": "a"}, {"text": "b"}]))
        polled(caller, f"{base}/status")
        town.place.settled(account, within_s=20)
        done(caller.post(f"{base}/sync"))
        polled(caller, f"{base}/status")
        assert done(caller.post(f"{base}/retrieve", json={"query": "Where?"}))["retrieval_nodes"]
        assert "handbook" in caller.post(f"{base}/chat", json={"messages": []}).text
        stranger = town.place.account("pro")
        with town.second.caller(stranger) as other:
            assert other.get(f"{base}/status").status_code == 404
            assert other.put(f"{base}/files", json=files).status_code == 404
    assert charged() == {
        ("index", "indexing"): 5 * (1 + 1) + 2 * 1 + 5 * (1 + 1),
        ("index", "retrieval"): 1,
        ("index", "chat"): 100,
    }


def test_an_index_costs_its_exported_pages_and_a_sync_its_quote(town: Town, account: Account, charged: Any) -> None:
    with town.first.caller(account) as caller:
        directory = done(caller.post("/api/v1/beta/directories", json={"name": "books"}))["id"]
        for file_id in (stored(caller, 3), stored(caller, 4)):
            done(caller.post(f"/api/v1/beta/directories/{directory}/files", json={"file_id": file_id}))
        made = caller.post("/api/v1/indexes", json={"source_directory_id": directory})
        assert (made.status_code, made.headers["x-credits-held"]) == (201, "20")
        index = done(made)["id"]
        town.place.settled(account, within_s=20)
        synced = caller.post(f"/api/v1/indexes/{index}/sync")
        assert (synced.status_code, synced.headers["x-credits-held"]) == (202, "20")
    assert charged() == {("index", "export"): 7 * 2 + 20}
