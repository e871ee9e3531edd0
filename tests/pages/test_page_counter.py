"""Counting pages: of the part of a file that is meant, and nothing that a document does stops the next one."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.edges.demo.services.sample_pdf import sample_pdf
from gateway.pages import page_counter
from gateway.pages.page_counter import Counted, PageCounter

PATIENT_S = 30.0


@contextmanager
def stored(content: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


@pytest.fixture
async def counter() -> AsyncIterator[PageCounter]:
    made = PageCounter()
    yield made
    await made.close()


async def counted(counter: PageCounter, content: bytes, within_s: float = PATIENT_S) -> Counted | None:
    with stored(content) as descriptor:
        return await counter.count(descriptor, length=len(content), within_s=within_s)


async def test_the_document_may_stand_anywhere_in_a_file_whose_position_is_left_alone(counter: PageCounter) -> None:
    document = sample_pdf(3)
    with stored(b"--b\r\n\r\n" + document + b"\r\n--b--" + sample_pdf(9)) as descriptor:
        os.lseek(descriptor, 5, os.SEEK_SET)
        found = await counter.count(descriptor, start=7, length=len(document), within_s=PATIENT_S)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 5
    assert found == Counted(3)


async def test_the_first_pages_are_quoted_where_that_is_asked_for() -> None:
    counter = PageCounter(quoted_pages=2)
    try:
        assert await counted(counter, sample_pdf(5)) == Counted(5, ("Sample, page 1", "Sample, page 2"))
    finally:
        await counter.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.7\n",
        b"%PDF-1.7\n" + bytes(100_000),
        sample_pdf(4)[:200],
        sample_pdf(2).replace(b"trailer\n<<", b"trailer\n<< /Encrypt << /Filter /Standard /V 9 /R 9 >>"),
    ],
    ids=["empty", "head alone", "zeros", "cut", "encrypted"],
)
async def test_what_cannot_be_read_has_no_pages_and_harms_nobody(counter: PageCounter, content: bytes) -> None:
    assert await counted(counter, content) == Counted(0)
    assert await counted(counter, sample_pdf(2)) == Counted(2)


async def test_a_document_that_hangs_or_kills_the_counter_does_not_cost_the_next_one(counter: PageCounter) -> None:
    for fatal, within_s, expected in ((signal.SIGSTOP, 0.2, None), (signal.SIGKILL, PATIENT_S, Counted(0))):
        assert await counted(counter, sample_pdf(2)) == Counted(2)
        assert counter._child is not None
        os.kill(counter._child.process.pid, fatal)
        assert await counted(counter, sample_pdf(2), within_s) == expected
    assert await counted(counter, sample_pdf(2)) == Counted(2)


async def test_whoever_waits_for_others_for_too_long_is_not_told_and_stops_nobody(counter: PageCounter) -> None:
    assert await counted(counter, sample_pdf(1)) == Counted(1)
    child = counter._child
    async with counter._turn:
        assert await counted(counter, sample_pdf(1), within_s=0.05) is None
    assert await counted(counter, sample_pdf(1)) == Counted(1)
    assert counter._child is child


def taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str) -> None:
    """A document has made the child its own."""
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, socket, sys\n"
        "parent = socket.socket(fileno=int(sys.argv[1]))\n"
        "parent.setblocking(True)\n"
        f"while socket.recv_fds(parent, 256, 1)[0]: parent.sendall({answer})\n"
    )
    monkeypatch.setattr(page_counter, "_SCRIPT", script)


async def test_the_child_is_told_no_secret_of_the_environment(
    counter: PageCounter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_secret")
    names = "{'pages': 1, 'texts': sorted(os.environ)}"
    taken_over(monkeypatch, tmp_path, f"json.dumps({names}).encode() + b'\\n'")
    found = await counted(counter, sample_pdf(1))
    assert found is not None
    assert found.pages == 1
    assert "STRIPE_API_KEY" not in found.texts


@pytest.mark.parametrize(
    "answer",
    ['b"no JSON\\n"', 'b"[1]\\n"', """b'{"pages": "9", "texts": []}\\n'""", """b'{"pages": 1}\\n{"pages": 2}\\n'"""],
    ids=["words", "a list", "text", "two answers"],
)
async def test_nonsense_of_the_child_is_no_pages(
    counter: PageCounter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str
) -> None:
    taken_over(monkeypatch, tmp_path, answer)
    assert await counted(counter, sample_pdf(1)) == Counted(0)
