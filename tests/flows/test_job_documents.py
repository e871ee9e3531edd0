"""What an upstream answers about a job is read whole, however many pages it tells of, or it is called unreadable."""

from dataclasses import dataclass

import orjson
import pytest

from gateway.flows import job_documents
from gateway.flows.job_documents import Followed, Gone, JobDocuments, Unreadable
from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.upstream.faults import UpstreamFault
from tests.flows.job_upstream import Answer
from tests.made_up import facts

PAGES = {"pages": ["x" * 1_000] * 5_000}
CHUNK = 65_536


class Chunked(Answer):
    """Read piece by piece, as from a network."""

    async def read(self) -> bytes:
        chunk, self.body = self.body[:CHUNK], self.body[CHUNK:]
        return chunk


@dataclass
class Service:
    status: int
    body: bytes

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> Answer:
        assert (method, target, body) == (b"GET", b"/jobs/pjb-1", None)
        assert (b"x-account-id", b"acc_1") in headers
        return Chunked(self.status, self.body)

    async def aclose(self) -> None:
        """Nothing is open."""


async def asked(status: int, body: bytes) -> object:
    documents = JobDocuments({"parse": Followed(Service(status, body), None)})
    return await documents.get("parse", facts("acc_1", "req_1"), "/jobs/{job_id}", "pjb-1")


async def test_a_document_of_many_pages_is_read() -> None:
    body = orjson.dumps(PAGES)
    assert len(body) > job_documents.LARGE_BYTES
    assert await asked(200, body) == PAGES


async def test_what_is_beyond_all_measure_or_no_json_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_documents, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(job_documents, "REPLY_BYTES", 200_000)
    assert await asked(200, orjson.dumps("x" * 190_000)) == "x" * 190_000
    assert await asked(200, orjson.dumps("x" * 300_000)) == Unreadable()
    assert await asked(200, b"<html>") == Unreadable()


async def test_only_404_and_410_mean_that_there_is_no_such_thing() -> None:
    assert await asked(404, b"<html>") == Gone(404)
    with pytest.raises(UpstreamFault):
        await asked(503, b"{}")
