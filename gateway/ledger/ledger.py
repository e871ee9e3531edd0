"""The ledger: what may be asked of the credits in flight, each question one script and one round trip.

Decides nothing itself: the scripts do, in one step with what they change. It picks keys, packs arguments and reads
replies. Refusals are values, a Redis that is away raises StoreUnavailable.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.terms import Terms
from gateway.domain.usage import CallFacts, JobAttached, Settlement
from gateway.ledger.answers import (
    AdmitCall,
    Claim,
    Counters,
    JobLease,
    JobMark,
    NotProjected,
    Reproject,
    Settled,
    ToppedUp,
    Uncounted,
)
from gateway.ledger.faults import HoldEnded, InvariantBroken, StoreUnavailable
from gateway.ledger.keys import (
    SHARDS,
    account_prefix,
    acct_key,
    claim_key,
    due_key,
    follow_key,
    hold_key,
    job_key,
    name_key,
    open_key,
    outbox_key,
    own_job_key,
    period_key,
    periods_prefix,
    shard_prefix,
)
from gateway.ledger.packing import Packer, settling_keys
from gateway.ledger.reading import account_events
from gateway.ledger.replies import admitted, job_leases, not_topped_up, read_counters, refused, settled, uncounted
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.settings_check import settings_problems
from gateway.ledger.store import Argument, Still, Store
from gateway.wire.call_facts import facts_json, settlement_json

# An admission that timed out may still be on its way for as long as a connection's buffers live.
_TOMBSTONE_MS: Final = 600_000
# A poll asks for its job long after the end; after this it asks the books.
_JOB_KEY_MS_AFTER_LIMIT: Final = 86_400_000
# What is put into a pipeline may be looked at again as long as this after the one before.
_CLAIM_MS: Final = 31 * 86_400_000
_RENEW_BATCH: Final = 100
# Each turn expires up to a hundred overdue holds of one account.
_OVERDUE_TURNS: Final = 10
_NOBODY_SETTLED: Final = settlement_json(Settlement(None, "nobody settled the hold in time"))
_REFUSALS: Final = {code.value.encode(): code for code in RefusalCode}
_REPROJECT: Final = {reason.value.encode(): reason for reason in Reproject}


class Ledger:
    """Credits in flight of all accounts. Any number may share one Redis, in any number of processes."""

    def __init__(self, connection: Store, *, shards: int = SHARDS, scripts: Mapping[str, Script] | None = None) -> None:
        self._redis = connection
        self.shards = shards
        self._scripts = scripts if scripts is not None else load_scripts()
        self._packer = Packer(self._scripts["admit"], self._scripts["capture"], shards)

    async def admit(self, call: AdmitCall, *, still: Still | None = None) -> Admitted | Refused | NotProjected:
        """May this call start? Holds of the account that nobody settled in time are expired before it is refused.

        Safe to repeat with the same hold id and nonce. HoldEnded where the hold was settled in the meantime.
        `still`: whether the call's terms are still known to be of this Redis; StoreUnavailable (OUTDATED) else.
        """
        key, packed = self._packer.admit(call)
        for _ in range(_OVERDUE_TURNS):
            # A free call leaves nothing that could tell a repeat from a second call.
            reply = await self._redis.evalsha(
                self._scripts["admit"], [key], packed, repeat=bool(call.facts), still=still
            )
            word = reply[0]
            if word == b"admitted":
                return admitted(call, reply)
            if word in _REFUSALS:
                return refused(call, _REFUSALS[word], reply)
            if word in _REPROJECT:
                return NotProjected(_REPROJECT[word], reply[1], None if reply[2] == -1 else reply[2])
            if word == b"ended":
                raise HoldEnded(call.hold_id)
            if word != b"overdue":
                raise InvariantBroken(f"admit: {word!r} for {call.hold_id}")
            await self.expire_account(call.terms.account_id)
        raise StoreUnavailable("overdue_holds")

    async def capture(
        self, hold_id: str, account_id: str, *, cost_millicredits: int | None, cap: bool, settlement: bytes
    ) -> Settled:
        """Takes the true cost (None: the amount held; with `cap` at most that) and tells the outbox, once.

        Unknown hold: `state_before` is None and nothing was taken; ask the books, then `recover`.
        """
        key, packed = self._packer.capture(hold_id, account_id, cost_millicredits, settlement, cap=cap)
        return settled(await self._redis.evalsha(self._scripts["capture"], [key], packed))

    async def recover(
        self,
        hold_id: str,
        account_id: str,
        *,
        period_start_ms: int,
        cost_millicredits: int,
        facts: bytes,
        settlement: bytes,
    ) -> Settled:
        """Takes the cost of a call whose hold Redis has lost, once, as the ending `recovered`.

        Only for a hold that `capture` did not know and the books have not settled. `facts` is the JSON of CallFacts.
        """
        prefix = account_prefix(account_id, self.shards)
        keys = _settling_keys(prefix, hold_id, account_id)
        periods = periods_prefix(prefix, account_id)
        args: list[Argument] = [hold_id, periods, cost_millicredits, period_start_ms, facts, settlement, account_id]
        reply = await self._redis.evalsha(self._scripts["recover"], keys, args)
        if reply[0] == b"known":
            return await self.capture(
                hold_id, account_id, cost_millicredits=cost_millicredits, cap=False, settlement=settlement
            )
        return settled(reply)

    async def release(self, hold_id: str, account_id: str, *, settlement: bytes) -> Settled:
        """Gives a hold back. Of an unknown one a tombstone is left, which refuses an admission still on its way."""
        prefix = account_prefix(account_id, self.shards)
        args: list[Argument] = [hold_id, periods_prefix(prefix, account_id), settlement, account_id, _TOMBSTONE_MS]
        reply = await self._redis.evalsha(self._scripts["release"], _settling_keys(prefix, hold_id, account_id), args)
        return settled(reply)

    async def top_up(
        self, hold_id: str, account_id: str, *, period_start_ms: int, least_millicredits: int, wanted_millicredits: int
    ) -> ToppedUp | Refused | None:
        """Lets an open hold grow to `wanted`, or to as much as there is but no less than `least`. Safe to repeat.

        Refused: nothing has changed. None: Redis has lost the hold. HoldEnded where it was settled.
        """
        prefix = account_prefix(account_id, self.shards)
        keys = [
            hold_key(prefix, hold_id),
            acct_key(prefix, account_id),
            period_key(prefix, account_id, period_start_ms),
        ]
        args: list[Argument] = [least_millicredits, max(least_millicredits, wanted_millicredits)]
        word, *rest = await self._redis.evalsha(self._scripts["top_up"], keys, args)
        if word == b"unknown":
            return None
        if word == b"ended":
            raise HoldEnded(hold_id)
        return ToppedUp(*rest) if word == b"topped" else not_topped_up(_REFUSALS[word], rest)

    async def attach_job(
        self,
        hold_id: str,
        account_id: str,
        *,
        upstream: str,
        job_kind: str,
        job_id: str,
        limit_ms: int,
        first_look_ms: int,
    ) -> bool:
        """Makes the hold the job's, to be followed from `first_look_ms` on and at most for `limit_ms`.

        False where there is no such hold, or it is settled, or another job's.
        """
        prefix = account_prefix(account_id, self.shards)
        settling = _settling_keys(prefix, hold_id, account_id)
        keys = [*settling[:5], job_key(prefix, upstream, job_id), settling[5]]
        args: list[Argument] = [hold_id, upstream, job_kind, job_id, limit_ms, first_look_ms]
        args.append(limit_ms + _JOB_KEY_MS_AFTER_LIMIT)
        reply = await self._redis.evalsha(self._scripts["attach_job"], keys, args)
        return bool(reply == b"attached")

    async def remember_job(self, account_id: str, *, upstream: str, job_id: str, hold_id: str, job_kind: str) -> None:
        """Whose an old job is, for another day, where Redis has forgotten it. Its hold stays as it is: mostly gone."""
        key = job_key(account_prefix(account_id, self.shards), upstream, job_id)
        value = f"{account_id}\n{hold_id}\n{job_kind}"
        await self._redis.execute("SET", key, value, "NX", "PX", _JOB_KEY_MS_AFTER_LIMIT, key=key, repeat=True)

    async def find_job(self, upstream: str, job_id: str) -> tuple[str, str] | None:
        """(hold id, account id) of a job, whosever it is: asks every shard. None: Redis does not know it (any more)."""
        keys = [job_key(shard_prefix(shard), upstream, job_id) for shard in range(self.shards)]
        found = await asyncio.gather(*(self._redis.execute("GET", key, key=key, repeat=True) for key in keys))
        owner = next((one for one in found if one is not None), None)
        if owner is None:
            return None
        account_id, hold_id, _ = owner.decode().split("\n", 2)
        return hold_id, account_id

    async def look_now(self, hold_id: str, account_id: str, mark: JobMark | None = None) -> bool:
        """The job is to be looked at next. False where it is not followed any more."""
        return await self.look_later(hold_id, account_id, in_ms=0, mark=mark)

    async def look_later(self, hold_id: str, account_id: str, *, in_ms: int, mark: JobMark | None = None) -> bool:
        """Sets when a job is looked at again, and what is known of it. False where it is not followed any more."""
        prefix = account_prefix(account_id, self.shards)
        keys = [follow_key(prefix), hold_key(prefix, hold_id)]
        return bool(await self._redis.evalsha(self._scripts["look"], keys, [hold_id, in_ms, mark or ""]))

    async def lease_jobs(self, shard: int, *, count: int, lease_ms: int) -> list[JobLease]:
        """Takes up to `count` jobs whose turn it is; they come back after `lease_ms` unless told otherwise."""
        prefix = shard_prefix(shard)
        reply = await self._redis.evalsha(
            self._scripts["lease_jobs"], [follow_key(prefix)], [prefix, count, lease_ms], repeat=False
        )
        return job_leases(reply)

    async def claim_job(self, hold_id: str, account_id: str, *, upstream: str, job_id: str | None) -> Claim:
        """Makes a job the hold's own, where it has none and no other hold of the account was first.

        `job_id` None only asks. Safe to repeat; a claim is remembered for a month.
        """
        prefix = account_prefix(account_id, self.shards)
        keys = [claim_key(prefix, upstream, account_id, job_id or ""), own_job_key(prefix, hold_id)]
        own, taken_at_ms = await self._redis.evalsha(self._scripts["claim"], keys, [hold_id, job_id or "", _CLAIM_MS])
        return Claim(None if own is None else own.decode(), taken_at_ms or None)

    async def renew(self, holds: Iterable[tuple[str, str]], *, ttl_ms: int) -> int:
        """Moves the deadlines of (account id, hold id) pairs whose calls still run. Returns how many were renewed."""
        by_prefix: dict[str, list[tuple[str, str]]] = {}
        for account_id, hold_id in holds:
            by_prefix.setdefault(account_prefix(account_id, self.shards), []).append((account_id, hold_id))
        renewed = 0
        for prefix, pairs in by_prefix.items():
            rest = iter(pairs)
            while batch := list(islice(rest, _RENEW_BATCH)):
                args: list[Argument] = [prefix, ttl_ms, *chain.from_iterable(batch)]
                renewed += await self._redis.evalsha(self._scripts["renew"], [due_key(prefix)], args)
        return renewed

    async def expire(self, shard: int, *, limit: int = 100) -> int:
        """Ends overdue holds of a shard, at most `limit`. Less than that returned: no more are due."""
        return await self._expire(shard_prefix(shard), due_key(shard_prefix(shard)), limit)

    async def expire_account(self, account_id: str, *, limit: int = 100) -> int:
        """Ends overdue holds of one account."""
        prefix = account_prefix(account_id, self.shards)
        return await self._expire(prefix, open_key(prefix, account_id), limit)

    async def _expire(self, prefix: str, index: str, limit: int) -> int:
        keys = [index, due_key(prefix), follow_key(prefix), outbox_key(prefix)]
        return int(await self._redis.evalsha(self._scripts["expire"], keys, [prefix, limit, _NOBODY_SETTLED]))

    async def project(self, terms: Terms) -> bool:
        """Tells Redis what the books say, if that is newer (or has periods that Redis lacks).

        Never touches what was captured or is held. False for an absent account or another epoch: `load` those.
        """
        prefix = account_prefix(terms.account_id, self.shards)
        args: list[Argument] = [periods_prefix(prefix, terms.account_id), terms.epoch, terms.version]
        args += (terms.status.value, len(terms.periods), len(terms.budgets), _clock(terms.clock_offset_ms))
        args += _limit_args(terms)
        return bool(await self._redis.evalsha(self._scripts["project"], [acct_key(prefix, terms.account_id)], args))

    async def load(
        self,
        terms: Terms,
        captured_by_period: Mapping[int, int],
        seq: int,
        *,
        observed_seq: int | None = None,
        settled: Collection[str] = (),
    ) -> bool:
        """Rebuilds an account that is absent, of a lower epoch or behind, by absolute value, once however many ask.

        `captured_by_period` is booked plus still in the outbox, by period start; `seq` the highest either has seen.
        With `observed_seq` (`Counters.seq`, read before the outbox) nothing is loaded if a capture came in between.
        `settled` are holds that Redis has as open and the books as settled: they are forgotten. False: ask again.
        Budgets are not counted by this: `count_budgets`.
        """
        prefix, account_id = account_prefix(terms.account_id, self.shards), terms.account_id
        keys = [acct_key(prefix, account_id), open_key(prefix, account_id), due_key(prefix), follow_key(prefix)]
        args: list[Argument] = [
            periods_prefix(prefix, account_id),
            prefix,
            terms.epoch,
            terms.version,
            terms.status.value,
            terms.booked_seq,
            seq,
            -1 if observed_seq is None else observed_seq,
            len(terms.periods),
            len(terms.budgets),
            len(captured_by_period),
            len(settled),
            _clock(terms.clock_offset_ms),
            *_limit_args(terms),
            *chain.from_iterable(captured_by_period.items()),
            *settled,
        ]
        return bool(await self._redis.evalsha(self._scripts["load"], keys, args))

    async def restore_job(self, job: JobAttached, *, clock_offset_ms: int = 0) -> bool:
        """Makes the hold of a job that still runs again, where Redis has lost it or that it is a job's; it is followed.

        Before `load`, which counts what is held. False where the hold has ended, or the job's time is over.
        """
        args: list[Argument] = [0, job.admitted_at_ms, job.deadline_ms, job.upstream, job.job_kind, job.job_id]
        args += (job.happened_at_ms, _JOB_KEY_MS_AFTER_LIMIT, _clock(clock_offset_ms))
        prefix = account_prefix(job.account_id, self.shards)
        key = job_key(prefix, job.upstream, job.job_id)
        return await self._restore(job.facts, job.held_millicredits, job.period_start_ms, args, key)

    async def restore_hold(
        self, facts: CallFacts, *, held_millicredits: int, period_start_ms: int, ttl_ms: int
    ) -> bool:
        """Makes the hold of a call that still runs again, where Redis has lost it. False where it has ended."""
        return await self._restore(facts, held_millicredits, period_start_ms, [ttl_ms])

    async def _restore(
        self, facts: CallFacts, held_millicredits: int, period_start_ms: int, rest: list[Argument], *more_keys: str
    ) -> bool:
        hold_id, account_id = facts.request_id, facts.account_id
        prefix = account_prefix(account_id, self.shards)
        keys = [hold_key(prefix, hold_id), open_key(prefix, account_id), due_key(prefix), follow_key(prefix)]
        keys += (period_key(prefix, account_id, period_start_ms), acct_key(prefix, account_id), *more_keys)
        args: list[Argument] = [hold_id, account_id, held_millicredits, period_start_ms, facts_json(facts), *rest]
        return bool(await self._redis.evalsha(self._scripts["restore"], keys, args))

    async def drop_period(self, account_id: str, period_start_ms: int, *, booked_millicredits: int) -> bool:
        """Forgets a period that is over, holds nothing and is booked in full. False where it must stay."""
        prefix = account_prefix(account_id, self.shards)
        keys = [acct_key(prefix, account_id), period_key(prefix, account_id, period_start_ms)]
        args: list[Argument] = [period_start_ms, booked_millicredits]
        return bool(await self._redis.evalsha(self._scripts["drop_period"], keys, args))

    async def counters(self, account_id: str) -> Counters:
        """All that Redis knows of an account: the counters at one instant, and the outbox up to their `seq`."""
        prefix = account_prefix(account_id, self.shards)
        reply = await self._redis.evalsha(
            self._scripts["counters"],
            [acct_key(prefix, account_id), open_key(prefix, account_id)],
            [periods_prefix(prefix, account_id), prefix],
        )
        events = await account_events(self._redis, self._scripts["outbox_page"], prefix, account_id)
        return read_counters(reply, events)

    async def usage(self, account_id: str, period_start_ms: int) -> tuple[int, int] | None:
        """(captured, held) of one period in millicredits; None where Redis does not have it."""
        prefix = account_prefix(account_id, self.shards)
        key = period_key(prefix, account_id, period_start_ms)
        captured, held = await self._redis.execute("HMGET", key, "captured", "held", key=key, repeat=True)
        return None if captured is None else (int(captured), int(held))

    async def count_budgets(self, account_id: str) -> list[Uncounted]:
        """Begins to count budgets that Redis does not count yet: endings from now on. What is missing; [] for nothing.

        Asked again before `budgets_counted`, it answers the same.
        """
        prefix = account_prefix(account_id, self.shards)
        keys = [acct_key(prefix, account_id), open_key(prefix, account_id)]
        args: list[Argument] = [periods_prefix(prefix, account_id), prefix]
        return uncounted(await self._redis.evalsha(self._scripts["count_budgets"], keys, args))

    async def budgets_counted(self, account_id: str, captured: Iterable[tuple[Uncounted, int]]) -> int:
        """Adds what budgets had captured before they were counted, once. From then on they let calls in."""
        prefix = account_prefix(account_id, self.shards)
        args: list[Argument] = [periods_prefix(prefix, account_id)]
        for missing, captured_millicredits in captured:
            args += (*missing, captured_millicredits)
        return int(await self._redis.evalsha(self._scripts["budgets_counted"], [acct_key(prefix, account_id)], args))

    async def budget_usage(
        self, account_id: str, period_start_ms: int, subject_ids: Sequence[str]
    ) -> dict[str, tuple[int, int]]:
        """(captured, held) of budgets of one period; those that are not counted yet are left out."""
        if not subject_ids:
            return {}
        key = period_key(account_prefix(account_id, self.shards), account_id, period_start_ms)
        names = [f"{what}:{each}" for each in subject_ids for what in ("captured", "held", "since")]
        found = iter(await self._redis.execute("HMGET", key, *names, key=key, repeat=True))
        told = zip(subject_ids, found, found, found, strict=True)
        return {each: (int(c), int(h or 0)) for each, c, h, since in told if c is not None and since is None}

    async def seqs(self, account_ids: Sequence[str]) -> list[int | None]:
        """The sequence number of each account; None where Redis does not have it."""
        keys = [acct_key(account_prefix(account_id, self.shards), account_id) for account_id in account_ids]
        found = await asyncio.gather(*(self._redis.execute("HGET", key, "seq", key=key, repeat=True) for key in keys))
        return [None if seq is None else int(seq) for seq in found]

    async def name(self, new: str) -> str:
        """What this Redis is called; `new`, from now on, where it has no name."""
        key = name_key()
        known = await self._redis.execute("SET", key, new, "NX", "GET", key=key, repeat=True)
        return new if known is None else str(known.decode())

    async def ping(self) -> None:
        """Nothing, or StoreUnavailable."""
        await self._redis.on_every_node("PING")

    async def settings_check(self) -> list[str]:
        """What is wrong with how Redis is set up, and what is lost by it: one sentence each."""
        infos = await self._redis.on_every_node("INFO")
        return list(dict.fromkeys(chain.from_iterable(settings_problems(info) for info in infos)))


def _settling_keys(prefix: str, hold_id: str, account_id: str) -> list[str]:
    return [hold_key(prefix, hold_id), *settling_keys(prefix, account_id)]


def _clock(offset_ms: int) -> Argument:
    """Only a clock that is ahead leaves anything in Redis."""
    return offset_ms or ""


def _limit_args(terms: Terms) -> list[Argument]:
    """The periods with their ceilings, then the budgets."""
    args: list[Argument] = []
    for period in terms.periods:
        args += (period.start_ms, period.end_ms, period.granted_millicredits, period.overage_millicredits)
        args += ("", "") if period.change is None else (period.change.at_ms, period.change.ceiling.millicredits)
    for budget in terms.budgets:
        args += (budget.subject_id, budget.millicredits)
    return args
