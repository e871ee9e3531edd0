"""The stand-in services, met by the vendor's own client, unmodified."""

from collections.abc import Callable
from typing import Any

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud
from llama_cloud._polling import PollingError

from gateway.edges.demo.services import DEMO_CREDENTIAL, Behaviour, sample_pdf
from tests.edges.demo.conftest import AT_ONCE, Running

SCHEMA: Any = {"type": "object", "properties": {"total": {"type": "number"}, "lines": {"type": "array"}}}
RULES: Any = [{"type": "invoice", "description": "a bill"}, {"type": "letter", "description": "prose"}]
CATEGORIES: Any = [{"name": "front"}, {"name": "back"}]


def pdf(pages: int, name: str = "sample.pdf") -> tuple[str, bytes, str]:
    return name, sample_pdf(pages), "application/pdf"


def stored(client: LlamaCloud, pages: int, name: str = "sample.pdf") -> str:
    return client.files.create(file=pdf(pages, name), purpose="parse").id


# Parse


def test_parse_of_an_upload_counts_the_pages_of_the_pdf_and_bills_them_by_tier(client: LlamaCloud) -> None:
    done = client.parsing.parse(
        polling_interval=0.01,
        tier="agentic",
        version="latest",
        upload_file=pdf(7),
        expand=["markdown", "text", "metadata", "usage"],
    )
    assert done.job.status == "COMPLETED"
    assert done.metadata is not None
    assert len(done.metadata.pages) == 7
    assert done.job.usage is not None
    assert done.job.usage.credits == 70
    assert done.text is not None
    assert done.text.pages[3].text == "Sample, page 4"
    assert done.markdown is not None
    assert len(done.markdown.pages) == 7


@pytest.mark.parametrize(
    ("tier", "ranges", "options", "expected"),
    [
        ("fast", {}, {}, 10),
        ("cost_effective", {}, {}, 30),
        ("agentic_plus", {}, {}, 450),
        ("agentic", {"target_pages": "1,3,5-8,90"}, {}, 60),
        ("agentic", {"max_pages": 2}, {}, 20),
        ("agentic", {}, {"cost_optimizer": {"enable": True}}, 65),
        ("agentic", {}, {"confidence_score_effort": "high"}, 150),
    ],
)
def test_parse_of_a_file_by_id_bills_the_selected_pages(
    client: LlamaCloud, tier: str, ranges: Any, options: Any, expected: int
) -> None:
    file_id = stored(client, 10)
    done = client.parsing.parse(
        polling_interval=0.01,
        tier=tier,
        version="latest",
        file_id=file_id,
        page_ranges=ranges,
        processing_options=options,
        expand=["usage"],
    )
    assert done.job.usage is not None
    assert done.job.usage.credits == expected


def test_a_text_page_is_600_tokens_and_an_unknown_file_one_page(client: LlamaCloud) -> None:
    for name, content, pages in (("a.md", b"word " * 2000, 5), ("a.txt", b"", 1), ("a.png", b"\x89PNG" * 9000, 1)):
        done = client.parsing.parse(
            polling_interval=0.01, tier="fast", version="latest", upload_file=(name, content), expand=["metadata"]
        )
        assert done.metadata is not None
        assert len(done.metadata.pages) == pages


def test_a_saved_configuration_hides_the_tier_and_still_bills_it(client: LlamaCloud) -> None:
    saved = client.configurations.create(
        name="best", parameters={"product_type": "parse_v2", "tier": "agentic_plus", "version": "latest"}
    )
    assert client.configurations.retrieve(saved.id).parameters.to_dict()["tier"] == "agentic_plus"
    job = client.post(
        "/api/v2/parse", cast_to=object, body={"file_id": stored(client, 2), "configuration_id": saved.id}
    )
    assert isinstance(job, dict)
    done = client.parsing.get(job["id"], expand=["usage"])
    assert done.job.usage is not None
    assert done.job.usage.credits == 90


def test_credits_are_null_until_billing_has_recorded_them(services: Callable[[Behaviour], Running]) -> None:
    behaviour = Behaviour(job_seconds=0, billing_lag_seconds=0, polls_until_billed=2)
    with services(behaviour).client() as client:
        job = client.parsing.create(tier="agentic", version="latest", upload_file=pdf(3))
        assert job.status == "PENDING"
        seen = []
        for _ in range(3):
            usage = client.parsing.get(job.id, expand=["usage"]).job.usage
            assert usage is not None
            seen.append(usage.credits)
        assert seen == [None, None, 30]


def test_a_poll_without_expand_tells_no_credits(client: LlamaCloud) -> None:
    job = client.parsing.create(tier="fast", version="latest", upload_file=pdf(1))
    answer = client.parsing.get(job.id)
    assert answer.job.status == "COMPLETED"
    assert answer.job.usage is None
    assert answer.markdown is None


@pytest.mark.parametrize(
    "file", [("will-fail.pdf", sample_pdf(2)), ("x.pdf", b"%PDF-1.4 broken"), ("x.md", b"FAIL THIS JOB")]
)
def test_a_failed_job_is_free(client: LlamaCloud, file: tuple[str, bytes]) -> None:
    job = client.parsing.create(tier="agentic", version="latest", upload_file=file)
    with pytest.raises(PollingError, match="FAILED"):
        client.parsing.wait_for_completion(job.id, polling_interval=0.01)
    usage = client.parsing.get(job.id, expand=["usage"]).job.usage
    assert usage is not None
    assert usage.credits == 0


def test_a_broken_pdf_does_not_stop_the_next_one_from_being_counted(client: LlamaCloud) -> None:
    client.files.create(file=("broken.pdf", b"%PDF-1.7\n%%EOF"), purpose="parse")
    done = client.parsing.parse(
        polling_interval=0.01, tier="fast", version="latest", upload_file=pdf(4), expand=["usage"]
    )
    assert done.job.usage is not None
    assert done.job.usage.credits == 4


def test_a_running_job_can_be_cancelled_once_and_then_deleted(services: Callable[[Behaviour], Running]) -> None:
    with services(Behaviour(job_seconds=600, billing_lag_seconds=0)).client() as client:
        job = client.parsing.create(tier="agentic", version="latest", upload_file=pdf(10))
        assert client.parsing.get(job.id).job.status == "PENDING"
        with pytest.raises(llama_cloud.BadRequestError):
            client.parsing.delete(job.id)
        assert client.parsing.cancel(job.id).status == "CANCELLED"
        with pytest.raises(llama_cloud.BadRequestError):
            client.parsing.cancel(job.id)
        answer = client.parsing.get(job.id, expand=["usage", "metadata"])
        assert answer.job.usage is not None
        assert answer.job.usage.credits == 0
        assert answer.metadata is not None
        assert answer.metadata.pages == []
        assert client.parsing.delete(job.id).id == job.id
        with pytest.raises(llama_cloud.NotFoundError):
            client.parsing.get(job.id)


def test_the_same_document_parsed_again_is_free_where_the_cache_is_on(
    services: Callable[[Behaviour], Running],
) -> None:
    with services(AT_ONCE.model_copy(update={"parse_cache": True})).client() as client:
        bills = []
        for tier, disable in (("agentic", False), ("agentic", False), ("fast", False), ("agentic", True)):
            done = client.parsing.parse(
                polling_interval=0.01,
                tier=tier,
                version="latest",
                upload_file=pdf(2),
                disable_cache=disable,
                expand=["usage"],
            )
            bills.append(done.job.usage and done.job.usage.credits)
        assert bills == [20, 0, 2, 20]


def test_versions_are_not_taken_for_a_job(client: LlamaCloud) -> None:
    assert client.parsing.list_versions().latest.agentic == "2026-10-16"


# Extract, Classify, Split


def test_extract_from_a_file_bills_extraction_and_parsing(client: LlamaCloud) -> None:
    job = client.extract.run(
        polling_interval=0.01,
        file_input=stored(client, 4),
        configuration={"data_schema": SCHEMA, "tier": "agentic", "parse_tier": "fast"},
    )
    assert job.extract_result == {"total": 42.5, "lines": ["lines found in sample.pdf"]}
    assert job.usage is None
    usage = client.extract.get(job.id, expand=["usage", "configuration", "extract_metadata"]).usage
    assert usage is not None
    assert (usage.credits, usage.extract_credits, usage.parse_credits) == (64, 60, 4)


def test_extract_turbo_has_no_parse_part(client: LlamaCloud) -> None:
    job = client.extract.run(
        polling_interval=0.01,
        file_input=stored(client, 2),
        configuration={"data_schema": SCHEMA, "tier": "turbo", "extraction_target": "per_page"},
    )
    assert isinstance(job.extract_result, list)
    assert len(job.extract_result) == 2
    usage = client.extract.get(job.id, expand=["usage"]).usage
    assert usage is not None
    assert (usage.credits, usage.extract_credits, usage.parse_credits) == (70, 70, None)


def test_each_extract_on_one_parse_job_reports_its_parse_cost_again(client: LlamaCloud) -> None:
    parsed = client.parsing.parse(
        polling_interval=0.01, tier="agentic", version="latest", upload_file=pdf(3), expand=["text"]
    )
    for _ in range(2):
        job = client.extract.run(polling_interval=0.01, file_input=parsed.job.id, configuration={"data_schema": SCHEMA})
        usage = client.extract.get(job.id, expand=["usage"]).usage
        assert usage is not None
        assert (usage.credits, usage.extract_credits, usage.parse_credits) == (45, 15, 30)
        assert [item["credits"] for item in metrics(client, job.id)] == [15]


def test_classify_bills_a_credit_a_page_and_nothing_on_your_own_parse_job(client: LlamaCloud) -> None:
    job = client.classify.run(
        polling_interval=0.01, file_input=stored(client, 3, "letter.pdf"), configuration={"rules": RULES}
    )
    assert job.result is not None
    assert job.result.type == "letter"
    usage = client.classify.get(job.id, expand=["usage"]).usage
    assert usage is not None
    assert (usage.credits, usage.parse_credits) == (3, 3)
    parsed = client.parsing.parse(
        polling_interval=0.01, tier="fast", version="latest", upload_file=pdf(3), expand=["text"]
    )
    job = client.classify.run(polling_interval=0.01, parse_job_id=parsed.job.id, configuration={"rules": RULES})
    usage = client.classify.get(job.id, expand=["usage"]).usage
    assert usage is not None
    assert (usage.credits, usage.parse_credits) == (0, None)


def test_split_speaks_lowercase_and_tells_its_cost_only_in_the_metrics(client: LlamaCloud) -> None:
    created = client.split.create(file_input=stored(client, 5), configuration={"categories": CATEGORIES})
    assert created.status == "pending"
    done = client.split.get(created.id)
    assert done.status == "completed"
    assert done.result is not None
    assert [segment.pages for segment in done.result.segments] == [[1, 2, 3], [4, 5]]
    assert [(item["event_type"], item["value"], item["credits"]) for item in metrics(client, created.id)] == [
        ("pages_split", 5, 20.0)
    ]


def test_the_older_split_path_answers_the_older_client_calls(client: LlamaCloud) -> None:
    done = client.beta.split.split(
        polling_interval=0.01, document_input={"type": "file_id", "value": stored(client, 2)}, categories=CATEGORIES
    )
    assert done.status == "completed"


# Index and chat


def test_retrieval_answers_at_once(client: LlamaCloud) -> None:
    found = client.retrieval.retrieve(index_id="idx-demo", query="Where are the keys?", top_k=3)
    assert len(found.results) == 3
    index = client.indexes.create(source_directory_id="dir-1", name="own")
    assert client.retrieval.retrieve(index_id=index.id, query="again").results
    assert [hit.file_name for hit in client.retrieval.find(index_id=index.id)] == ["handbook.pdf"]
    assert client.retrieval.read(index_id=index.id, file_id="dfl-1").content


def test_a_chat_turn_streams_events_until_it_stops(client: LlamaCloud) -> None:
    session = client.chat.create(index_ids=["idx-demo"])
    turn = client.chat.stream(session.session_id, index_ids=["idx-demo"], prompt="Why?")
    assert isinstance(turn, str)
    assert turn.startswith("data: ")
    assert turn.count("\n\n") > 5
    kinds = [event.type for event in client.chat.retrieve(session.session_id).events]
    assert kinds == ["user_input", "text", "stop"]
    assert [item["credits"] for item in metrics(client, session.session_id)] == [100]
    assert next(one.session_id for one in client.chat.list()) == session.session_id
    client.chat.delete(session.session_id)


def test_each_chat_event_leaves_before_the_next_is_made(services: Callable[[Behaviour], Running]) -> None:
    with raw(services(Behaviour(chunk_delay_seconds=3600))) as http:
        session = http.post("/api/v1/chat").json()["session_id"]
        turn = {"index_ids": ["idx-demo"], "prompt": "Why?"}
        with http.stream("POST", f"/api/v1/chat/{session}/messages/stream", json=turn) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert next(answer.iter_lines()) == 'data: {"type":"text_delta","content":"You "}'


# Files, lists, isolation


def test_files_are_listed_found_and_deleted(client: LlamaCloud) -> None:
    made = client.files.create(file=pdf(1), purpose="extract", external_file_id="mine")
    assert made.purpose == "extract"
    assert client.files.retrieve(made.id).name == "sample.pdf"
    assert [file.id for file in client.files.list(external_file_id="mine")] == [made.id]
    with pytest.deprecated_call():
        found = client.files.query(filter={"file_ids": [made.id]})
    assert [file.id for file in found.items] == [made.id]
    client.files.delete(made.id)
    with pytest.raises(llama_cloud.NotFoundError):
        client.files.retrieve(made.id)


def test_lists_page_by_cursor_newest_first(at_once: Running) -> None:
    with at_once.client("acc_lists") as client:
        ids = [client.parsing.create(tier="fast", version="latest", upload_file=pdf(1)).id for _ in range(5)]
        assert [job.id for job in client.parsing.list(page_size=2)] == ids[::-1]
        assert [job.id for job in client.parsing.list(job_ids=ids[1:3])] == [ids[2], ids[1]]
        assert [job.id for job in client.parsing.list(status="FAILED")] == []


def test_another_account_sees_none_of_it(at_once: Running, client: LlamaCloud) -> None:
    file_id = stored(client, 1)
    parse = client.parsing.create(tier="fast", version="latest", file_id=file_id).id
    extract = client.extract.create(file_input=file_id, configuration={"data_schema": SCHEMA}).id
    classify = client.classify.create(file_input=file_id, configuration={"rules": RULES}).id
    split = client.split.create(file_input=file_id, configuration={"categories": CATEGORIES}).id
    session = client.chat.create().session_id
    index = client.indexes.create(source_directory_id="dir-1").id
    saved = client.configurations.create(name="c", parameters={"product_type": "unknown"}).id
    with at_once.client("acc_b") as other:
        attempts: tuple[Callable[[], object], ...] = (
            lambda: other.files.retrieve(file_id),
            lambda: other.files.delete(file_id),
            lambda: other.parsing.get(parse),
            lambda: other.parsing.delete(parse),
            lambda: other.parsing.create(tier="fast", version="latest", file_id=file_id),
            lambda: other.extract.get(extract),
            lambda: other.extract.cancel(extract),
            lambda: other.extract.create(file_input=parse, configuration={"data_schema": SCHEMA}),
            lambda: other.classify.get(classify),
            lambda: other.split.get(split),
            lambda: other.split.delete(split),
            lambda: other.chat.retrieve(session),
            lambda: other.chat.stream(session, index_ids=["idx-demo"], prompt="?"),
            lambda: other.indexes.get(index),
            lambda: other.retrieval.retrieve(index_id=index, query="?"),
            lambda: other.configurations.retrieve(saved),
            lambda: other.parsing.list(organization_id="acc_a"),
            lambda: other.parsing.list(project_id="prj_acc_a"),
        )
        for attempt in attempts:
            with pytest.raises(llama_cloud.NotFoundError):
                attempt()
        for listed in (other.files, other.parsing, other.extract, other.classify, other.split, other.chat):
            assert list(listed.list()) == []
        assert metrics(other, parse) == []


def test_projects_of_one_account_list_apart(at_once: Running) -> None:
    with at_once.client("acc_p", "prj_1") as first, at_once.client("acc_p", "prj_2") as second:
        job = first.parsing.create(tier="fast", version="latest", upload_file=pdf(1))
        assert job.project_id == "prj_1"
        assert list(second.parsing.list()) == []
        assert [project.id for project in first.projects.list()] == ["prj_1"]


# Errors


def test_a_wrong_credential_is_401(at_once: Running) -> None:
    with at_once.client(credential="cgw_live_x") as client, pytest.raises(llama_cloud.AuthenticationError) as caught:
        client.files.list()
    assert caught.value.body == {"detail": "Invalid API Key"}


def test_bad_input_is_422_in_list_form(client: LlamaCloud) -> None:
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        client.parsing.create(tier="best", version="latest", source_url="https://example.com/a.pdf")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["detail"][0]["loc"] == ["body", "tier"]
    with pytest.raises(llama_cloud.UnprocessableEntityError) as caught:
        client.parsing.create(tier="best", version="latest", upload_file=pdf(1))
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["detail"][0]["loc"] == ["body", "configuration", "tier"]
    for ranges in ("0", "3-1", "a", "1,,2", "1-"):
        with pytest.raises(llama_cloud.UnprocessableEntityError):
            client.parsing.create(
                tier="fast", version="latest", upload_file=pdf(1), page_ranges={"target_pages": ranges}
            )


def raw(running: Running, credential: str = DEMO_CREDENTIAL) -> httpx.Client:
    return httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {credential}"})


def metrics(client: LlamaCloud, key: str) -> list[dict[str, Any]]:
    organization = client._custom_headers["X-Account-Id"]
    answer = client.get(
        "/api/v1/beta/usage-metrics",
        cast_to=object,
        options={"params": {"organization_id": organization, "event_aggregation_key": key}},
    )
    assert isinstance(answer, dict)
    return list(answer["items"])


def test_a_file_sent_before_the_configuration_is_read_all_the_same(at_once: Running) -> None:
    boundary = b"edge"
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        + sample_pdf(2)
        + b'\r\n--edge\r\nContent-Disposition: form-data; name="configuration"\r\n\r\n{"tier": "fast"}\r\n--edge--\r\n'
    )
    with raw(at_once) as http:
        answer = http.post(
            "/api/v2/parse/upload",
            content=body,
            headers={"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"},
        )
        assert answer.status_code == 200
        job = http.get(f"/api/v2/parse/{answer.json()['id']}", params={"expand": "usage"}).json()["job"]
        assert job["usage"] == {"credits": 2.0}
        for broken in (body[:-20], b"no form at all"):
            refused = http.post(
                "/api/v2/parse/upload", content=broken, headers={"Content-Type": "multipart/form-data; boundary=edge"}
            )
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"][0] == "body"
        assert http.get("/api/v9/nothing").json() == {"detail": "Not Found"}


def test_what_arrived_is_on_record_for_tests_to_look_at(services: Callable[[Behaviour], Running]) -> None:
    running = services(AT_ONCE)
    with running.client("acc_seen") as client, raw(running) as http:
        client.parsing.list(page_size=3)
        seen = http.get("/__seen").json()
        assert seen["count"] == 1
        call = seen["calls"][0]
        assert (call["method"], call["path"], call["query"]) == ("GET", "/api/v2/parse", "page_size=3")
        assert ["x-account-id", "acc_seen"] in call["headers"]
        assert http.delete("/__seen").status_code == 204
        assert http.get("/__seen").json()["count"] == 0
    with raw(running, "wrong") as http:
        assert http.get("/__seen").status_code == 401
        assert http.get("/__health").json() == {"status": "ok"}


def test_behaviour_changes_while_running(services: Callable[[Behaviour], Running]) -> None:
    running = services(AT_ONCE)
    with running.client() as client, raw(running) as http:
        assert http.put("/__behaviour", json={"error_rate": 0.5, "error_status": 503}).json()["error_status"] == 503
        outcomes = [http.get("/api/v2/parse").status_code for _ in range(6)]
        assert outcomes == [200, 503] * 3
        assert http.put("/__behaviour", json={"error_rat": 1}).status_code == 422
        http.put("/__behaviour", json={"failing": True, "job_seconds": 0})
        job = client.parsing.create(tier="fast", version="latest", upload_file=pdf(1))
        assert client.parsing.get(job.id).job.status == "FAILED"


def test_downloads_and_echoes_stream(at_once: Running) -> None:
    with raw(at_once) as http:
        assert len(http.get("/__download", params={"bytes": 200_001}).content) == 200_001
        assert "content-length" not in http.get("/__download", params={"bytes": 10, "chunked": 1}).headers
        assert http.post("/__echo", content=b"back" * 1000).content == b"back" * 1000
        assert http.get("/__download", params={"bytes": "-1"}).status_code == 422
