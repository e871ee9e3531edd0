import pytest

from gateway.wire.headers import Headers
from gateway.wire.request_head import BadHead, RequestHead, read_head

HOST = (b"host", b"api.example.com")


def head(*lines: tuple[bytes, bytes], method: str = "POST", version: str = "1.1") -> RequestHead | BadHead:
    return read_head(method, version, [HOST, *lines])


def test_a_plain_request_is_read_in_one_pass() -> None:
    read = head(
        (b"Authorization", b"Bearer x"),
        (b"Content-Length", b"12"),
        (b"content-type", b"application/json"),
        (b"Idempotency-Key", b"k-1"),
    )
    assert read == RequestHead(12, False, b"Bearer x", b"application/json", False, "k-1", None, b"api.example.com")
    assert isinstance(read, RequestHead)
    assert read.has_body


@pytest.mark.parametrize(
    ("lines", "has_body"),
    [([], False), ([(b"content-length", b"0")], False), ([(b"transfer-encoding", b"Chunked")], True)],
)
def test_there_is_a_body_only_where_the_framing_says_so(lines: Headers, has_body: bool) -> None:
    read = head(*lines)
    assert isinstance(read, RequestHead)
    assert read.has_body is has_body


@pytest.mark.parametrize(
    "lines",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"1, 1")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"1_0")],
        [(b"content-length", b"0x1")],
        [(b"content-length", b"")],
        [(b"content-length", b"1Z")],
        [(b"content-length", str(2**70).encode())],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b",chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked, identity")],
        [(b"transfer-encoding", b"\x0bchunked")],
        [(b"transfer-encoding", b"\xa0chunked")],
        [(b"transfer-encoding", b"blegh")],
    ],
)
def test_a_framing_that_two_parsers_read_differently_is_refused(lines: Headers) -> None:
    assert isinstance(head(*lines), BadHead)


def test_two_equal_lengths_are_one() -> None:
    read = head((b"content-length", b"5"), (b"content-length", b"5"))
    assert isinstance(read, RequestHead)
    assert read.content_length == 5


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b""],
        [b"a", b"b"],
        [b"a", b"a"],
        [b"a/b?c@d"],
        [b"user@a"],
        [b"a\x00b"],
        [b"a b"],
        [b"a:80x"],
        [b"[::1"],
        [b"a" * 10_000],
    ],
)
def test_none_two_or_malformed_hosts_are_refused(hosts: list[bytes]) -> None:
    assert isinstance(read_head("GET", "1.1", [(b"host", host) for host in hosts]), BadHead)


@pytest.mark.parametrize("host", [b"A.Example", b"a.example.", b"127.0.0.1:8080", b"[::1]:8080", b"localhost"])
def test_hosts_as_clients_send_them_pass(host: bytes) -> None:
    assert isinstance(read_head("GET", "1.1", [(b"host", host)]), RequestHead)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "", "G=", "X" * 300, "PRI *"])
def test_methods_we_never_forward_are_refused(method: str) -> None:
    assert isinstance(head(method=method), BadHead)


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.x", ""])
def test_versions_nobody_speaks_are_refused(version: str) -> None:
    assert isinstance(head(version=version), BadHead)


def test_chunks_do_not_come_in_http_1_0() -> None:
    assert isinstance(head((b"transfer-encoding", b"chunked"), version="1.0"), BadHead)


@pytest.mark.parametrize("name", [b"content-type", b"content-encoding", b"idempotency-key", b"upgrade"])
def test_what_decides_something_must_not_come_twice(name: bytes) -> None:
    assert head((name, b"x"), (name.title(), b"x")) == BadHead(f"more than one {name.decode()} header")


def test_two_authorizations_are_no_key() -> None:
    read = head((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b"))
    assert isinstance(read, RequestHead)
    assert read.authorization == b""


@pytest.mark.parametrize(("key", "good"), [(b"k" * 255, True), (b"k" * 256, False), (b"", False), (b"\xff", False)])
def test_idempotency_keys_have_a_bound(key: bytes, good: bool) -> None:
    assert isinstance(head((b"idempotency-key", key)), RequestHead) is good


@pytest.mark.parametrize(("coding", "coded"), [(b"gzip", True), (b"Identity", False), (b"br, gzip", True)])
def test_a_coded_body_is_known_as_such(coding: bytes, coded: bool) -> None:
    read = head((b"content-encoding", coding))
    assert isinstance(read, RequestHead)
    assert read.content_encoded is coded
