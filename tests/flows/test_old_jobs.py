"""Jobs that Redis has forgotten are their owner's all the same, and nobody else's."""

import asyncio

import pytest

from gateway.books.books import Books
from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.hold import HoldState
from gateway.flows.accounts import Accounts
from gateway.flows.admit import Admission, Allowed, Asked
from gateway.flows.authenticate import Caller, Directory, TermsOf
from gateway.flows.keys import Keys
from gateway.flows.old_jobs import MOST_UNKNOWN, OldJobs
from gateway.flows.rebuild import Rebuilder
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import account_prefix, job_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.route import JobRef, JobUse, Route
from tests.flows.calls import hold
from tests.made_up import PLANS, Clock

JOB = ("parse", "job-1")
POLL = Route("GET /jobs/{job_id}", "GET", "/jobs/{job_id}", "parse", limit=None, job=JobRef("parse", JobUse.POLL))


@pytest.fixture
def admission(
    books: Books, ledger: Ledger, outbox: Outbox, directory: Directory, terms_of: TermsOf, clock: Clock
) -> Admission:
    rebuild = Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)
    recall = OldJobs(books, ledger).recall
    return Admission(ledger, directory, load=rebuild, plans=lambda: PLANS, clock=clock, recall=recall)


async def opened(accounts: Accounts, keys: Keys, directory: Directory, name: str) -> Caller:
    account = await accounts.create(name, "free")
    secret = (await keys.create(account.id)).secret
    caller = await directory.find(secret.encode())
    assert caller is not None
    return caller


async def polled(admission: Admission, caller: Caller, number: int) -> Allowed | Refused:
    return await admission.admit(caller, Asked(f"req_{number:032x}", POLL, None, JOB))


async def test_an_old_job_is_found_in_the_books_by_its_owner_alone(
    admission: Admission,
    accounts: Accounts,
    keys: Keys,
    directory: Directory,
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    redis: RedisConnection,
) -> None:
    owner = await opened(accounts, keys, directory, "Owner")
    stranger = await opened(accounts, keys, directory, "Stranger")
    assert isinstance(await polled(admission, owner, 1), Refused)
    hold_id = await hold(ledger, owner.terms, 5)
    assert await ledger.attach_job(
        hold_id, owner.account_id, upstream="parse", job_kind="parse", job_id="job-1", limit_ms=1000, first_look_ms=1
    )
    await Relay(outbox=outbox, books=books, consumer="one", block_ms=0).drain_once()
    key = job_key(account_prefix(owner.account_id), *JOB)
    await redis.execute("DEL", key, key=key)
    fresh = Admission(
        ledger,
        directory,
        load=admission._load,
        plans=lambda: PLANS,
        clock=admission._clock,
        recall=OldJobs(books, ledger).recall,
    )
    refused = await polled(fresh, stranger, 2)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.NO_SUCH_JOB
    allowed = await polled(fresh, owner, 3)
    assert isinstance(allowed, Allowed)
    assert allowed.admitted.job is not None
    assert (allowed.admitted.job.hold_id, allowed.admitted.job.job_kind) == (hold_id, "parse")
    assert allowed.admitted.job.state is HoldState.OPEN
    assert 0 < await redis.execute("PTTL", key, key=key) <= 86_400_000
    assert await ledger.find_job(*JOB) == (hold_id, owner.account_id)


async def test_made_up_ids_are_asked_about_once_and_remembered_within_bounds(
    books: Books, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    old = OldJobs(books, ledger)
    reading = books.read

    def counted() -> object:
        nonlocal asked
        asked += 1
        return reading()

    monkeypatch.setattr(books, "read", counted)
    for _ in range(3):
        assert not await old.recall("acc_1", ("parse", "none"))
    assert asked == 1
    far = asyncio.get_running_loop().time() + 100
    old._unknown.update({("acc_1", "parse", str(number)): far for number in range(MOST_UNKNOWN)})
    assert not await old.recall("acc_1", ("parse", "another"))
    assert len(old._unknown) <= MOST_UNKNOWN + 1
