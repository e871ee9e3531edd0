"""One webhook, posted over a real connection to an address that somebody else chose."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.sinks.webhook import MOST_REPLY_BYTES, Lookups, WebhookSender
from tests.webhook_receiver import receiving, reply

TLS = Path(__file__).parents[1] / "data" / "tls"


class Names:
    """A name server: each name has the addresses of its turn, the last ones for ever."""

    def __init__(self, *turns: Sequence[str]) -> None:
        self.turns = list(turns)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]


@asynccontextmanager
async def sending(sender: WebhookSender) -> AsyncIterator[WebhookSender]:
    try:
        yield sender
    finally:
        await sender.close()


async def test_the_body_arrives_byte_for_byte_with_its_headers() -> None:
    async with receiving() as receiver, sending(WebhookSender(allow_private=True)) as sender:
        receiver.answers = [reply(200, b"thanks")]
        posted = await sender.post(receiver.url + "?a=1", [("webhook-id", "msg_1")], b'{"a": 1}')
        assert (posted.status, posted.reply, posted.fault) == (200, b"thanks", "")
        (got,) = receiver.received
        assert (got.target, got.body, got.headers["webhook-id"]) == ("/hooks?a=1", b'{"a": 1}', "msg_1")
        assert got.headers["host"] == receiver.url.split("/")[2]


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with receiving() as other, receiving() as receiver, sending(WebhookSender(allow_private=True)) as sender:
        receiver.answers = [reply(302, b"", f"Location: {other.url}")]
        assert (await sender.post(receiver.url, [], b"{}")).status == 302
        assert not other.received


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["10.1.2.3"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["1.1.1.1", "127.0.0.1"]],
)
async def test_a_name_with_an_address_that_is_not_public_is_never_connected_to(addresses: list[str]) -> None:
    async with receiving() as receiver, sending(WebhookSender(resolve=Names(addresses))) as sender:
        named = receiver.url.replace("http://127.0.0.1", "https://hooks.example.com")
        posted = await sender.post(named, [], b"{}")
        assert posted.status is None
        assert "which is not public" in posted.fault
        assert receiver.connections == 0


async def test_what_was_taken_while_http_was_allowed_is_not_sent_when_it_is_no_longer() -> None:
    async with sending(WebhookSender(resolve=Names(["1.1.1.1"]))) as sender:
        assert (await sender.post("http://hooks.example.com/", [], b"{}")).fault == "webhooks go by https only"


async def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_is_asked_for_once() -> None:
    """A name server that answers with a public address first and a private one next changes nothing."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with receiving() as receiver, sending(WebhookSender(allow_private=True, resolve=names)) as sender:
        posted = await sender.post(receiver.url.replace("127.0.0.1", "hooks.example.com"), [], b"{}")
        assert posted.status == 204
        assert names.asked == ["hooks.example.com"]
        assert receiver.received[0].headers["host"].startswith("hooks.example.com:")


async def test_the_certificate_must_be_that_of_the_name_though_the_address_is_called() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    trusted = ssl.create_default_context(cafile=str(TLS / "localhost.pem"))
    names = Names(["127.0.0.1"])
    async with receiving(server) as receiver:
        sender = WebhookSender(allow_private=True, resolve=names, verify=trusted)
        async with sending(sender):
            named = receiver.url.replace("127.0.0.1", "localhost")
            assert (await sender.post(named, [], b"{}")).status == 204
            wrong = await sender.post(receiver.url.replace("127.0.0.1", "hooks.example.com"), [], b"{}")
            assert wrong.status is None
            assert "certificate" in wrong.fault.lower()
            assert len(receiver.received) == 1


async def test_an_endpoint_that_hangs_is_cut_off() -> None:
    async with receiving() as receiver, sending(WebhookSender(allow_private=True, total_s=0.05)) as sender:
        receiver.answers = [None]
        posted = await sender.post(receiver.url, [], b"{}")
        assert (posted.status, posted.fault) == (None, "no complete answer within 0.05 s")


async def test_a_reply_is_read_up_to_its_bound_and_no_further() -> None:
    async with receiving() as receiver, sending(WebhookSender(allow_private=True)) as sender:
        receiver.answers = [reply(500, b"x" * (MOST_REPLY_BYTES * 4))]
        posted = await sender.post(receiver.url, [], b"{}")
        assert (posted.status, posted.reply) == (500, b"x" * MOST_REPLY_BYTES)


async def test_a_body_that_breaks_off_leaves_the_status() -> None:
    async with receiving() as receiver, sending(WebhookSender(allow_private=True)) as sender:
        receiver.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"]
        posted = await sender.post(receiver.url, [], b"{}")
        assert (posted.status, posted.reply) == (200, b"short")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n"])
async def test_nonsense_is_a_fault_and_no_exception(answer: bytes) -> None:
    async with receiving() as receiver, sending(WebhookSender(allow_private=True)) as sender:
        receiver.answers = [answer]
        posted = await sender.post(receiver.url, [], b"{}")
        assert posted.status is None
        assert posted.fault


async def test_an_address_where_nobody_listens_is_a_fault_and_the_next_one_is_tried() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with receiving() as receiver, sending(WebhookSender(allow_private=True, resolve=names)) as sender:
        named = receiver.url.replace("127.0.0.1", "hooks.example.com")
        assert (await sender.post(named, [], b"{}")).status == 204
        names.turns = [["127.0.0.2"]]
        assert "ConnectError" in (await sender.post(named, [], b"{}")).fault


@pytest.mark.parametrize("error", [OSError("no such host"), UnicodeError("label too long")])
async def test_a_name_that_cannot_be_looked_up_is_a_fault(error: Exception) -> None:
    async def fails(host: str, port: int) -> Sequence[str]:
        raise error

    async with sending(WebhookSender(resolve=fails)) as sender:
        assert "could not be looked up" in (await sender.post("https://hooks.example.com/", [], b"{}")).fault


async def test_a_name_without_addresses_is_a_fault() -> None:
    async with sending(WebhookSender(resolve=Names([]))) as sender:
        assert (await sender.post("https://hooks.example.com/", [], b"{}")).fault == "the host has no address"


async def test_a_name_server_that_never_answers_is_cut_off() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with sending(WebhookSender(resolve=never, total_s=0.05)) as sender:
        assert "no complete answer" in (await sender.post("https://hooks.example.com/", [], b"{}")).fault


async def test_the_system_looks_names_up_and_says_so_when_there_are_too_many() -> None:
    assert "127.0.0.1" in await Lookups()("127.0.0.1", 80)
    with pytest.raises(UnicodeError):
        await Lookups()("no..such", 80)
    full = Lookups(at_once=1)
    full._turns.acquire()
    with pytest.raises(OSError, match="too many lookups"):
        await full("127.0.0.1", 80)
