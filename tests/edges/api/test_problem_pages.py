"""The `type` of a problem document leads to a page that says what to do."""

import httpx
import pytest

from gateway.wire.problems import PROBLEMS
from tests.edges.api.conftest import Running
from tests.wire.test_problems import PAGES


@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_the_type_of_every_problem_can_be_opened_without_a_key(running: Running, listener: str) -> None:
    async with running.caller() as caller, running.operator("") as operator:
        anybody = caller if listener == "public" else operator
        for code in map(str, PROBLEMS):
            reply = await anybody.get(f"/problems/{code}")
            assert (reply.status_code, reply.content) == (200, (PAGES / f"{code}.md").read_bytes())
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_page_is_sent_once_to_whoever_kept_it(running: Running) -> None:
    async with running.caller() as anybody:
        first = await anybody.get("/problems/rate_limited")
        assert first.headers["cache-control"] == "public, max-age=86400"
        again = await anybody.get("/problems/rate_limited", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize("code", ["nothing", "..%2f..%2fREADME", "rate_limited.md", "%00"])
async def test_there_is_no_page_of_any_other_name(running: Running, code: str) -> None:
    async with running.caller() as anybody:
        reply: httpx.Response = await anybody.get(f"/problems/{code}")
    assert reply.status_code in {299, 404}, "not found, or a product's path"
