"""Taking documents in: bounded in memory, and nothing that a document does stops the next one."""

from datetime import UTC, datetime

import pytest

from gateway.edges.demo.services.documents import MAX_COUNTED_BYTES, QUOTED_PAGES, Document, Intake
from gateway.edges.demo.services.pages import BadRange, selected
from gateway.edges.demo.services.sample_pdf import sample_pdf
from gateway.edges.demo.services.shelf import Owner, Shelf
from gateway.pages.page_counter import PageCounter

OWNER = Owner("acc_a", "prj_a")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def taken_in(name: str, *chunks: bytes) -> Document:
    intake, counter = Intake(name), PageCounter(quoted_pages=QUOTED_PAGES)
    try:
        for chunk in chunks:
            intake.feed(chunk)
            await intake.flush()
        return await intake.finish(OWNER, "dfl-1", NOW, counter)
    finally:
        intake.close()
        await counter.close()


async def test_a_pdf_too_long_to_count_is_one_page() -> None:
    megabyte = b"%PDF-1.4\n" + bytes(1024 * 1024)
    document = await taken_in("long.pdf", *[megabyte] * (MAX_COUNTED_BYTES // len(megabyte) + 1))
    assert document.size_bytes > MAX_COUNTED_BYTES
    assert document.pages == 1
    assert not document.fails


async def test_a_pdf_of_several_megabytes_is_spooled_and_counted() -> None:
    document = await taken_in("spooled.pdf", sample_pdf(3), b"\n% padding " + b"x" * 2_000_000)
    assert document.pages == 3
    assert document.texts[2] == "Sample, page 3"


@pytest.mark.parametrize(
    ("target_pages", "max_pages", "first", "expected"),
    [
        (None, None, 1, [1, 2, 3, 4, 5]),
        (None, 3, 1, [1, 2, 3]),
        (" 2 , 4-9,2", 1, 1, [2, 4, 5]),
        ("0,3-4", None, 0, [1, 4, 5]),
        ("9", None, 1, []),
        ("1-999999999999", None, 1, [1, 2, 3, 4, 5]),
    ],
)
def test_page_lists(target_pages: str | None, max_pages: int | None, first: int, expected: list[int]) -> None:
    assert list(selected(5, target_pages, max_pages, first=first)) == expected


@pytest.mark.parametrize("target_pages", ["0", "3-1", "a", "1,,2", "1-", "-1", "²"])
def test_a_page_list_that_says_nothing_is_refused(target_pages: str) -> None:
    with pytest.raises(BadRange):
        selected(5, target_pages, None)


async def test_a_full_shelf_forgets_the_oldest() -> None:
    shelf: Shelf[Document] = Shelf("File", limit=1)
    document = await taken_in("a.txt", b"words")
    shelf.put(document)
    assert shelf.find(OWNER, "dfl-1") is document
    assert shelf.find(Owner("acc_b", "prj_a"), "dfl-1") is None
    shelf.put(Document("dfl-2", OWNER, "b", NOW, 1, 1, (), fails=False, fingerprint=""))
    assert shelf.find(OWNER, "dfl-1") is None
