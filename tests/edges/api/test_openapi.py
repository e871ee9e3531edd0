"""The OpenAPI documents say what is served, all of it and nothing else; and what is served keeps to them."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.edges.api.account import account_api
from gateway.edges.api.admin import admin_api
from gateway.wire.problems import PROBLEMS
from tests.edges.api.conftest import Running


@pytest.fixture(params=["account", "admin"])
async def served(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[tuple[Starlette, dict[str, Any]]]:
    if request.param == "account":
        async with running.caller() as anybody:
            yield account_api(running.parts), (await anybody.get("/openapi.json")).json()
    else:
        async with running.operator("") as anybody:
            yield admin_api(running.admin_parts), (await anybody.get("/admin/v1/openapi.json")).json()


def operations(document: dict[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def test_every_route_is_in_the_document_and_the_other_way_round(
    served: tuple[Starlette, dict[str, Any]],
) -> None:
    app, document = served
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert routes == {(method, path) for method, path, _ in operations(document)}


async def test_operations_have_names_of_their_own_and_say_what_they_answer(
    served: tuple[Starlette, dict[str, Any]],
) -> None:
    _, document = served
    found = list(operations(document))
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for method, path, operation in found:
        success = [reply for status, reply in operation["responses"].items() if status.startswith("2")]
        assert len(success) == 1, (method, path)
        assert success[0]["content"], (method, path)
        assert operation["summary"], (method, path)
        if operation["security"]:
            assert {"401", "500", "503"} <= set(operation["responses"]), (method, path)


async def test_whatever_changes_something_takes_an_idempotency_key(served: tuple[Starlette, dict[str, Any]]) -> None:
    _, document = served
    for method, path, operation in operations(document):
        named = {parameter["name"] for parameter in operation["parameters"]}
        assert ("Idempotency-Key" in named) == (
            method != "GET" and path != "/api/v1/quote" and not path.startswith("/webhooks/")
        ), (method, path)


async def test_every_reference_leads_somewhere_and_every_problem_is_described(
    served: tuple[Starlette, dict[str, Any]],
) -> None:
    _, document = served

    def references(part: Any) -> Iterable[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found
    assert set(document["components"]["responses"]) == {str(code) for code in PROBLEMS}


async def test_the_document_needs_no_key_and_the_rest_does(served: tuple[Starlette, dict[str, Any]]) -> None:
    _, document = served
    for _, path, operation in operations(document):
        is_open = path in {"/healthz", "/readyz", "/metrics", "/problems/{code}"} or path.endswith("openapi.json")
        assert (operation["security"] == []) == (is_open or path.startswith("/webhooks/")), path
