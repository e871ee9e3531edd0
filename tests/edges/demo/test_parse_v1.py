"""The older parse paths, as the older clients call them: a flat form, other states, no credits anywhere."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.edges.demo.services import DEMO_CREDENTIAL, Behaviour, sample_pdf
from tests.edges.demo.conftest import Running, serving

HEADERS = {"Authorization": f"Bearer {DEMO_CREDENTIAL}", "X-Account-Id": "acc_a", "X-Project-Id": "prj_a"}


@pytest.fixture
def http(at_once: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=at_once.url, headers=HEADERS) as client:
        yield client


def upload(http: httpx.Client, prefix: str = "/api/v1/parsing", **fields: str) -> httpx.Response:
    return http.post(f"{prefix}/upload", data=fields, files={"file": ("sample.pdf", sample_pdf(5))})


def billed(http: httpx.Client, job_id: str) -> tuple[int, Any]:
    params = {"organization_id": "acc_a", "event_aggregation_key": job_id}
    [item] = http.get("/api/v1/beta/usage-metrics", params=params).json()["items"]
    return item["value"], item["credits"]


@pytest.mark.parametrize("prefix", ["/api/v1/parsing", "/api/parsing"])
def test_a_job_ends_as_success_with_its_pages_in_the_json_result(http: httpx.Client, prefix: str) -> None:
    created = upload(http, prefix).json()
    assert created["status"] == "PENDING"
    job = f"{prefix}/job/{created['id']}"
    assert http.get(job).json() == {"id": created["id"], "status": "SUCCESS"}
    result = http.get(f"{job}/result/json").json()
    assert result["job_metadata"]["job_pages"] == 5
    assert result["job_metadata"]["credits_used"] == 0
    assert result["pages"][1]["text"] == "Sample, page 2"
    assert "Sample, page 3" in http.get(f"{job}/result/markdown").json()["markdown"]
    assert http.get(f"{job}/result/pictures").status_code == 404
    assert http.get(f"{job}/details").json()["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (5, 15)),
        ({"fast_mode": "true"}, (5, 5)),
        ({"premium_mode": "True"}, (5, 225)),
        ({"parse_mode": "parse_document_with_llm"}, (5, 150)),
        ({"preset": "invoice"}, (5, 450)),
        ({"tier": "agentic"}, (5, 50)),
        ({"target_pages": "0,2-3"}, (3, 9)),
        ({"max_pages": "2"}, (2, 6)),
        ({"extract_layout": "true"}, (5, 30)),
    ],
)
def test_the_form_decides_the_price_and_pages_count_from_zero(
    http: httpx.Client, fields: dict[str, str], expected: tuple[int, int]
) -> None:
    assert billed(http, upload(http, **fields).json()["id"]) == expected


@pytest.mark.parametrize("fields", [{"tier": "best"}, {"parse_mode": "x"}, {"max_pages": "a"}, {"target_pages": "-1"}])
def test_a_form_that_cannot_be_read_is_422(http: httpx.Client, fields: dict[str, str]) -> None:
    refused = upload(http, **fields)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", next(iter(fields))]


def test_a_url_stands_for_one_page_and_neither_is_422(http: httpx.Client) -> None:
    made = http.post("/api/parsing/upload", files={"input_url": (None, "https://example.com/fail.pdf")}).json()
    assert http.get(f"/api/parsing/job/{made['id']}").json()["status"] == "ERROR"
    assert http.get(f"/api/parsing/job/{made['id']}/result/json").status_code == 404
    assert http.post("/api/parsing/upload", files={"tier": (None, "fast")}).status_code == 422


def test_another_account_and_another_product_do_not_know_the_job(http: httpx.Client) -> None:
    job_id = upload(http).json()["id"]
    assert http.get(f"/api/v2/parse/{job_id}").status_code == 404
    for path in ("", "/details", "/result/json"):
        answer = http.get(f"/api/parsing/job/{job_id}{path}", headers={"X-Account-Id": "acc_b"})
        assert answer.status_code == 404


def test_a_running_job_can_be_cancelled() -> None:
    with serving(Behaviour(job_seconds=600)) as running, httpx.Client(base_url=running.url, headers=HEADERS) as http:
        job = f"/api/v1/parsing/job/{upload(http).json()['id']}"
        assert http.get(job).json()["status"] == "PENDING"
        assert http.get(f"{job}/result/json").status_code == 404
        assert http.post(f"{job}/cancel").json()["status"] == "CANCELLED"
        assert http.post(f"{job}/cancel").status_code == 400
        assert http.get(f"{job}/result/json").json()["job_metadata"]["job_pages"] == 0
