"""Replies are LlamaCloud's shapes: create flat, Parse v2 polls nested, Split in lower case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.job import JobCost, JobReport, JobStatus, NoCost, together
from gateway.wire.job_reply import (
    cost_sources,
    fill,
    job_ids,
    read_cost,
    read_each,
    read_job_id,
    read_job_report,
    valid_job_id,
)
from gateway.wire.json_pointer import parse
from gateway.wire.route import CostSource, Delivery, JobKind, ReplyCondition

ENDS = {"COMPLETED": Delivery.CHARGED, "CANCELLED": Delivery.CHARGED, "FAILED": Delivery.FREE}
USAGE = CostSource(credits=parse("/job/usage/credits"))
ASKED = CostSource(path="/api/v2/parse/{job_id}?expand=usage", credits=parse("/job/usage/credits"))
PAGES = CostSource(path="/api/v2/parse/{job_id}?expand=metadata", units=parse("/metadata/pages/*"))
PARSE = JobKind(
    name="parse",
    upstream="parse",
    id=parse("/id"),
    poll_path="/api/v2/parse/{job_id}",
    status=parse("/job/status"),
    statuses=ENDS,
    costs=(USAGE, ASKED, PAGES),
    limit_ms=1,
)


def poll(status: object, **usage: object) -> dict:
    return {"job": {"id": "pjb-1", "status": status, **({"usage": usage} if usage else {})}}


@pytest.mark.parametrize("job_id", ["pjb-1", "a", "A.b_c-9", "x" * 200, "0193c1f2-7b1a-7000-8000-000000000000"])
def test_a_job_id_is_read_from_the_create_reply(job_id: str) -> None:
    assert read_job_id({"id": job_id, "status": "PENDING"}, PARSE) == job_id


@pytest.mark.parametrize(
    "job_id", ["", "x" * 201, "a/b", "..", ".", "a b", "a\n", "é", "{s}", "a:b", 7, None, True, ["a"], {"a": 1}]
)
def test_what_cannot_be_polled_is_no_job_id(job_id: object) -> None:
    assert read_job_id({"id": job_id}, PARSE) is None


@pytest.mark.parametrize("document", [None, [], "pjb-1", 5, {}, {"job": {"id": "pjb-1"}}])
def test_a_reply_of_another_shape_has_no_job_id(document: object) -> None:
    assert read_job_id(document, PARSE) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PENDING", JobStatus.RUNNING),
        ("COMPLETED", JobStatus.CHARGED),
        ("completed", JobStatus.CHARGED),
        ("Cancelled", JobStatus.CHARGED),
        ("failed", JobStatus.FREE),
        ("SOMETHING_NEW", JobStatus.RUNNING),
        (None, JobStatus.RUNNING),
        (5, JobStatus.RUNNING),
        (["COMPLETED"], JobStatus.RUNNING),
    ],
)
def test_only_a_known_final_status_ends_a_job(status: object, expected: JobStatus) -> None:
    assert read_job_report(poll(status), PARSE).status is expected


@pytest.mark.parametrize("document", [None, [], "COMPLETED", {}, {"job": "COMPLETED"}, {"status": "COMPLETED"}])
def test_a_poll_of_another_shape_ends_nothing(document: object) -> None:
    assert read_job_report(document, PARSE) == JobReport(JobStatus.RUNNING)


@pytest.mark.parametrize(
    ("credits_", "millicredits"), [(0, 0), (0.0, 0), (3, 3000), (12.5, 12_500), (0.0004, 0), (1_000_000, 10**9)]
)
def test_reported_credits_are_the_cost_and_zero_is_free(credits_: object, millicredits: int) -> None:
    report = read_job_report(poll("COMPLETED", credits=credits_), PARSE)
    assert report.cost == JobCost(millicredits, None, "credits reported at /job/usage/credits")


@pytest.mark.parametrize("credits_", [-1, "12", True, [5], {"a": 1}, 1e308, 2**60])
def test_an_unusable_report_is_no_cost(credits_: object) -> None:
    assert read_job_report(poll("COMPLETED", credits=credits_), PARSE).cost is NoCost.NOT_THERE


def test_null_credits_are_not_yet_known_and_missing_ones_not_there() -> None:
    assert read_job_report(poll("COMPLETED", credits=None), PARSE).cost is NoCost.NOT_YET
    assert read_job_report(poll("COMPLETED"), PARSE).cost is NoCost.NOT_THERE
    assert read_job_report(poll("COMPLETED", other=1), PARSE).cost is NoCost.NOT_THERE


def test_a_job_that_runs_or_failed_is_not_asked_for_a_cost() -> None:
    assert read_job_report(poll("RUNNING", credits=5), PARSE) == JobReport(JobStatus.RUNNING)
    assert read_job_report(poll("FAILED", credits=5), PARSE) == JobReport(JobStatus.FREE)


@pytest.mark.parametrize(
    ("pointer", "document", "expected"),
    [
        ("/pages/*", {"pages": [{}, {}, {}]}, 3),
        ("/pages/*", {"pages": [{}, None]}, 1),
        ("/segments/*/pages/*", {"segments": [{"pages": [1, 2]}, {"pages": [3]}, {}]}, 3),
        ("/pages", {"pages": [1, 2]}, 2),
        ("/job_pages", {"job_pages": 7}, 7),
        ("/job_pages", {"job_pages": 0}, 0),
        ("/job_pages", {"job_pages": None}, NoCost.NOT_YET),
        ("/job_pages", {"job_pages": -1}, NoCost.NOT_THERE),
        ("/job_pages", {"job_pages": True}, NoCost.NOT_THERE),
        ("/job_pages", {"job_pages": "7"}, NoCost.NOT_THERE),
        ("/job_pages", {"job_pages": 1.5}, NoCost.NOT_THERE),
        ("/job_pages", {}, NoCost.NOT_THERE),
        ("/pages/*", {"pages": []}, NoCost.NOT_THERE),
        ("/pages", {"pages": []}, NoCost.NOT_THERE),
        ("/pages/*", {"pages": 5}, NoCost.NOT_THERE),
    ],
)
def test_units_are_counted_or_taken_and_never_made_up(pointer: str, document: dict, expected: int | NoCost) -> None:
    cost = read_cost(document, CostSource(units=parse(pointer)))
    assert (cost.units if isinstance(cost, JobCost) else cost) == expected


def test_credits_of_several_events_are_summed_once_all_are_known() -> None:
    source = CostSource(path="/usage", credits=parse("/items/*/credits"))
    assert read_cost({"items": [{"credits": 1.5}, {"credits": 2}]}, source) == JobCost(
        3500, None, "credits reported at /items/*/credits"
    )
    assert read_cost({"items": [{"credits": 1.5}, {"credits": None}]}, source) is NoCost.NOT_YET
    assert read_cost({"items": [{"credits": 1.5}, {"credits": "x"}]}, source) is NoCost.NOT_THERE
    assert read_cost({"items": []}, source) is NoCost.NOT_THERE
    assert read_cost({"items": [{"credits": 9_007_199_254_740.0}] * 2}, source) is NoCost.NOT_THERE
    assert read_cost({"items": []}, CostSource()) is NoCost.NOT_THERE


def test_where_to_look_depends_on_what_the_poll_says_of_the_job() -> None:
    whole = CostSource(credits=parse("/usage/credits"), unless=ReplyCondition(parse("/file_input"), "pjb-"))
    alone = CostSource(credits=parse("/usage/extract_credits"), only_if=ReplyCondition(parse("/file_input"), "pjb-"))
    kind = JobKind("extract", "extract", ("id",), "/x", ("status",), ENDS, (whole, alone), 1)
    usage = {"credits": 20, "extract_credits": 5}
    of_a_file = {"status": "COMPLETED", "file_input": "fil-1", "usage": usage}
    of_a_job = {"status": "COMPLETED", "file_input": "pjb-1", "usage": usage}
    assert cost_sources(of_a_file, kind) == (whole,)
    assert cost_sources(of_a_job, kind) == (alone,)
    assert cost_sources([], kind) == (whole,)
    costs = [read_job_report(document, kind).cost for document in (of_a_file, of_a_job)]
    assert [cost.credits_millicredits if isinstance(cost, JobCost) else cost for cost in costs] == [20_000, 5000]


def test_true_and_false_are_a_status_too() -> None:
    kind = JobKind("i", "i", ("id",), "/x", ("at_work",), {"FALSE": Delivery.CHARGED}, (), 1)
    found = [read_job_report({"at_work": word}, kind).status for word in (True, False, None, 0, "false")]
    assert found == [
        JobStatus.RUNNING,
        JobStatus.CHARGED,
        JobStatus.RUNNING,
        JobStatus.RUNNING,
        JobStatus.CHARGED,
    ]


def test_the_jobs_that_one_reply_opens_are_kept_together() -> None:
    kind = JobKind("b", "b", ("*", "id"), "/x", ("status",), ENDS, (), 1)
    text = read_job_id([{"id": "a-1"}, {"id": "a-2"}, {"id": "a-3"}], kind)
    assert text == "a-1,a-2,a-3"
    assert job_ids(text) == ("a-1", "a-2", "a-3")
    assert job_ids("a-1") == ("a-1",)
    assert read_job_id([], kind) is None
    assert read_job_id({"id": "a-1"}, kind) is None
    assert read_job_id([{"id": "a-1"}, {"id": "a,2"}], kind) is None
    assert read_job_id([{"id": "a-1"}, {"id": None}], kind) is None
    assert read_job_id([{"id": f"{at:036}"} for at in range(54)], kind) is not None
    assert read_job_id([{"id": f"{at:036}"} for at in range(55)], kind) is None


def test_the_first_of_a_list_of_jobs_can_be_pointed_to() -> None:
    kind = JobKind("b", "b", ("0", "id"), "/x", ("status",), ENDS, (), 1)
    assert read_job_id([{"id": "a-1"}, {"id": "a-2"}], kind) == "a-1"


@pytest.mark.parametrize(
    ("pointer", "document", "expected"),
    [
        ("/results/*/job/id", {"results": [{"job": {"id": "a"}}, {"job": None}, {"job": {"id": "b"}}]}, ("a", "b")),
        ("/results/*/job/id", {"results": [{"job": {"id": "a"}}, {"job": {"id": "a"}}]}, ("a",)),
        ("/results/*/job/id", {"results": []}, ()),
        ("/results/*/job/id", {"results": None}, NoCost.NOT_THERE),
        ("/results/*/job/id", {}, NoCost.NOT_THERE),
        ("/results/*/job/id", {"results": 5}, NoCost.NOT_THERE),
        ("/results/*/job/id", {"results": [{"job": {"id": "a/b"}}]}, NoCost.NOT_THERE),
        ("/results/*/job/id", {"results": [{"job": {"id": 5}}]}, NoCost.NOT_THERE),
        ("/results/*/job/id", {"results": [{"job": {"id": f"j{at}"}} for at in range(1_001)]}, NoCost.NOT_THERE),
        ("/job_id", {"job_id": "a"}, ("a",)),
        ("/job_id", {"job_id": None}, ()),
        ("/job_id", {}, NoCost.NOT_THERE),
        ("/job_id", None, NoCost.NOT_THERE),
    ],
)
def test_a_job_of_jobs_names_them_or_says_that_there_are_none(
    pointer: str, document: object, expected: tuple[str, ...] | NoCost
) -> None:
    assert read_each(document, parse(pointer)) == expected


def test_a_job_may_be_free_by_what_its_result_says() -> None:
    source = CostSource(
        path="/result", units=parse("/meta/pages"), free_if=ReplyCondition(parse("/meta/cached"), "true")
    )
    assert read_cost({"meta": {"pages": 3, "cached": True}}, source) == JobCost(0, None, "free by /meta/cached")
    for cached in (False, None, "no"):
        found = read_cost({"meta": {"pages": 3, "cached": cached}}, source)
        assert isinstance(found, JobCost)
        assert found.units == 3


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"pages": 0}, JobCost(0, 0, "nothing delivered at /pages")),
        ({"pages": []}, JobCost(0, 0, "nothing delivered at /pages")),
        ({"pages": 3}, NoCost.NOT_THERE),
        ({"pages": [1]}, NoCost.NOT_THERE),
        ({"pages": None}, NoCost.NOT_THERE),
        ({"pages": False}, NoCost.NOT_THERE),
        ({"pages": "0"}, NoCost.NOT_THERE),
        ({}, NoCost.NOT_THERE),
        (None, NoCost.NOT_THERE),
    ],
)
def test_only_nothing_delivered_is_free_by_that(document: object, expected: JobCost | NoCost) -> None:
    assert read_cost(document, CostSource(path="/result", free_if_zero=("pages",))) == expected


def test_a_place_that_is_waited_for_says_not_yet_instead_of_nothing() -> None:
    source = CostSource(path="/metrics", credits=parse("/items/*/credits"), wait=True)
    assert read_cost({"items": []}, source) is NoCost.NOT_YET
    assert read_cost({"items": [{"credits": 2}]}, source) == JobCost(
        2_000, None, "credits reported at /items/*/credits"
    )


def test_costs_of_several_jobs_are_one_cost() -> None:
    told = [JobCost(1_500, None, "a"), JobCost(None, 3, "b")]
    assert together(told, per_unit=2_000, evidence="both") == JobCost(7_500, None, "both")
    assert together(told[1:] * 2, per_unit=2_000, evidence="both") == JobCost(12_000, 6, "both")
    assert together([], per_unit=2_000, evidence="none") == JobCost(0, None, "none")


def test_paths_are_filled_with_what_a_path_may_hold() -> None:
    assert fill("/u?organization_id={account_id}&k={job_id}", job_id="pjb-1", account_id="acc_1") == (
        "/u?organization_id=acc_1&k=pjb-1"
    )
    assert fill("/api/v2/parse/{job_id}", job_id="x{account_id}", account_id="acc_1") == "/api/v2/parse/x{account_id}"


@given(st.text(max_size=210))
def test_a_valid_job_id_is_one_path_segment_and_never_a_dot_segment(job_id: str) -> None:
    if valid_job_id(job_id):
        assert job_id.isascii()
        assert not set(job_id) & set("/\\%?#;{}: \n")
        assert job_id not in {".", ".."}


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = st.sampled_from(["job", "status", "usage", "credits"])
JSON: st.SearchStrategy[object] = st.deferred(
    lambda: LEAF | st.lists(JSON, max_size=3) | st.dictionaries(NAMES, JSON, max_size=3)
)


@given(JSON)
def test_no_reply_makes_it_raise(document: object) -> None:
    read_job_report(document, PARSE)
    read_job_id(document, PARSE)
