"""Whatever anybody sends, the API answers within its own OpenAPI documents: made-up requests, good and bad, of each
operation, about things that are there and things that are not.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.edges.api.conftest import Running

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MAKING = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
)
# Asked for last: what they end is gone for all others.
ENDING = ("/close", "/void", "/disable")


def strict(part: Any) -> Any:
    """The same document, in which an answer has the members that are named, and no others. Who asks is let in."""
    if isinstance(part, list):
        return [strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {name: strict(one) for name, one in part.items() if name not in {"security", "securitySchemes"}}
    if made.get("type") == "object" and "properties" in made and "title" in made:
        made.setdefault("additionalProperties", False)
    return made


def made_up(operation: Any, mode: GenerationMode, ids: dict[str, str]) -> list[Case]:
    """Some requests; none where everything that could be wrong is left out of the document."""
    collected: list[Case] = []
    named = {parameter.name: ids[parameter.name] for parameter in operation.path_parameters if parameter.name in ids}

    @MAKING
    @given(operation.as_strategy(mode, path_parameters=named or None))
    def collect(case: Case) -> None:
        collected.append(case)

    try:
        collect()
    except Unsatisfiable:
        return []
    return collected


def requests(operation: Any, ids: dict[str, str]) -> list[Case]:
    """Good ones, good ones about something that is not there, bad ones."""
    good = made_up(operation, GenerationMode.POSITIVE, ids)
    astray = [case.derive() if hasattr(case, "derive") else case for case in good[:1]]
    for case in astray:
        case.path_parameters = {name: f"{value}_not" for name, value in (case.path_parameters or {}).items()}
    return good + astray + made_up(operation, GenerationMode.NEGATIVE, ids)


async def sent(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    """By a caller who is let in."""
    made = case.as_transport_kwargs(base_url=str(client.base_url))
    headers = {name: value for name, value in (made.get("headers") or {}).items() if name.lower() != "authorization"}
    body: dict[str, Any] = {"json": made["json"]} if "json" in made else {}
    if isinstance(made.get("data"), bytes | str):
        body = {"content": made["data"]}
    return await client.request(made["method"], made["url"], params=made.get("params"), headers=headers, **body)


def in_order(operations: Iterable[Any]) -> list[Any]:
    return sorted(operations, key=lambda one: (one.method == "delete", one.path.endswith(ENDING)))


async def wrong_answers(client: httpx.AsyncClient, path: str, ids: dict[str, str]) -> tuple[list[str], int]:
    """What an operation answered that its document does not say, and how many answers were looked at."""
    schema = schemathesis.openapi.from_dict(strict((await client.get(path)).json()))
    wrong, looked_at = [], 0
    operations: Iterable[Any] = schema.get_all_operations()
    for operation in in_order(found.ok() for found in operations):
        for case in await asyncio.to_thread(requests, operation, ids):
            answer = await sent(client, case)
            looked_at += 1
            try:
                case.validate_response(answer, checks=CHECKS)
            except FailureGroup as failures:
                wrong.append(f"{operation.label} {answer.status_code}: {failures}")
    return wrong, looked_at


async def things(running: Running) -> tuple[dict[str, str], str]:
    """An account with one of everything, and a key of it."""
    desk = running.parts.desk
    opened, secret = await running.open_account("pro")
    endpoint = (await desk.webhooks.create(opened.id, "https://example.com/hooks")).endpoint
    return {
        "organization_id": opened.id,
        "account_id": opened.id,
        "project_id": opened.project_id,
        "invoice_id": (await desk.invoices.of_account(opened.id))[-1].id,
        "key_id": (await running.keys.create(opened.id)).id,
        "endpoint_id": endpoint.id,
        "delivery_id": (await desk.webhooks.send_test(endpoint.id)).id,
        "upstream": "parse",
    }, secret


async def test_the_account_api_answers_within_its_document(running: Running) -> None:
    ids, secret = await things(running)
    async with running.caller(secret) as caller:
        wrong, looked_at = await wrong_answers(caller, "/openapi.json", ids)
    assert not wrong, "\n\n".join(wrong)
    assert looked_at > 100


async def test_the_admin_api_answers_within_its_document(running: Running) -> None:
    ids, _ = await things(running)
    async with running.operator() as operator:
        wrong, looked_at = await wrong_answers(operator, "/admin/v1/openapi.json", ids)
    assert not wrong, "\n\n".join(wrong)
    assert looked_at > 150
