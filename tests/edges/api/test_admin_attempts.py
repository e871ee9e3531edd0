"""Guessing the admin token is slow, and nobody's guesses keep the operator out."""

import httpx

from gateway.edges.api.admin import admin_api
from gateway.edges.attempts import MOST_FAILURES
from tests.edges.api.conftest import ADMIN_TOKEN, Running

PATH = "/admin/v1/accounts"


async def test_a_peer_with_many_wrong_admin_tokens_waits_and_the_operator_elsewhere_does_not(running: Running) -> None:
    app = admin_api(running.admin_parts)

    async def ask(host: str, token: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(host, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.get(PATH, headers={"authorization": f"Bearer {token}"})

    guesses = [await ask("192.0.2.7", f"guess {number}") for number in range(MOST_FAILURES)]
    assert {reply.status_code for reply in guesses} == {401}
    for token in ("another guess", ADMIN_TOKEN):
        waits = await ask("192.0.2.7", token)
        assert (waits.status_code, waits.json()["code"]) == (429, "rate_limited")
        assert 0 < int(waits.headers["retry-after"]) <= 300
    assert (await ask("192.0.2.8", ADMIN_TOKEN)).status_code == 200
    running.clock.forward(minutes=5)
    assert (await ask("192.0.2.7", ADMIN_TOKEN)).status_code == 200
