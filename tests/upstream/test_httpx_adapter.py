"""Any httpx transport is an upstream too, with the same words for what goes wrong."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from gateway.upstream.answer import Upstream
from gateway.upstream.faults import BodyMismatch, UpstreamBroken, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.httpx_adapter import HttpxUpstream
from gateway.upstream.pool import UpstreamPool
from tests.upstream.conftest import Bench


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_respx_router_is_an_upstream() -> None:
    router = respx.Router(assert_all_called=False)
    route = router.post("http://parse.test/base/jobs", params={"x": "1"}).respond(201, json={"id": "job_1"})
    upstream: Upstream = HttpxUpstream("http://parse.test/base/", httpx.MockTransport(router.async_handler))
    answer = await upstream.send(b"POST", b"/jobs?x=1", [(b"x-account-id", b"a")], pieces(b"ab", b"cd"))
    assert (answer.status, await answer.read(), await answer.read()) == (201, b'{"id":"job_1"}', b"")
    await answer.close()
    sent = route.calls.last.request
    assert sent.content == b"abcd"
    assert sent.headers.raw == [
        (b"host", b"parse.test"),
        (b"x-account-id", b"a"),
        (b"transfer-encoding", b"chunked"),
    ]
    await upstream.aclose()


async def test_over_a_real_transport_the_target_and_the_headers_go_out_as_given(bench: Bench) -> None:
    pool, server = await bench.answering(b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok")
    url = "http://" + pool._origin.authority.decode()
    upstream = HttpxUpstream(url, httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0)))
    for _ in range(2):
        answer = await upstream.send(b"GET", b"/a/../b?x=[1]", [], None)
        assert (answer.status, await answer.read(), await answer.read()) == (200, b"ok", b"")
        await answer.close()
    head = b"GET /a/../b?x=[1] HTTP/1.1\r\nhost: " + pool._origin.authority + b"\r\n\r\n"
    assert [each.lower() for _, each, _ in server.requests] == [head.lower()] * 2
    await upstream.aclose()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.ConnectError("x"), UpstreamUnreachable),
        (httpx.ConnectTimeout("x"), UpstreamUnreachable),
        (httpx.PoolTimeout("x"), UpstreamUnreachable),
        (httpx.ReadTimeout("x"), UpstreamTimeout),
        (httpx.WriteTimeout("x"), UpstreamTimeout),
        (httpx.ReadError("x"), UpstreamBroken),
        (httpx.RemoteProtocolError("x"), UpstreamBroken),
    ],
)
async def test_errors_of_httpx_become_faults(error: Exception, fault: type[UpstreamFault]) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(fault):
        await HttpxUpstream("http://a", httpx.MockTransport(fail)).send(b"GET", b"/", [], None)


async def test_a_short_body_is_never_sent_as_whole() -> None:
    upstream = HttpxUpstream("http://a", httpx.MockTransport(lambda _: httpx.Response(200)))
    with pytest.raises(BodyMismatch):
        await upstream.send(b"POST", b"/", [(b"content-length", b"9")], pieces(b"half"))


async def test_head_and_204_are_complete_at_once() -> None:
    upstream = HttpxUpstream("http://a", httpx.MockTransport(lambda _: httpx.Response(204)))
    answer = await upstream.send(b"GET", b"/", [], None)
    assert (answer.complete, await answer.read()) == (True, b"")


def test_the_pool_is_an_upstream_by_its_types() -> None:
    upstream: Upstream = UpstreamPool("http://a")
    assert upstream is not None
