"""The ledger's rules in plain Python, one account, no Redis: the oracle that the scripts are held against.

Written from the rules, not from the scripts. Rate limits have a model of their own in test_windows.
"""

from dataclasses import dataclass, field

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.hold import Ending, HoldState
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject, Settled, ToppedUp
from gateway.wire.call_facts import read_facts


@dataclass
class WalletHold:
    amount: int
    deadline_ms: int
    nonce: str
    state: HoldState = HoldState.OPEN
    captured: int = 0
    ending: Ending | None = None
    job_id: str | None = None
    spenders: tuple[str, str] = ("", "")
    # By the account's own clock, and how far ahead of the world's that was.
    admitted_ms: int = 0
    clock_offset_ms: int = 0

    @property
    def tombstone(self) -> bool:
        """Left by a release that found nothing."""
        return self.state is HoldState.RELEASED and self.ending is None


class LateAdmission(Exception):
    """The admission came after the end of its hold."""


@dataclass
class Wallet:
    """One account with one period."""

    now_ms: int
    terms: Terms | None = None
    captured: int = 0
    seq: int = 0
    holds: dict[str, WalletHold] = field(default_factory=dict)
    outbox: list[tuple[str, int]] = field(default_factory=list)  # event id, captured; job events too
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)  # by event id: admitted, ended
    # By project or key, and whether there is a budget or not: what was captured since the account was last loaded.
    spent: dict[str, int] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.holds.values() if hold.state is HoldState.OPEN)

    @property
    def period(self) -> PeriodTerms:
        assert self.terms is not None
        (period,) = self.terms.periods
        return period

    @property
    def own_ms(self) -> int:
        """What the account's own clock shows."""
        return self.now_ms if self.terms is None else self.terms.own_ms(self.now_ms)

    @property
    def overage(self) -> int:
        return self.period.ceiling_at(self.own_ms).millicredits

    @property
    def available(self) -> int:
        """Whether a payment failed is of no matter here."""
        return self._available_at(self.own_ms)

    def _available_at(self, own_ms: int) -> int:
        if self.terms is None:
            return 0
        over = self.period.ceiling_at(own_ms).millicredits
        return self.period.granted_millicredits + over - self.captured - self.held

    def held_by(self, subject_id: str) -> int:
        holds = [hold for hold in self.holds.values() if hold.state is HoldState.OPEN]
        return sum(hold.amount for hold in holds if subject_id in hold.spenders)

    def budgets(self, spenders: tuple[str, str]) -> list[tuple[str, int, int]]:
        """(project or key, what is left without what is held, what is left) of the budgets that count the call."""
        assert self.terms is not None
        limits = dict(self.terms.budgets)
        unspent = [(each, limits[each] - self.spent.get(each, 0)) for each in spenders if each in limits]
        return [(each, left, left - self.held_by(each)) for each, left in unspent]

    def admit(self, call: AdmitCall) -> Admitted | Refused | NotProjected:
        found = self.holds.get(call.hold_id)
        if found is not None and found.state is not HoldState.OPEN:
            raise LateAdmission
        if self.terms is None:
            return NotProjected(Reproject.UNKNOWN, self.now_ms)
        if found is None and call.terms.version != self.terms.version:
            return NotProjected(Reproject.STALE_TERMS, self.now_ms, self.terms.version)
        facts = read_facts(call.facts)
        spenders = facts.project_id, facts.key_id
        over = 0 if self.terms.status is AccountStatus.PAYMENT_FAILED else self.overage
        available = self.period.granted_millicredits + over - self.captured - self.held
        if found is not None:
            return Admitted(found.amount, available, self.period.start_ms)
        budgets = self.budgets(spenders)
        if {each for each, _, _ in budgets} - self.counted:
            return NotProjected(Reproject.UNCOUNTED, self.now_ms, self.terms.version)
        amount = self._amount(call, min([available, *(left for _, _, left in budgets)]))
        if amount is None and self.terms.status is not AccountStatus.CLOSED and self.expire():
            return self.admit(call)
        if amount is None:
            return self._refused(call, over, available, budgets)
        hold = WalletHold(
            amount,
            self.now_ms + call.ttl_ms,
            call.nonce,
            spenders=spenders,
            admitted_ms=self.own_ms,
            clock_offset_ms=self.terms.clock_offset_ms,
        )
        self.holds[call.hold_id] = hold
        return Admitted(amount, available - amount, self.period.start_ms)

    def _open(self) -> int:
        return sum(1 for hold in self.holds.values() if hold.state is HoldState.OPEN)

    def _amount(self, call: AdmitCall, room: int) -> int | None:
        """What the hold would take; None where the call is refused."""
        assert self.terms is not None
        if self.terms.status is AccountStatus.CLOSED:
            return None
        if call.concurrent_calls is not None and self._open() >= call.concurrent_calls:
            return None
        if call.quote_millicredits in range(max(room, 0) + 1):
            return call.quote_millicredits
        return room if call.least_millicredits <= room else None

    def _refused(self, call: AdmitCall, over: int, available: int, budgets: list[tuple[str, int, int]]) -> Refused:
        assert self.terms is not None
        least, retry_in_ms, limit = call.least_millicredits, None, ""
        unspent = self.period.granted_millicredits + self.overage - self.captured
        if self.terms.status is AccountStatus.CLOSED:
            code = RefusalCode.ACCOUNT_CLOSED
        elif call.concurrent_calls is not None and self._open() >= call.concurrent_calls:
            code, retry_in_ms = RefusalCode.TOO_MANY_CONCURRENT_CALLS, 1000
        elif least > available + self.held:
            if over != self.overage and least <= unspent:
                code = RefusalCode.PAYMENT_REQUIRED
            else:
                code = RefusalCode.SPEND_LIMIT_REACHED if self.overage else RefusalCode.CREDITS_EXHAUSTED
                limit = self.period.ceiling_at(self.own_ms).by.value
        elif used_up := [(each, left) for each, all_left, left in budgets if least > all_left]:
            code, (limit, available) = RefusalCode.SPEND_LIMIT_REACHED, used_up[0]
        else:
            code, retry_in_ms = RefusalCode.CREDITS_HELD, 5000
            if least <= available:
                limit, available = next((each, left) for each, _, left in budgets if least > left)
        return Refused(
            code,
            limit_name=limit,
            retry_in_ms=retry_in_ms,
            required_millicredits=least,
            available_millicredits=available,
            resets_at_ms=self.period.end_ms,
        )

    def _end(self, hold_id: str, state: HoldState, ending: Ending, captured: int) -> None:
        hold = self.holds[hold_id]
        hold.state, hold.ending, hold.captured = state, ending, captured
        if self.terms is not None:
            self.captured += captured
            for each in hold.spenders:
                self.spent[each] = self.spent.get(each, 0) + captured
        self.seq += 1
        event_id = f"{hold_id}.{ending.name_in_id}"
        self.outbox.append((event_id, captured))
        self.stamps[event_id] = hold.admitted_ms, self.now_ms + hold.clock_offset_ms

    def _settled(self, before: HoldState | None, hold: WalletHold) -> Settled:
        # A tombstone never was in a period. A raise may have ended by the account's clock, and not by the call's.
        available = 0 if hold.tombstone else self._available_at(self.now_ms + hold.clock_offset_ms)
        return Settled(before, hold.captured, hold.amount, available, hold.ending)

    def capture(self, hold_id: str, cost: int | None, *, cap: bool) -> Settled:
        hold = self.holds.get(hold_id)
        if hold is None:
            return Settled(None, 0, 0, 0, None)
        before = hold.state
        if before in {HoldState.OPEN, HoldState.EXPIRED}:
            cost = hold.amount if cost is None else cost
            cost = min(cost, hold.amount) if cap else cost
            ending = Ending.LATE if before is HoldState.EXPIRED else Ending.CAPTURED
            self._end(hold_id, HoldState.CAPTURED, ending, cost)
        return self._settled(before, hold)

    def recover(self, hold_id: str, cost: int, spenders: tuple[str, str]) -> Settled:
        if hold_id in self.holds:
            return self.capture(hold_id, cost, cap=False)
        offset_ms = self.own_ms - self.now_ms
        hold = WalletHold(0, 0, "", spenders=spenders, admitted_ms=self.own_ms, clock_offset_ms=offset_ms)
        self.holds[hold_id] = hold
        self._end(hold_id, HoldState.CAPTURED, Ending.RECOVERED, cost)
        return self._settled(None, hold)

    def top_up(self, hold_id: str, least: int, wanted: int) -> ToppedUp | Refused | None:
        hold = self.holds.get(hold_id)
        if hold is None or self.terms is None:
            return None
        if hold.state is not HoldState.OPEN:
            raise LateAdmission
        failed = self.terms.status is AccountStatus.PAYMENT_FAILED
        unspent = self.period.granted_millicredits + (0 if failed else self.overage) - self.captured
        available, needed = unspent - self.held, least - hold.amount
        if needed <= 0:
            return ToppedUp(hold.amount, available)
        budgets = [budget for budget in self.budgets(hold.spenders) if budget[0] in self.counted]
        more = min([max(least, wanted) - hold.amount, available, *(left for _, _, left in budgets)])
        limit, told = "", available
        if self.terms.status is AccountStatus.CLOSED:
            code = RefusalCode.ACCOUNT_CLOSED
        elif more >= needed:
            hold.amount += more
            return ToppedUp(hold.amount, available - more)
        elif least > unspent:
            code = RefusalCode.SPEND_LIMIT_REACHED if self.overage else RefusalCode.CREDITS_EXHAUSTED
            if failed and least <= unspent + self.overage:
                code = RefusalCode.PAYMENT_REQUIRED
        elif used_up := [(each, left) for each, all_left, left in budgets if least > all_left]:
            code, (limit, told) = RefusalCode.SPEND_LIMIT_REACHED, used_up[0]
        else:
            code = RefusalCode.CREDITS_HELD
            if needed <= available:
                limit, told = next((each, left) for each, _, left in budgets if needed > left)
        return Refused(
            code,
            limit_name=limit,
            required_millicredits=needed,
            available_millicredits=told,
            resets_at_ms=self.period.end_ms,
        )

    def release(self, hold_id: str) -> Settled:
        hold = self.holds.get(hold_id)
        if hold is None or hold.tombstone:
            self.holds[hold_id] = WalletHold(0, 0, "", HoldState.RELEASED)
            return Settled(None, 0, 0, 0, None)
        before = hold.state
        if before is HoldState.OPEN:
            self._end(hold_id, HoldState.RELEASED, Ending.RELEASED, 0)
        return self._settled(before, hold)

    def expire(self) -> int:
        due = [
            hold_id
            for hold_id, hold in sorted(self.holds.items(), key=lambda item: (item[1].deadline_ms, item[0]))
            if hold.state is HoldState.OPEN and hold.deadline_ms <= self.now_ms
        ]
        for hold_id in due:
            self._end(hold_id, HoldState.EXPIRED, Ending.EXPIRED, 0)
        return len(due)

    def renew(self, hold_id: str, ttl_ms: int) -> int:
        hold = self.holds.get(hold_id)
        if hold is None or hold.state is not HoldState.OPEN or hold.job_id:
            return 0
        hold.deadline_ms = self.now_ms + ttl_ms
        return 1

    def attach_job(self, hold_id: str, job_id: str, limit_ms: int) -> bool:
        hold = self.holds.get(hold_id)
        if hold is None:
            return False
        if hold.job_id:
            return hold.job_id == job_id
        if hold.state not in {HoldState.OPEN, HoldState.EXPIRED}:
            return False
        hold.job_id, hold.deadline_ms = job_id, self.now_ms + limit_ms
        self.seq += 1
        self.outbox.append((f"{hold_id}.job", 0))
        return True

    def project(self, terms: Terms) -> bool:
        if self.terms is None or terms.version <= self.terms.version:
            return False
        self.terms = terms
        self.counted &= {each for each, _ in terms.budgets}
        return True

    def count_budgets(self) -> None:
        """Every budget there is knows what was used of it."""
        if self.terms is not None:
            self.counted = {each for each, _ in self.terms.budgets}

    def load(self, terms: Terms, captured: int, seq: int, spent: dict[str, int]) -> bool:
        if self.terms is not None:
            return False
        self.terms, self.captured, self.seq = terms, captured, max(self.seq, seq)
        self.spent, self.counted = dict(spent), set()
        return True

    def lose_everything(self) -> None:
        """Redis comes back empty."""
        self.terms, self.captured, self.seq = None, 0, 0
        self.spent, self.counted = {}, set()
        self.holds.clear()
        self.outbox.clear()
