"""What a job works on: a file, a parse job of the caller's own, or a URL; and which pages of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.pages import BadRange, selected
from gateway.edges.demo.services.replies import Refused, invalid
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Vendor

_PARSE_JOB_PREFIX = "pjb-"


@dataclass(frozen=True, slots=True)
class Input:
    """A document, and the parse job it comes from where it has been parsed already."""

    document: Document
    parse_job: Job | None = None

    @property
    def kind(self) -> str:
        """As the vendor words `document_input_type`."""
        if self.parse_job is not None:
            return "parse_job_id"
        return "file_id" if self.document.size_bytes else "url"


def resolve(vendor: Vendor, owner: Owner, file_input: str) -> Input:
    """The caller's own input, or 404; 400 where it is a parse job that has not completed."""
    if file_input.startswith(("https://", "http://")):
        return Input(vendor.linked_document(owner, file_input))
    if not file_input.startswith(_PARSE_JOB_PREFIX):
        return Input(vendor.document(owner, file_input))
    parse_job = vendor.job(owner, "parse", file_input)
    if parse_job.state(vendor.now()) is not State.COMPLETED:
        raise Refused(400, f"Parse job {file_input} has not completed")
    return Input(parse_job.document, parse_job)


def pages_of(found: Input, target_pages: str | None, max_pages: int | None, loc: Sequence[str]) -> Sequence[int]:
    """The pages that a job works on; 422 at `loc` for a list that cannot be read."""
    total = found.document.pages if found.parse_job is None else len(found.parse_job.pages)
    try:
        return selected(total, target_pages, max_pages)
    except BadRange as fault:
        raise invalid(loc, str(fault)) from fault
