"""What config/ sells and where it sends calls: the shipped files against the facts they were made from."""

import inspect
import re
from pathlib import Path

import llama_cloud.resources
import pytest

from gateway.configuration import Configuration, load
from gateway.domain.credits import credits_text
from gateway.domain.plan import WhenExhausted
from gateway.domain.quote import Quote
from gateway.settings import IsolatesBy
from gateway.wire.headers import Headers
from gateway.wire.price import PriceList
from gateway.wire.route import Delivery, JobUse, Overrun, Route
from gateway.wire.saved_configuration import NO_MODES, LookUp, Modes
from gateway.wire.values import RequestValues, needs, wheres

CONFIG = Path(__file__).parents[2] / "config" / "gateway.yaml"


@pytest.fixture(scope="module")
def shipped() -> Configuration:
    return load(CONFIG, {})


def route_of(shipped: Configuration, call: str) -> Route:
    method, path = call.split()
    match = shipped.catalog.routes.match(method, path)
    assert match is not None, f"{call} is not routed"
    return match.route


def quote_of(shipped: Configuration, call: str, body: str) -> Quote:
    metered = route_of(shipped, call).metered
    assert metered is not None
    values = RequestValues(needs(wheres(metered)), headers=no_headers(), query=b"", body=body.encode())
    prices, saved = PriceList(shipped.catalog.rate_card), dict[LookUp, Modes]()
    while isinstance(quote := prices.price(metered, values, saved), LookUp):
        saved[quote] = NO_MODES
    assert isinstance(quote, Quote), quote
    return quote


def no_headers() -> Headers:
    return []


def test_the_plans_are_the_four_that_are_sold(shipped: Configuration) -> None:
    plans = shipped.catalog.plans
    sold = [
        (plan.name, plan.price_cents, credits_text(plan.granted_millicredits), plan.support) for plan in plans.values()
    ]
    assert sold == [
        ("Free", 0, "10000", "Community"),
        ("Starter", 5_000, "40000", "Email"),
        ("Pro", 50_000, "400000", "Priority"),
        ("Enterprise", 0, "0", "Dedicated"),
    ]
    free = plans["free"]
    assert free.when_exhausted is WhenExhausted.REFUSE
    assert free.overage_millicredits == 0
    assert free.concurrent_calls is None
    requests = free.rate_limits["requests"]
    assert requests is not None
    assert (requests.calls, requests.window_ms) == (20, 60_000)
    # $500 and $5,000 at $1.25 per 1,000 credits.
    assert credits_text(plans["starter"].overage_millicredits) == "400000"
    assert credits_text(plans["pro"].overage_millicredits) == "4000000"
    assert plans["enterprise"].contract


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        ("POST /api/v2/parse", '{"tier": "agentic", "file_id": "f"}', 100),
        ("POST /api/v2/parse", '{"file_id": "f"}', 30),
        ("POST /api/v2/parse", '{"configuration_id": "c"}', 450),
        ("POST /api/v2/parse", '{"tier": "fast", "configuration_id": "c"}', 10),
        (
            "POST /api/v2/parse",
            '{"tier": "agentic", "processing_options": {"confidence_score_effort": "high"}}',
            150,
        ),
        ("POST /api/v2/extract", '{"file_input": "f", "configuration": {"tier": "agentic"}}', 250),
        ("POST /api/v2/extract", '{"file_input": "f", "configuration": {"tier": "cost_effective"}}', 80),
        (
            "POST /api/v2/extract",
            '{"file_input": "f", "configuration": {"tier": "agentic", "parse_tier": "fast"}}',
            160,
        ),
        ("POST /api/v2/extract", '{"file_input": "pjb-1", "configuration": {"tier": "agentic_plus"}}', 500),
        ("POST /api/v2/extract", '{"file_input": "f", "configuration": {"tier": "turbo"}}', 350),
        ("POST /api/v2/extract", '{"file_input": "f", "configuration_id": "c"}', 950),
        ("POST /api/v2/classify", '{"file_input": "f", "configuration": {"rules": []}}', 10),
        ("POST /api/v2/classify", '{"file_input": "f", "configuration": {"rules": [], "mode": "FAST"}}', 10),
        ("POST /api/v1/split/jobs", '{"configuration": {"categories": []}}', 40),
        ("POST /api/v1/beta/split/jobs", '{"configuration": {"categories": []}}', 40),
        ("POST /api/v1/retrieval/retrieve", '{"query": "q"}', 1),
        ("POST /api/v1/pipelines/p/retrieve", '{"query": "q"}', 1),
        ("POST /api/v1/retrievers/retrieve", '{"query": "q"}', 1),
        ("POST /api/v1/retrievers/r/retrieve", '{"query": "q"}', 1),
        ("POST /api/v1/chat/s/messages/stream", '{"message": "hello"}', 100),
    ],
)
def test_a_call_is_quoted_by_the_price_list(shipped: Configuration, call: str, body: str, expected: int) -> None:
    assert credits_text(quote_of(shipped, call, body).expected_millicredits) == str(expected)


def test_retrieval_and_chat_are_quoted_exactly_and_jobs_are_not(shipped: Configuration) -> None:
    assert quote_of(shipped, "POST /api/v1/retrieval/retrieve", "{}").exact
    assert quote_of(shipped, "POST /api/v1/chat/s/messages/stream", "{}").exact
    assert quote_of(shipped, "POST /api/v2/parse", "{}").least_millicredits == 3_000


def test_every_route_that_starts_a_job_charges_what_it_truly_cost(shipped: Configuration) -> None:
    starting = [route.metered for route in shipped.catalog.routes.routes if route.metered and route.metered.starts_job]
    assert len(starting) == 26
    assert {metered.overrun for metered in starting} == {Overrun.CHARGE}
    assert {metered.units.at_least for metered in starting} == {1}
    assert {metered.starts_job for metered in starting} == set(shipped.catalog.job_kinds)


@pytest.mark.parametrize(
    ("kinds", "charged", "stopped", "free"),
    [
        ("parse_v2 extract_v2 classify_v2 split split_beta batch_v2", "COMPLETED", "CANCELLED", "FAILED"),
        ("parse_v1 extract_v1 extract_v1_batch classify_v1 ingestion", "PARTIAL_SUCCESS SUCCESS", "CANCELLED", "ERROR"),
        ("sheets", "PARTIAL_SUCCESS SUCCESS", "CANCELLED", "ERROR FAILURE"),
        ("new_pipeline", "PARTIAL_SUCCESS SUCCESS", "CANCELLED", "ERROR NOT_STARTED"),
    ],
)
def test_a_failed_job_is_free_and_a_cancelled_one_costs_what_it_delivered(
    shipped: Configuration, kinds: str, charged: str, stopped: str, free: str
) -> None:
    for kind in kinds.split():
        statuses = shipped.catalog.job_kinds[kind].statuses
        by_delivery = [
            " ".join(sorted(status for status, delivery in statuses.items() if delivery is wanted))
            for wanted in (Delivery.CHARGED, Delivery.STOPPED, Delivery.FREE)
        ]
        assert by_delivery == [charged, stopped, free], kind


def test_an_index_is_done_when_it_is_no_longer_at_work(shipped: Configuration) -> None:
    for kind in ("new_index", "index_sync"):
        assert shipped.catalog.job_kinds[kind].statuses == {"FALSE": Delivery.CHARGED}


def test_no_cost_is_read_from_the_credit_fields_that_the_service_gave_up(shipped: Configuration) -> None:
    for kind in shipped.catalog.job_kinds.values():
        for cost in kind.costs:
            assert "job_metadata" not in (cost.credits or ()), kind.name


def test_polls_and_results_are_free_and_counted_as_reads(shipped: Configuration) -> None:
    polls = [route for route in shipped.catalog.routes.routes if route.job and route.job.use is JobUse.POLL]
    assert len(polls) == 11
    for route in polls:
        assert route.metered is None
        assert route.limit == "reads"
        assert not route.resource


@pytest.mark.parametrize(
    "call",
    [
        "POST /api/v2/parse/upload",
        "POST /api/v1/beta/files",
        "POST /api/v1/files",
        "POST /api/v1/beta/directories/d/files/upload",
        "POST /api/v1/parsing/upload",
        "POST /api/parsing/upload",
        "POST /api/v1/extraction/jobs/file",
    ],
)
def test_an_upload_may_be_a_gibibyte_and_its_envelope(shipped: Configuration, call: str) -> None:
    assert route_of(shipped, call).max_body_bytes > 2**30


def test_lists_and_files_are_resources_that_need_isolation(shipped: Configuration) -> None:
    for call in ("GET /api/v2/parse", "GET /api/v1/beta/files/f", "POST /api/v1/beta/files", "GET /api/v1/indexes"):
        assert route_of(shipped, call).resource, call
    assert not route_of(shipped, "GET /api/v2/parse/versions").resource
    assert {upstream.isolates_by for upstream in shipped.settings.upstreams.values()} == {IsolatesBy.HEADERS}


def test_a_literal_path_is_not_taken_for_a_job(shipped: Configuration) -> None:
    assert route_of(shipped, "GET /api/v2/parse/versions").job is None
    assert route_of(shipped, "GET /api/v2/parse/pjb-1").job is not None


def calls_of(resource: str) -> list[str]:
    """Every call that a resource of the official SDK makes, with its parameters filled in."""
    folder = Path(inspect.getfile(llama_cloud.resources)).parent
    source = (folder / resource).read_text().split("\nclass Async")[0]
    found = re.finditer(
        r'self\._(get_api_list|get|post|put|patch|delete)\(\s*(?:path_template\(\s*)?f?"([^"]+)"', source
    )
    calls = []
    for one in found:
        verb = one.group(1)
        if verb == "get_api_list":
            rest = source[one.end() :]
            verb = "post" if 'method="post"' in rest[: rest.find("def ")] else "get"
        calls.append(f"{verb.upper()} {re.sub(r'{[^}]*}', 'x-1', one.group(2))}")
    assert calls, resource
    return calls


@pytest.mark.parametrize(
    "resource",
    [
        "parsing.py",
        "extract.py",
        "classify.py",
        "split.py",
        "beta/split.py",
        "files.py",
        "retrieval.py",
        "beta/retrieval.py",
        "chat.py",
        "beta/chat.py",
        "retrievers/retrievers.py",
        "retrievers/retriever.py",
        "configurations.py",
        "webhook_configs.py",
        "beta/directories/directories.py",
        "beta/directories/files.py",
        "beta/agent_data.py",
        "pipelines/images.py",
        "pipelines/pipelines.py",
        "pipelines/sync.py",
        "pipelines/files.py",
        "pipelines/documents.py",
        "pipelines/metadata.py",
        "pipelines/data_sources.py",
        "indexes.py",
        "beta/indexes.py",
        "beta/attachments.py",
        "batches.py",
        "data_sinks.py",
        "data_sources.py",
        "projects.py",
        "v2_projects.py",
        "extraction_agents.py",
    ],
)
def test_every_call_of_the_official_client_has_a_route(shipped: Configuration, resource: str) -> None:
    for call in calls_of(resource):
        route_of(shipped, call)


def test_every_call_of_the_oldest_client_has_a_route(shipped: Configuration) -> None:
    """The routes of llama-cloud 0.1.46, as far as they are not of the account API or cost what nobody has priced."""
    for call in (Path(__file__).parents[1] / "data" / "client_routes_0_1_46.txt").read_text().splitlines():
        route_of(shipped, call)


@pytest.mark.parametrize(
    "call",
    [
        "POST /api/alpha/verify",
        "POST /api/v1/beta/batch-processing",
        "POST /api/v1/beta/directory-sync-jobs",
        "POST /api/v1/pipelines/p/copy",
        "POST /api/v1/parsing/screenshot",
        "POST /api/v2/other",
        # The gateway answers these itself: nothing leads past its books.
        "GET /api/v1/beta/usage-metrics",
        "GET /api/v1/projects/p/usage",
        "GET /api/v1/organizations/o/usage",
    ],
)
def test_what_would_cost_an_unknown_price_and_what_is_the_gateways_own_has_no_route(
    shipped: Configuration, call: str
) -> None:
    method, path = call.split()
    assert shipped.catalog.routes.match(method, path) is None


def test_the_guide_names_every_call_that_has_no_route(shipped: Configuration) -> None:
    guide = (
        (Path(__file__).parents[2] / "docs" / "charging.md")
        .read_text()
        .partition("## Calls without a price")[2]
        .partition("\n## ")[0]
    )
    named = [
        path.removesuffix("…").replace("{pipeline_id}", "p").replace("{projects,organizations}/{id}", "projects/p")
        for path in re.findall(r"^\|[^|]*?(/api/[^`]+)`", guide, re.MULTILINE)
    ]
    assert len(named) == 7
    assert not [path for path in named for method in ("GET", "POST") if shipped.catalog.routes.match(method, path)]


def test_the_environment_fills_in_the_settings() -> None:
    settings = load(
        CONFIG,
        {
            "GATEWAY_PORT": "9999",
            "GATEWAY_DATA": "/var/lib/gateway",
            "REDIS_URL": "redis://:pass@cache:6379/0",
            "PARSE_URL": "https://parse.example/base/",
            "PARSE_CREDENTIAL": "0012",
        },
    ).settings
    assert settings.listen.port == 9999
    assert settings.data == Path("/var/lib/gateway")
    assert settings.books.url is None
    assert settings.redis.url is not None
    assert settings.upstreams["parse"].url == "https://parse.example/base"
    assert settings.upstreams["parse"].credential_field() == ("Authorization", "Bearer 0012")
    assert settings.upstreams["split"].credential_field() is None
    assert ":pass" not in repr(settings)
    assert "0012" not in repr(settings)


def test_the_version_of_a_catalog_follows_its_content(tmp_path: Path) -> None:
    for file in CONFIG.parent.glob("*.yaml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = load(tmp_path / "gateway.yaml", {}).catalog.version
    plans = (tmp_path / "plans.yaml").read_text()
    (tmp_path / "plans.yaml").write_text("# a comment\n" + plans)
    assert load(tmp_path / "gateway.yaml", {}).catalog.version == before
    (tmp_path / "plans.yaml").write_text(plans.replace("20/min", "21/min"))
    assert load(tmp_path / "gateway.yaml", {}).catalog.version != before
