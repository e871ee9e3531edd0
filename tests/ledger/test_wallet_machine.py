"""Any order of questions, asked of the scripts on a real server and of a wallet in plain Python: the same answers.

Two projects and two keys have budgets now and then, a raise of the overage ends by itself, and the account's own clock
is advanced now and then.
After every step: granted + overage = available + held + captured, held is the sum of the open holds, every ending has
its event, and what was captured is booked or on its way.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import redis
import redis.asyncio
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.domain.admission import Refused
from gateway.domain.hold import HoldState
from gateway.domain.limits import Budget, Ceiling, CeilingBy
from gateway.domain.terms import AccountStatus, CeilingChange, Terms
from gateway.ledger.answers import ToppedUp
from gateway.ledger.faults import HoldEnded
from gateway.ledger.keys import account_prefix, shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.scripts import load_scripts
from gateway.wire.call_facts import facts_json
from tests.ledger.builders import DELIVERED, GIVEN_BACK, PERIOD_START_MS, call_of, facts_of, terms_of
from tests.ledger.conftest import CLOCK_KEY, CLOCK_LUA, everything, patient
from tests.ledger.wallet import LateAdmission, Wallet

ACCOUNT = "acc_1"
PREFIX = account_prefix(ACCOUNT)
hold_ids = st.sampled_from([f"req_{number}" for number in range(6)])
amounts = st.sampled_from([0, 1, 500, 1000, 3000, 10_000])
budget_sets = st.dictionaries(st.sampled_from(["prj_0", "prj_1", "key_0", "key_1"]), amounts)


def spenders_of(hold_id: str) -> tuple[str, str]:
    """Each call has its own project and key."""
    number = int(hold_id.removeprefix("req_"))
    return f"prj_{number % 2}", f"key_{number // 2 % 2}"


def budgets_in(amounts_by_id: dict[str, int]) -> tuple[Budget, ...]:
    return tuple(Budget(*each) for each in sorted(amounts_by_id.items()))


def facts_json_of(hold_id: str) -> bytes:
    project_id, key_id = spenders_of(hold_id)
    return facts_json(replace(facts_of(hold_id, ACCOUNT), project_id=project_id, key_id=key_id))


class WalletMachine(RuleBasedStateMachine):
    socket: Path

    @initialize(granted=amounts, overage=amounts, budgets=st.just({}) | budget_sets)
    def start(self, granted: int, overage: int, budgets: dict[str, int]) -> None:
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self.client.flushall()
        self.runner = asyncio.Runner()
        self.raw = redis.asyncio.Redis(unix_socket_path=str(self.socket))
        self.connection = patient(f"unix://{self.socket}")
        self.runner.run(self.connection.open())
        scripts = load_scripts(CLOCK_LUA)
        self.ledger = Ledger(self.connection, scripts=scripts)
        self.outbox = Outbox(self.connection, scripts=scripts)
        self.wallet = Wallet(now_ms=1_800_000_000_000)
        self.pass_time(0)
        self.terms = terms_of(ACCOUNT, granted=granted, overage=overage, budgets=budgets_in(budgets))
        self.booked: list[tuple[str, int]] = []
        self.booked_seq = 0
        self.load()
        self.count_budgets("req_0", 0)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.connection.close())
            self.runner.run(self.raw.aclose())
            self.runner.close()
            self.client.close()

    @rule(milliseconds=st.sampled_from([0, 1, 30_000, 60_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.wallet.now_ms += milliseconds
        self.client.set(CLOCK_KEY, self.wallet.now_ms * 1000)

    @rule(
        hold_id=hold_ids,
        quote=amounts,
        least=amounts,
        concurrent=st.sampled_from([None, None, 2]),
        stale=st.sampled_from([0, 0, 0, 0, 1]),
    )
    def admit(self, hold_id: str, quote: int, least: int, concurrent: int | None, stale: int) -> None:
        terms = replace(self.terms, version=self.terms.version - stale)
        call = call_of(
            terms,
            hold_id,
            quote_millicredits=quote,
            least_millicredits=min(quote, least),
            concurrent_calls=concurrent,
            facts=facts_json_of(hold_id),
        )
        before = self.dump()
        try:
            expected = self.wallet.admit(call)
        except LateAdmission:
            with pytest.raises(HoldEnded):
                self.runner.run(self.ledger.admit(call))
            assert self.dump() == before
            return
        expired = len(self.wallet.outbox)
        assert self.runner.run(self.ledger.admit(call)) == expected
        if isinstance(expected, Refused) and expired == self.seen_events:
            assert self.dump() == before

    @rule(hold_id=hold_ids, cost=st.one_of(st.none(), amounts), cap=st.booleans())
    def capture(self, hold_id: str, cost: int | None, cap: bool) -> None:
        expected = self.wallet.capture(hold_id, cost, cap=cap)
        settled = self.runner.run(
            self.ledger.capture(hold_id, ACCOUNT, cost_millicredits=cost, cap=cap, settlement=DELIVERED)
        )
        assert settled == expected

    @rule(hold_id=hold_ids, least=amounts, wanted=amounts)
    def top_up(self, hold_id: str, least: int, wanted: int) -> None:
        before = self.dump()
        question = self.ledger.top_up(
            hold_id,
            ACCOUNT,
            period_start_ms=PERIOD_START_MS,
            least_millicredits=least,
            wanted_millicredits=wanted,
        )
        try:
            expected = self.wallet.top_up(hold_id, least, wanted)
        except LateAdmission:
            with pytest.raises(HoldEnded):
                self.runner.run(question)
            return
        assert self.runner.run(question) == expected
        if not isinstance(expected, ToppedUp):
            assert self.dump() == before

    @rule(hold_id=hold_ids)
    def release(self, hold_id: str) -> None:
        expected = self.wallet.release(hold_id)
        assert self.runner.run(self.ledger.release(hold_id, ACCOUNT, settlement=GIVEN_BACK)) == expected

    @rule(hold_id=hold_ids, cost=amounts)
    def recover_what_the_books_have_not_settled(self, hold_id: str, cost: int) -> None:
        if any(event.startswith(f"{hold_id}.") and not event.endswith(".job") for event, _ in self.booked):
            return
        expected = self.wallet.recover(hold_id, cost, spenders_of(hold_id))
        settled = self.runner.run(
            self.ledger.recover(
                hold_id,
                ACCOUNT,
                period_start_ms=PERIOD_START_MS,
                cost_millicredits=cost,
                facts=facts_json_of(hold_id),
                settlement=DELIVERED,
            )
        )
        assert settled == expected

    @rule()
    def expire(self) -> None:
        assert self.runner.run(self.ledger.expire(shard_of(ACCOUNT))) == self.wallet.expire()

    @rule(hold_id=hold_ids)
    def renew(self, hold_id: str) -> None:
        expected = self.wallet.renew(hold_id, 60_000)
        assert self.runner.run(self.ledger.renew([(ACCOUNT, hold_id)], ttl_ms=60_000)) == expected

    @rule(hold_id=hold_ids, job_id=st.sampled_from(["job-1", "job-2"]))
    def attach_job(self, hold_id: str, job_id: str) -> None:
        expected = self.wallet.attach_job(hold_id, job_id, 90_000)
        attached = self.runner.run(
            self.ledger.attach_job(
                hold_id,
                ACCOUNT,
                upstream="parse",
                job_kind="parse_job",
                job_id=job_id,
                limit_ms=90_000,
                first_look_ms=0,
            )
        )
        assert attached is expected

    @rule(
        newer=st.sampled_from([1, 1, 0, -1]),
        granted=amounts,
        overage=amounts,
        status=st.sampled_from([AccountStatus.ACTIVE, *AccountStatus]),
        budgets=budget_sets,
        lowered=st.none() | st.tuples(st.sampled_from([0, 1, 45_000]), amounts),
        ahead_ms=st.sampled_from([0, 0, 1, 45_000, 90 * 86_400_000]),
    )
    def project(
        self,
        newer: int,
        granted: int,
        overage: int,
        status: AccountStatus,
        budgets: dict[str, int],
        lowered: tuple[int, int] | None,
        ahead_ms: int,
    ) -> None:
        terms: Terms = terms_of(
            ACCOUNT, granted=granted, overage=overage, status=status, version=self.terms.version + newer
        )
        # Advanced only: an own clock never goes back.
        terms = replace(terms, clock_offset_ms=self.terms.clock_offset_ms + ahead_ms)
        if lowered is not None:
            in_ms, then = lowered
            change = CeilingChange(terms.own_ms(self.wallet.now_ms) + in_ms, Ceiling(then, CeilingBy.PLAN))
            period = terms.periods[0].limited_to(Ceiling(overage, CeilingBy.RAISE), change)
            terms = replace(terms, periods=(period,))
        terms = replace(terms, budgets=budgets_in(budgets))
        expected = self.wallet.project(terms)
        assert self.runner.run(self.ledger.project(terms)) is expected
        if expected:
            self.terms = terms

    @rule(in_between=hold_ids, cost=amounts)
    def count_budgets(self, in_between: str, cost: int) -> None:
        """What was used is found out while a call ends, or not, and told twice."""
        missing = self.runner.run(self.ledger.count_budgets(ACCOUNT))
        events = self.booked + self.wallet.outbox
        spent = {each.subject_id: self.spent_by(each.subject_id, events) for each in missing}
        self.capture(in_between, cost, cap=False)
        assert self.runner.run(self.ledger.count_budgets(ACCOUNT)) == missing
        told = [(each, spent[each.subject_id]) for each in missing]
        assert self.runner.run(self.ledger.budgets_counted(ACCOUNT, told)) == len(missing)
        assert self.runner.run(self.ledger.budgets_counted(ACCOUNT, told)) == 0
        self.wallet.count_budgets()

    @staticmethod
    def spent_by(subject_id: str, events: list[tuple[str, int]]) -> int:
        return sum(amount for event, amount in events if subject_id in spenders_of(event.split(".")[0]))

    @rule()
    def book(self) -> None:
        """The relay: all that is in the outbox goes into the books, and out of Redis."""
        records = self.runner.run(self.outbox.read("c", count=1000, block_ms=0))
        assert all(record.event is not None for record in records)
        self.runner.run(self.outbox.ack(records))
        self.booked += self.wallet.outbox
        self.booked_seq = self.wallet.seq
        self.wallet.outbox.clear()

    @precondition(lambda self: not self.wallet.outbox)
    @rule()
    def redis_comes_back_empty(self) -> None:
        self.client.flushall()
        self.wallet.lose_everything()
        self.pass_time(0)

    @rule()
    def load(self) -> None:
        captured = sum(amount for _, amount in self.booked + self.wallet.outbox)
        terms = replace(self.terms, booked_seq=self.booked_seq)
        events = self.booked + self.wallet.outbox
        spent = {each: self.spent_by(each, events) for each in ("prj_0", "prj_1", "key_0", "key_1")}
        expected = self.wallet.load(terms, captured, self.booked_seq, spent)
        assert self.runner.run(self.ledger.load(terms, {PERIOD_START_MS: captured}, self.booked_seq)) is expected

    def dump(self) -> dict[bytes, object]:
        self.seen_events = len(self.wallet.outbox)
        return self.runner.run(everything(self.raw))

    @invariant()
    def redis_and_the_wallet_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        counters, wallet = self.runner.run(self.ledger.counters(ACCOUNT)), self.wallet
        assert counters.seq == wallet.seq
        assert {event: e.captured_millicredits for event, e in counters.unbooked.items()} == {
            event: amount for event, amount in wallet.outbox if not event.endswith(".job")
        }
        assert {event: (e.admitted_at_ms, e.happened_at_ms) for event, e in counters.unbooked.items()} == {
            event: wallet.stamps[event] for event, _ in wallet.outbox if not event.endswith(".job")
        }
        open_holds = {k: v for k, v in wallet.holds.items() if v.state is HoldState.OPEN}
        assert {
            hold.hold_id: (hold.amount_millicredits, hold.deadline_ms, hold.job_id) for hold in counters.open_holds
        } == {k: (v.amount, v.deadline_ms, v.job_id) for k, v in open_holds.items()}
        due = dict(self.client.zrange(f"{PREFIX}due", 0, -1, withscores=True))  # type: ignore[arg-type]
        assert due == {k.encode(): v.deadline_ms for k, v in open_holds.items()}
        if wallet.terms is None:
            assert counters.periods == {}
            return
        period = counters.periods[PERIOD_START_MS]
        assert period.held_millicredits == sum(hold.amount_millicredits for hold in counters.open_holds)
        assert period.captured_millicredits == sum(amount for _, amount in self.booked + wallet.outbox)
        assert (
            period.granted_millicredits + period.overage_millicredits
            == period.available_millicredits + period.held_millicredits + period.captured_millicredits
        )
        assert period.available_millicredits == wallet.available
        limits = dict(wallet.terms.budgets)
        assert {(each.subject_id, each.limit_millicredits) for each in counters.budgets} == {
            (each, limits[each]) for each in wallet.counted
        }
        for budget in counters.budgets:
            assert budget.held_millicredits == budget.open_millicredits == wallet.held_by(budget.subject_id)
            events = self.booked + wallet.outbox
            assert budget.captured_millicredits == self.spent_by(budget.subject_id, events)


def test_the_scripts_and_the_wallet_give_the_same_answers(valkey_socket: Path) -> None:
    machine = type("Machine", (WalletMachine,), {"socket": valkey_socket})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
