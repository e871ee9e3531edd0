"""Pages take the methods they take, and say which."""

import pytest

from tests.edges.dashboard.conftest import BILLING, Running


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"{BILLING}/usage", "GET, HEAD"),
        (f"{BILLING}/limits/spend", "POST"),
        (f"{BILLING}/pricing/pro", "GET, HEAD, POST"),
        (f"{BILLING}/pricing/undo", "GET, HEAD, POST"),
        ("/settings/sign-in", "GET, HEAD, POST"),
    ],
)
async def test_another_method_is_told_which_there_are(running: Running, method: str, path: str, allowed: str) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client, running.browser() as stranger:
        for asking in (client, stranger):
            reply = await asking.request(method, path)
            assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
        assert (await client.request(method, f"{BILLING}/no-such-page")).status_code == 404
