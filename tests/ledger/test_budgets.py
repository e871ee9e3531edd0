"""Budgets of projects and keys: admitted within them whatever happens at once, and counted whatever was lost."""

import asyncio
from dataclasses import replace

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.limits import Budget, Ceiling, CeilingBy
from gateway.domain.terms import AccountStatus, CeilingChange, Terms
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import facts_json
from tests.ledger.builders import DELIVERED, GIVEN_BACK, PERIOD_START_MS, call_of, facts_of, fresh_id, terms_of
from tests.ledger.conftest import Clock, everything


def spending(terms: Terms, cost: int, project_id: str = "prj_1", key_id: str = "key_1") -> AdmitCall:
    """A call with an exact quote."""
    hold_id = fresh_id("req")
    facts = replace(facts_of(hold_id, terms.account_id), project_id=project_id, key_id=key_id)
    return call_of(terms, hold_id, quote_millicredits=cost, least_millicredits=cost, facts=facts_json(facts))


async def counted(ledger: Ledger, terms: Terms) -> Terms:
    assert await ledger.load(terms, {}, 0)
    missing = await ledger.count_budgets(terms.account_id)
    assert await ledger.budgets_counted(terms.account_id, [(each, 0) for each in missing]) == len(terms.budgets)
    return terms


async def capture(ledger: Ledger, call: AdmitCall, cost: int | None = None) -> None:
    settled = await ledger.capture(
        call.hold_id, call.terms.account_id, cost_millicredits=cost, cap=False, settlement=DELIVERED
    )
    assert settled.state_before is not None


async def used(ledger: Ledger, terms: Terms, subject_id: str = "prj_1") -> tuple[int, int]:
    return (await ledger.budget_usage(terms.account_id, PERIOD_START_MS, [subject_id]))[subject_id]


async def test_four_hundred_calls_at_once_take_what_a_budget_has_and_no_more(ledger: Ledger) -> None:
    terms = await counted(ledger, terms_of("acc_1", granted=10**9, budgets=(Budget("prj_1", 100_000),)))
    calls = [spending(terms, 3000) for _ in range(400)]

    async def run(call: AdmitCall) -> bool:
        answer = await ledger.admit(call)
        if isinstance(answer, Admitted):
            await capture(ledger, call)
        return isinstance(answer, Admitted)

    assert sum(await asyncio.gather(*map(run, calls))) == 100_000 // 3000
    assert await used(ledger, terms) == (99_000, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    overage=st.integers(0, 20_000),
    budgets=st.dictionaries(st.sampled_from(["prj_1", "prj_2", "key_1"]), st.integers(0, 20_000)),
    wanted=st.lists(st.tuples(st.integers(1, 6000), st.sampled_from(["prj_1", "prj_2"]), st.booleans()), max_size=30),
)
async def test_spend_stays_below_every_ceiling_whatever_the_order(
    ledger: Ledger,
    overage: int,
    budgets: dict[str, int],
    wanted: list[tuple[int, str, bool]],
) -> None:
    account = terms_of(
        fresh_id("acc"), granted=5000, overage=overage, budgets=tuple(map(Budget._make, budgets.items()))
    )
    terms = await counted(ledger, account)
    calls = [(spending(terms, cost, project_id), keep) for cost, project_id, keep in wanted]

    async def run(call: AdmitCall, *, keep: bool) -> None:
        if isinstance(await ledger.admit(call), Admitted):
            if keep:
                await capture(ledger, call)
            else:
                await ledger.release(call.hold_id, terms.account_id, settlement=GIVEN_BACK)

    await asyncio.gather(*(run(call, keep=keep) for call, keep in calls))
    counters = await ledger.counters(terms.account_id)
    period = counters.periods[PERIOD_START_MS]
    assert period.captured_millicredits <= 5000 + overage
    assert period.held_millicredits == 0
    for budget in counters.budgets:
        assert budget.captured_millicredits <= budgets[budget.subject_id]
        assert budget.held_millicredits == 0
    # Whatever was refused would not have fitted, had it come last.
    for call, _ in calls:
        answer = await ledger.admit(call._replace(hold_id=fresh_id("req")))
        rooms = [5000 + overage - period.captured_millicredits]
        rooms += [each.limit_millicredits - each.captured_millicredits for each in counters.budgets
                  if each.subject_id.encode() in call.facts]  # fmt: skip
        assert isinstance(answer, Admitted) is (call.quote_millicredits <= min(rooms))
        if isinstance(answer, Admitted):
            break


@pytest.mark.parametrize(
    ("budgets", "taken", "held", "code", "limit", "available"),
    [
        ({"prj_1": 5000}, 4000, 0, RefusalCode.SPEND_LIMIT_REACHED, "prj_1", 1000),
        ({"key_1": 5000}, 4000, 0, RefusalCode.SPEND_LIMIT_REACHED, "key_1", 1000),
        ({"prj_1": 5000, "key_1": 4500}, 4000, 0, RefusalCode.SPEND_LIMIT_REACHED, "prj_1", 1000),
        ({"prj_1": 5000}, 0, 4000, RefusalCode.CREDITS_HELD, "prj_1", 1000),
        ({"prj_1": 9000, "key_1": 5000}, 4000, 3000, RefusalCode.SPEND_LIMIT_REACHED, "key_1", 0),
        ({"prj_1": 0}, 0, 0, RefusalCode.SPEND_LIMIT_REACHED, "prj_1", 0),
    ],
)
async def test_a_refusal_names_the_budget_and_leaves_no_trace(
    *,
    ledger: Ledger,
    raw: "redis.asyncio.Redis",
    budgets: dict[str, int],
    taken: int,
    held: int,
    code: RefusalCode,
    limit: str,
    available: int,
) -> None:
    terms = await counted(ledger, terms_of("acc_1", budgets=tuple(map(Budget._make, budgets.items()))))
    call = spending(terms, 0)
    await ledger.admit(call)
    await capture(ledger, call, taken)
    if held:
        await ledger.admit(call_of(terms, quote_millicredits=held, least_millicredits=1))
    before = await everything(raw)
    answer = await ledger.admit(spending(terms, 2000))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.limit_name, answer.available_millicredits) == (code, limit, available)
    assert (answer.retry_in_ms is not None) is (code is RefusalCode.CREDITS_HELD)
    assert await everything(raw) == before
    assert isinstance(await ledger.admit(spending(terms, 2000, "prj_9", "key_9")), Admitted)


async def test_a_budget_set_in_mid_period_counts_what_was_used_before_and_is_held_now(
    ledger: Ledger, raw: "redis.asyncio.Redis"
) -> None:
    plain = terms_of("acc_1")
    assert await ledger.load(plain, {}, 0)
    first, running, other = spending(plain, 3000), spending(plain, 4000), spending(plain, 4000, "prj_2")
    for call in (first, running, other):
        await ledger.admit(call)
    await capture(ledger, first)
    terms = replace(plain, version=2, budgets=(Budget("prj_1", 9000),))
    assert await ledger.project(terms)
    before = await everything(raw)
    answer = await ledger.admit(spending(terms, 1000))
    assert isinstance(answer, NotProjected)
    assert (answer.reason, answer.redis_terms_version) == (Reproject.UNCOUNTED, 2)
    assert await everything(raw) == before
    (missing,) = await ledger.count_budgets("acc_1")
    assert (missing.subject_id, missing.seq) == ("prj_1", 1)
    # What ends while the books are read is counted once.
    await capture(ledger, running, 4500)
    assert await ledger.budgets_counted("acc_1", [(missing, 3000)]) == 1
    assert await used(ledger, terms) == (7500, 0)
    assert isinstance(await ledger.admit(spending(terms, 1500)), Admitted)
    assert isinstance(await ledger.admit(spending(terms, 1)), Refused)


async def test_a_budget_that_was_removed_and_set_again_is_counted_anew(ledger: Ledger) -> None:
    terms = await counted(ledger, terms_of("acc_1", budgets=(Budget("prj_1", 9000),)))
    without = replace(terms, version=2, budgets=())
    assert await ledger.project(without)
    call = spending(without, 5000)
    assert isinstance(await ledger.admit(call), Admitted)
    again = replace(terms, version=3)
    assert await ledger.project(again)
    (missing,) = await ledger.count_budgets("acc_1")
    await ledger.budgets_counted("acc_1", [(missing, 0)])
    assert await used(ledger, again) == (0, 5000)


async def test_a_raised_ceiling_ends_by_itself(timed: Ledger, clock: Clock) -> None:
    now_ms = clock.now_us // 1000
    period = (
        terms_of("acc_1")
        .periods[0]
        .limited_to(Ceiling(9000, CeilingBy.RAISE), CeilingChange(now_ms + 5000, Ceiling(4000, CeilingBy.PLAN)))
    )
    terms = terms_of("acc_1", periods=(replace(period, granted_millicredits=0),))
    assert await timed.load(terms, {}, 0)
    running = spending(terms, 6000)
    assert isinstance(await timed.admit(running), Admitted)
    refused = await timed.admit(spending(terms, 9500))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.limit_name) == (RefusalCode.SPEND_LIMIT_REACHED, "raise")
    await clock.pass_ms(5000)
    settled = await timed.capture(running.hold_id, "acc_1", cost_millicredits=6000, cap=False, settlement=DELIVERED)
    assert settled.available_millicredits == -2000
    over = await timed.admit(spending(terms, 1))
    assert isinstance(over, Refused)
    assert (over.code, over.limit_name) == (RefusalCode.SPEND_LIMIT_REACHED, "plan")
    assert (await timed.counters("acc_1")).periods[PERIOD_START_MS].overage_millicredits == 4000


async def test_late_lost_and_expired_calls_are_on_their_budget(timed: Ledger, clock: Clock) -> None:
    terms = await counted(timed, terms_of("acc_1", budgets=(Budget("prj_1", 50_000), Budget("key_2", 50_000))))
    late, given_back = spending(terms, 3000, key_id="key_2"), spending(terms, 5000)
    for call in (late, given_back):
        await timed.admit(call)
    await clock.pass_ms(60_000)
    assert await timed.expire_account("acc_1") == 2
    assert await used(timed, terms) == (0, 0)
    await capture(timed, late)
    lost = spending(terms, 700)
    await timed.recover(
        lost.hold_id,
        "acc_1",
        period_start_ms=PERIOD_START_MS,
        cost_millicredits=700,
        facts=lost.facts,
        settlement=DELIVERED,
    )
    assert await used(timed, terms) == (3700, 0)
    assert await used(timed, terms, "key_2") == (3000, 0)


async def test_an_account_without_budgets_has_nothing_more_to_keep(ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
    terms = terms_of("acc_1", status=AccountStatus.ACTIVE)
    assert await ledger.load(terms, {}, 0)
    call = spending(terms, 5)
    assert isinstance(await ledger.admit(call), Admitted)
    await capture(ledger, call)
    (key,) = [key async for key in raw.scan_iter("*:period:*")]
    assert set(await raw.hgetall(key)) == {b"end", b"granted", b"over", b"captured", b"held"}
