"""The vendor behind the services: everything that is remembered between calls, in bounded memory.

Knows no product and no route; the products' files find it on the application.
"""

import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.edges.demo.services.behaviour import Behaviour
from gateway.edges.demo.services.documents import QUOTED_PAGES, Document, Intake, named_to_fail
from gateway.edges.demo.services.jobs import Job
from gateway.edges.demo.services.replies import Refused, invalid, not_found
from gateway.edges.demo.services.shelf import Owner, Shelf
from gateway.edges.demo.services.uploads import Form, read_form
from gateway.pages.page_counter import PageCounter

_DOCUMENTS: Final = 1_000
_JOBS: Final = 20_000
_THINGS: Final = 1_000
_METRICS: Final = 10_000
_SEEN: Final = 500
DIRECT: Final = Owner("org_direct", "prj_direct")  # who calls without identity headers


@dataclass(frozen=True, slots=True)
class Metric:
    """One billed act that is no job: a retrieval query, a chat turn."""

    id: str
    owner: Owner
    event_type: str
    value: int
    credits_billed: int
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A small resource that is only kept and given back: a configuration, a session, an index, a directory."""

    id: str
    owner: Owner
    created_at: datetime
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as it arrived, for tests to prove what did and did not."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]


def utc_now() -> datetime:
    """The clock, unless a test brings its own."""
    return datetime.now(UTC)


class Vendor:
    """State of all services. `now` gives aware UTC times."""

    def __init__(self, behaviour: Behaviour, credential: str, now: Callable[[], datetime] = utc_now) -> None:
        self.behaviour = behaviour
        self.credential = credential
        self.now = now
        self.counter = PageCounter(quoted_pages=QUOTED_PAGES)
        self.documents: Shelf[Document] = Shelf("File", _DOCUMENTS)
        self.jobs: Shelf[Job] = Shelf("Job", _JOBS)
        self.configurations: Shelf[Record] = Shelf("Configuration", _THINGS)
        self.sessions: Shelf[Record] = Shelf("Session", _THINGS)
        self.indexes: Shelf[Record] = Shelf("Index", _THINGS)
        self.agents: Shelf[Record] = Shelf("Extraction agent", _THINGS)
        self.directories: Shelf[Record] = Shelf("Directory", _THINGS)
        self.batches: Shelf[Record] = Shelf("Batch", _THINGS)
        self.pipelines: Shelf[Record] = Shelf("Pipeline", _THINGS)
        self.metrics: deque[Metric] = deque(maxlen=_METRICS)
        self.seen: deque[Seen] = deque(maxlen=_SEEN)
        self.seen_count = 0

    def document(self, owner: Owner, document_id: str) -> Document:
        """The account's file, or 404."""
        found = self.documents.find(owner, document_id)
        if found is None:
            raise not_found("File", document_id)
        return found

    def job(self, owner: Owner, product: str, job_id: str) -> Job:
        """The account's job of that product, or 404."""
        found = self.jobs.find(owner, job_id)
        if found is None or found.product != product:
            raise not_found("Job", job_id)
        return found

    def configuration(self, owner: Owner, configuration_id: str, product_type: str) -> dict[str, Any]:
        """The parameters saved under an id, or 404; 422 where they are another product's."""
        found = self.configurations.find(owner, configuration_id)
        if found is None:
            raise not_found("Configuration", configuration_id)
        parameters: dict[str, Any] = found.content["parameters"]
        if parameters.get("product_type") != product_type:
            raise invalid(("body", "configuration_id"), f"Not a configuration of {product_type}")
        return parameters

    def linked_document(self, owner: Owner, url: str) -> Document:
        """Stands for a document at a URL, which is never fetched: one page, named after the last part of the path."""
        name = urlsplit(url).path.rsplit("/", 1)[-1] or "document"
        return Document(
            id=new_id("dfl"),
            owner=owner,
            name=name,
            created_at=self.now(),
            size_bytes=0,
            pages=1,
            texts=(f"Made-up content of {url}",),
            fails=named_to_fail(name),
            fingerprint=url,
        )

    async def upload(self, request: Request) -> tuple[Form, Document]:
        """The form of an upload and its document, which is not yet filed. 422 where no file was sent."""
        form = await read_form(request)
        if form.intake is None:
            raise invalid(("body", "file"), "Field required", "missing")
        return form, await self.take_in(form.intake, owner_of(request))

    async def take_in(self, intake: Intake, owner: Owner) -> Document:
        """The document of an upload, its pages counted; what was spooled is gone afterwards."""
        try:
            return await intake.finish(owner, new_id("dfl"), self.now(), self.counter)
        finally:
            intake.close()

    def open_job(
        self,
        product: str,
        job_id: str,
        document: Document,
        *,
        owner: Owner,
        pages: Sequence[int],
        charges: Mapping[str, Sequence[int]],
        mode: str,
        request: dict[str, Any],
    ) -> Job:
        """A new job, as the present behaviour has it. A job without a page to work on fails."""
        behaviour = self.behaviour
        job = Job(
            id=job_id,
            product=product,
            owner=owner,
            created_at=self.now(),
            seconds=behaviour.job_seconds,
            document=document,
            pages=pages,
            charges=charges,
            mode=mode,
            fails=behaviour.failing or document.fails or not pages,
            billing_lag_seconds=behaviour.billing_lag_seconds,
            polls_until_billed=behaviour.polls_until_billed,
            request=request,
        )
        self.jobs.put(job)
        return job

    def record(self, owner: Owner, event_type: str, credits_billed: int, key: str) -> None:
        """Book something that is billed at once."""
        self.metrics.append(Metric(new_id("evt"), owner, event_type, 1, credits_billed, key, self.now()))


def vendor_of(request: Request) -> Vendor:
    """The vendor of the application that a request came to."""
    vendor = request.app.state.vendor
    if not isinstance(vendor, Vendor):
        raise TypeError("the application was not made by services_app")
    return vendor


def owner_of(request: Request) -> Owner:
    """Who calls, by the identity headers that only the gateway may set."""
    account_id = request.headers.get("x-account-id")
    if account_id is None:
        return DIRECT
    project_id = request.headers.get("x-project-id")
    if project_id is None:
        raise Refused(400, "X-Account-Id without X-Project-Id")
    return Owner(account_id, project_id)


def new_id(prefix: str) -> str:
    """Ids look like the vendor's: `pjb-` and a UUID."""
    return f"{prefix}-{uuid.uuid4()}"
