"""Bodies larger than anybody would keep in memory, both ways.

JOURNEY_BIG_MB says how large, in MB; 1000 and more take a while and the same memory.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import pytest

from tests.journeys.gateway_process import Gateway, Launcher, Place, eventually
from tests.journeys.raw_caller import raw_caller
from tests.journeys.stand_ins import StandIns

BIG_BYTES: Final = int(os.environ.get("JOURNEY_BIG_MB", "256")) * 1_000_000
MOST_GROWTH_BYTES: Final = 32 * 1024 * 1024
PIECE: Final = bytes(range(256)) * 256
CONFIGURATION: Final = (
    b'--edge\r\nContent-Disposition: form-data; name="configuration"\r\n\r\n'
    b'{"tier": "agentic_plus", "version": "latest"}\r\n'
)
FILE_HEAD: Final = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
END: Final = b"--edge--\r\n"


def further_routes(document: dict[str, Any]) -> None:
    document["routes"]["GET /__download"] = {"upstream": "parse", "limit": "reads", "resource": False}


@pytest.fixture(scope="module")
def _place(launcher: Launcher, _stand_ins: StandIns) -> Iterator[tuple[Place, Gateway]]:
    with closing(Place(launcher, _stand_ins.url, routes=further_routes)) as place:
        gateway = place.serve()
        with gateway.caller(place.account("pro")) as caller:
            # What is imported and allocated by a first call is none of a big body's memory.
            assert caller.get("/__download", params={"bytes": 3_000_000}).is_success
            assert caller.post("/api/v1/files", files={"file": ("a.bin", PIECE * 40)}).is_success
        yield place, gateway


@pytest.fixture
def place(_place: tuple[Place, Gateway], stand_ins: StandIns) -> Place:
    return _place[0]


@pytest.fixture
def gateway(_place: tuple[Place, Gateway]) -> Gateway:
    return _place[1]


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)  # noqa: S607 POSIX
    return int(shown.stdout) * 1024


@contextmanager
def flat_memory(gateway: Gateway) -> Iterator[None]:
    """Fails where the gateway's memory grows by more than `MOST_GROWTH_BYTES` at any time meanwhile."""
    pid = gateway.process.pid
    seen = [rss_bytes(pid)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.append(rss_bytes(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert max(seen) - seen[0] < MOST_GROWTH_BYTES, f"grew by {(max(seen) - seen[0]) >> 20} MiB"


def form(*parts: bytes, file_bytes: int) -> Iterator[bytes]:
    """A multipart body; the part FILE_HEAD is followed by so many bytes."""
    for part in parts:
        yield part
        if part is FILE_HEAD:
            for _ in range(file_bytes // len(PIECE)):
                yield PIECE
            yield PIECE[: file_bytes % len(PIECE)] + b"\r\n"
    yield END


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
@pytest.mark.parametrize("parts", [(CONFIGURATION, FILE_HEAD), (FILE_HEAD, CONFIGURATION)], ids=["before", "after"])
def test_a_big_upload_is_priced_by_its_configuration_wherever_that_stands_and_never_kept(
    place: Place, gateway: Gateway, parts: tuple[bytes, bytes], chunked: bool
) -> None:
    account = place.account("pro")
    length = sum(map(len, parts)) + BIG_BYTES + len(b"\r\n") + len(END)
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    if not chunked:
        headers["Content-Length"] = str(length)
    with gateway.caller(account) as caller, flat_memory(gateway):
        reply = caller.post("/api/v2/parse/upload", content=form(*parts, file_bytes=BIG_BYTES), headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-credits-held"] == "450"
    assert place.settled(account).charged == {("parse", "agentic_plus"): 45}
    assert not any((place.data / "spool").glob("*"))


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_a_big_download_passes_through_whole_and_is_never_kept(place: Place, gateway: Gateway, chunked: bool) -> None:
    query = {"bytes": str(BIG_BYTES)} | ({"chunked": "1"} if chunked else {})
    came, end = 0, b""
    with (
        gateway.caller(place.account("pro")) as caller,
        flat_memory(gateway),
        caller.stream("GET", "/__download", params=query) as reply,
    ):
        assert ("content-length" in reply.headers) is not chunked
        for piece in reply.iter_raw():
            came += len(piece)
            end = (end + piece)[-16:]
    assert came == BIG_BYTES
    at = BIG_BYTES % len(PIECE)
    assert end == (PIECE + PIECE[:at])[-16:]


def test_a_caller_who_does_not_read_does_not_fill_the_gateway(place: Place, gateway: Gateway) -> None:
    with raw_caller(gateway) as caller:
        caller.send(place.account("pro"), f"/__download?bytes={BIG_BYTES}", method="GET")
        caller.hear(PIECE[:64])
        with flat_memory(gateway):
            looks = iter(range(50))
            # Long enough for the whole body to arrive, were anybody to take it.
            eventually(lambda: next(looks) == 49, within_s=30)
