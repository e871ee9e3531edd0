"""What each job ends in, one by one: the histories of `test_job_histories` that somebody would ask about by name."""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.books.books import Books
from gateway.domain.hold import HoldState, JobHold
from gateway.domain.job import JobAge
from gateway.flows.follow_job import JobAlert
from gateway.flows.rebuild import rebuild
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.outbox import Outbox
from gateway.wire.call_facts import read_settlement
from tests.flows.job_faults import Act, Fault
from tests.flows.job_history import History, Lane, Lived, Replica, Tally, open_lanes
from tests.flows.job_upstream import HELD, KIND, LIMIT_MS, MANY_LOOKS, Bill
from tests.made_up import CREDIT, Clock

TOLD = Bill(cost=12_500)
UNTOLD = Bill(cost=12_500, looks_until_billed=MANY_LOOKS)
ATTACH, END, FAIL, CANCEL, DELETE, LOOK = (
    Act("attach"),
    Act("end"),
    Act("end", amount=1),
    *map(Act, ("cancel", "delete", "look")),
)
SOON = Act("wait", amount=1_500)


@pytest.fixture
async def lane(sqlite_copy_url: str, redis: RedisConnection, clock: Clock) -> AsyncIterator[Lane]:
    books = await Books.open(sqlite_copy_url)
    (lane,) = await open_lanes(books, redis, clock, 1)
    yield lane
    await books.close()


async def lived(lane: Lane, bill: Bill, *acts: Act) -> Lived:
    """A history lived to its end, with nothing wrong about it."""
    history = Lived(lane, History(1, bill, (ATTACH, *acts)), Tally())
    with capture_logs() as logs:
        assert await history.live() is None
    # Whatever an operator is told of is an error in the log too.
    assert len([line for line in logs if line["log_level"] == "error"]) == history.tally.alerts.total()
    return history


async def test_a_completed_job_costs_what_the_upstream_reports(lane: Lane) -> None:
    job = await lived(lane, TOLD, SOON, END, LOOK)
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /job/usage/credits")
    assert read_settlement(job.ends[0][b"settlement"]).billed_mode == "agentic"


async def test_a_caller_s_poll_settles_before_the_follower_looks(lane: Lane) -> None:
    job = await lived(lane, TOLD, END, Act("poll_usage"))
    assert (job.charged, job.evidence) == (12_500, "poll: credits reported at /job/usage/credits")


async def test_a_poll_without_the_credits_has_the_follower_look_at_once(lane: Lane) -> None:
    job = await lived(lane, TOLD, END, Act("poll"), LOOK)
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /job/usage/credits")
    assert int(job.ends[0][b"at"]) == lane.start_ms


async def test_a_failed_job_is_free(lane: Lane) -> None:
    job = await lived(lane, TOLD, FAIL)
    assert (job.charged, job.evidence) == (0, "the job failed: free")


async def test_a_cancelled_job_costs_what_it_delivered(lane: Lane) -> None:
    job = await lived(lane, Bill(cost=20 * CREDIT), CANCEL)
    assert job.charged == 10 * CREDIT


async def test_a_cancelled_job_of_which_nothing_is_told_is_free(lane: Lane) -> None:
    job = await lived(lane, UNTOLD, CANCEL)
    assert (job.charged, job.evidence) == (0, "stopped, and the upstream tells of nothing delivered")


async def test_a_cost_above_the_hold_is_charged_in_full(lane: Lane) -> None:
    assert (await lived(lane, Bill(cost=3 * HELD), END)).charged == 3 * HELD


async def test_credits_that_stay_null_are_waited_for_and_then_the_quote_is_charged_loudly(lane: Lane) -> None:
    job = await lived(lane, UNTOLD, END)
    assert (job.charged, job.evidence) == (HELD, "the upstream never told the cost: the quote")
    assert job.tally.alerts == {JobAlert.COST_NEVER_TOLD: 1}
    assert 600_000 <= int(job.ends[0][b"at"]) - lane.start_ms <= 1_500_000


async def test_credits_that_stay_null_are_taken_from_the_next_evidence(lane: Lane) -> None:
    # Two looks are told nothing, and metrics tell it from then on; nobody looks in between.
    bill = Bill(cost=12_500, looks_until_billed=1, metrics=True)
    job = await lived(lane, bill, END, SOON, LOOK, Act("delete"))
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /items/*/credits")
    assert job.tally.alerts == {}


async def test_a_job_that_never_ends_is_given_up_loudly_at_its_limit(lane: Lane) -> None:
    job = await lived(lane, TOLD)
    assert (job.charged, job.evidence) == (0, "the job did not end within its limit")
    assert job.tally.alerts == {JobAlert.NEVER_ENDED: 1}


async def test_a_job_deleted_before_it_ended_is_free(lane: Lane) -> None:
    job = await lived(lane, TOLD, SOON, LOOK, DELETE)
    assert (job.charged, job.evidence) == (0, "deleted before it ended")


async def test_a_deleted_job_costs_what_the_usage_metrics_tell(lane: Lane) -> None:
    job = await lived(lane, Bill(cost=12_500, metrics=True), END, DELETE)
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /items/*/credits")


async def test_a_caller_who_deletes_what_it_has_fetched_does_not_parse_for_free(lane: Lane) -> None:
    job = await lived(lane, TOLD, END, Act("poll"), DELETE)
    assert (job.charged, job.evidence) == (HELD, "the upstream never told the cost: the quote")


async def test_the_end_that_a_poll_told_is_kept_though_redis_was_away(lane: Lane) -> None:
    job = await lived(lane, TOLD, END, Act("poll", fault=Fault.AWAY, at=1), DELETE)
    assert job.charged == HELD


async def test_a_dead_follower_s_jobs_are_taken_over_by_another(lane: Lane) -> None:
    job = await lived(lane, TOLD, END, SOON, Act("look", fault=Fault.CRASH, at=2))
    assert job.charged == 12_500


async def test_any_number_of_webhooks_polls_and_looks_charge_once(lane: Lane) -> None:
    everybody = [Act(name, replica) for name in ("webhook", "poll_usage", "look", "webhook") for replica in (0, 1)]
    job = await lived(lane, TOLD, *everybody, END, *everybody, *everybody)
    assert (job.charged, len(job.ends)) == (12_500, 1)


async def test_a_job_that_redis_lost_is_followed_again_once_its_account_is_rebuilt(
    lane: Lane, redis: RedisConnection
) -> None:
    job = Lived(lane, History(1, TOLD, (ATTACH,)), Tally())
    await job.begin()
    outbox = Outbox(redis)
    while await Relay(outbox=outbox, books=lane.books, consumer="one", block_ms=0).drain_once():
        pass
    await redis.on_every_node("FLUSHALL")
    await job.pass_ms(5_000)
    job.job.end("COMPLETED", TOLD.cost)
    assert await rebuild(lane.books, job.ledger, outbox, lane.terms)
    assert await job.end() == "['captured'] without a job"  # the outbox does not tell of its beginning any more
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /job/usage/credits")
    while await Relay(outbox=outbox, books=lane.books, consumer="one", block_ms=0).drain_once():
        pass
    assert (await reconcile(lane.books, job.ledger, [lane.terms.account_id])).ok


async def _one_look(lane: Lane, job: Lived, *, capped: bool = False) -> None:
    """By a follower of the test's own."""
    replica = Replica(lane.store, lane.books, job.job, job.tally)
    follower = replica.follower
    if capped:
        follower = replica.follower_of(capped=lambda route: route == "parse.upload")
    await replica.ledger.look_now(job.hold_id, lane.terms.account_id)
    for lease in await replica.ledger.lease_jobs(lane.shard, count=1, lease_ms=1_000):
        await follower.look(lease)


async def test_a_route_that_caps_charges_at_most_what_was_held(lane: Lane) -> None:
    job = Lived(lane, History(1, Bill(cost=3 * HELD), (ATTACH, END)), Tally())
    await job.begin()
    await _one_look(lane, job, capped=True)
    assert await job.end() is not None  # not what the upstream bills
    assert job.charged == HELD


async def test_a_mode_that_was_not_asked_for_is_charged_as_billed_and_told(lane: Lane) -> None:
    job = Lived(lane, History(1, TOLD, (ATTACH, END)), Tally())
    await job.begin()
    job.job.tier = "agentic_plus"
    with capture_logs() as logs:
        await _one_look(lane, job)
    assert await job.end() is None
    assert job.charged == 12_500
    assert job.evidence.endswith("; asked for agentic, billed as agentic_plus")
    assert read_settlement(job.ends[0][b"settlement"]).billed_mode == "agentic_plus"
    assert job.tally.mismatches == {("parse", "agentic"): 1}
    assert [line["billed"] for line in logs if line["log_level"] == "warning"] == ["agentic_plus"]


async def test_a_poll_of_one_of_several_jobs_of_a_hold_settles_nothing(lane: Lane) -> None:
    job = Lived(lane, History(1, TOLD, (ATTACH, END)), Tally())
    await job.begin()
    replica = Replica(lane.store, lane.books, job.job, job.tally)
    shared = JobHold(job.hold_id, HoldState.OPEN, b"", "a_kind_of_several")
    document = orjson.loads(job.job.poll(usage=True).body)
    await replica.follower.seen(KIND, shared, lane.terms.account_id, document)
    assert (await replica.ledger.counters(lane.terms.account_id)).open_holds != ()
    assert await job.end() is None


async def _unreadable(lane: Lane, bill: Bill) -> Lived:
    job = Lived(lane, History(1, bill, (ATTACH, END)), Tally())
    await job.begin()
    job.job.unreadable = b"<html>"
    await job.end()
    return job


async def test_a_job_that_cannot_be_read_is_charged_its_quote_loudly_at_its_limit(lane: Lane) -> None:
    job = await _unreadable(lane, TOLD)
    assert (job.charged, job.evidence) == (HELD, "no reply about the job could be read: the quote")
    assert job.tally.alerts == {JobAlert.COST_NEVER_TOLD: 1}
    assert int(job.ends[0][b"at"]) - lane.start_ms >= LIMIT_MS


async def test_a_job_that_cannot_be_read_costs_what_the_usage_metrics_tell(lane: Lane) -> None:
    job = await _unreadable(lane, Bill(cost=12_500, metrics=True))
    assert (job.charged, job.evidence) == (12_500, "follower: credits reported at /items/*/credits")
    assert job.tally.alerts == {}


AGE = JobAge(limit_ms=1_800_000, attached_ms=0, ended_ms=None, gone_ms=None, left_ms=2_400_000)


@pytest.mark.parametrize(
    ("attached_ms", "ended_ms", "pause_ms"),
    [(0, None, 1_000), (4_000, None, 1_000), (20_000, None, 5_000), (1_000_000, None, 15_000), (1_000_000, 0, 1_000)],
)
def test_looks_come_ever_less_often_and_anew_from_the_end_on(
    attached_ms: int, ended_ms: int | None, pause_ms: int
) -> None:
    assert replace(AGE, attached_ms=attached_ms, ended_ms=ended_ms).pause_ms == pause_ms


def test_waiting_for_a_cost_ends_before_the_hold_does() -> None:
    assert not replace(AGE, ended_ms=599_999).patience_over
    assert replace(AGE, ended_ms=600_000).patience_over
    assert replace(AGE, ended_ms=0, left_ms=30_000).patience_over
    assert not AGE.patience_over
