"""Which ceiling counts, and up to where calls are charged when ceilings change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import GRACE_MS, Agreed, Ceiling, CeilingBy, Raise, Sold, SpendLimits, ceiling, charged_steps
from gateway.domain.plan import Tier

CREDIT = 1000
STARTER = Sold(400_000 * CREDIT, 1250)
START, END = 1_800_000_000_000, 1_802_600_000_000
DAY = 86_400_000


def raised(*, cents: int | None = None, millicredits: int | None = None, since: int = START, until: int = END) -> Raise:
    return Raise("rai_1", since, until, cents, millicredits, "a big batch")


@pytest.mark.parametrize(
    ("sold", "own", "lifted", "expected"),
    [
        (STARTER, SpendLimits(), None, Ceiling(400_000 * CREDIT, CeilingBy.PLAN)),
        (STARTER, SpendLimits(max_cents=1), None, Ceiling(8 * CREDIT, CeilingBy.ACCOUNT)),
        (STARTER, SpendLimits(max_cents=50_000), None, Ceiling(400_000 * CREDIT, CeilingBy.PLAN)),
        (STARTER, SpendLimits(max_cents=60_000), None, Ceiling(400_000 * CREDIT, CeilingBy.PLAN)),
        (STARTER, SpendLimits(pay_as_you_go=False, max_cents=1), None, Ceiling(0, CeilingBy.SWITCHED_OFF)),
        (Sold(0, None), SpendLimits(max_cents=1), raised(cents=1), Ceiling(0, CeilingBy.ALLOWANCE)),
        (
            Sold(400_000 * CREDIT, 1250, contract=True),
            SpendLimits(),
            None,
            Ceiling(400_000 * CREDIT, CeilingBy.CONTRACT),
        ),
        (STARTER, SpendLimits(), raised(cents=60_000), Ceiling(480_000 * CREDIT, CeilingBy.RAISE)),
        (STARTER, SpendLimits(), raised(millicredits=9 * 10**8), Ceiling(9 * 10**8, CeilingBy.RAISE)),
        (STARTER, SpendLimits(max_cents=10), raised(cents=60_000), Ceiling(80 * CREDIT, CeilingBy.ACCOUNT)),
        (STARTER, SpendLimits(max_cents=55_000), raised(cents=60_000), Ceiling(440_000 * CREDIT, CeilingBy.ACCOUNT)),
        (
            Sold(10**9, 1250, (Tier(8 * CREDIT, 1250), Tier(None, 625))),
            SpendLimits(max_cents=2),
            None,
            Ceiling(24 * CREDIT, CeilingBy.ACCOUNT),
        ),
    ],
)
def test_the_lowest_of_the_plans_and_the_accounts_own_counts(
    sold: Sold, own: SpendLimits, lifted: Raise | None, expected: Ceiling
) -> None:
    assert ceiling(sold, own, lifted) == expected


def test_a_ceiling_that_never_changes_is_one_step() -> None:
    (only,) = charged_steps(STARTER, [], [], start_ms=START, end_ms=END)
    assert only == (None, 400_000 * CREDIT)
    before = [Agreed(START - DAY, SpendLimits(max_cents=100))]
    assert charged_steps(STARTER, before, [], start_ms=START, end_ms=END) == ((None, 800 * CREDIT),)


def test_what_was_admitted_under_the_higher_ceiling_is_charged_under_it() -> None:
    off = [Agreed(START + DAY, SpendLimits(pay_as_you_go=False))]
    steps = charged_steps(STARTER, off, [], start_ms=START, end_ms=END)
    assert steps == ((START + DAY + GRACE_MS, 400_000 * CREDIT), (None, 0))


def test_a_raise_charges_more_for_its_time_alone() -> None:
    lifted = [raised(cents=60_000, since=START + DAY, until=START + 2 * DAY)]
    steps = charged_steps(STARTER, [], lifted, start_ms=START, end_ms=END)
    assert steps == (
        (START + DAY - GRACE_MS, 400_000 * CREDIT),
        (START + 2 * DAY + GRACE_MS, 480_000 * CREDIT),
        (None, 400_000 * CREDIT),
    )


instants = st.integers(START - DAY, END + DAY)
own_limits = st.builds(SpendLimits, st.booleans(), st.none() | st.integers(0, 60_000))


@given(st.data(), instants)
def test_an_instant_far_from_changes_is_charged_under_what_counts_then(data: st.DataObject, at_ms: int) -> None:
    agreed = [Agreed(*each) for each in sorted(data.draw(st.dictionaries(instants, own_limits, max_size=5)).items())]
    lifted = [
        raised(cents=cents, since=since, until=since + length)
        for since, length, cents in data.draw(
            st.lists(st.tuples(instants, st.integers(1, 10 * DAY), st.integers(1, 90_000)), max_size=3)
        )
    ]
    at_ms = min(max(at_ms, START), END - 1)
    steps = charged_steps(STARTER, agreed, lifted, start_ms=START, end_ms=END)
    charged = next(step.millicredits for step in steps if step.before_ms is None or at_ms < step.before_ms)
    own = next((one.own for one in reversed(agreed) if one.from_ms <= at_ms), SpendLimits())
    counts = [
        ceiling(STARTER, own, one) for one in [None, *lifted] if one is None or one.from_ms <= at_ms < one.over_ms
    ]
    now = max(counts).millicredits
    changes = [each.from_ms for each in agreed] + [at for one in lifted for at in (one.from_ms, one.over_ms)]
    assert charged >= now
    if all(abs(change - at_ms) > GRACE_MS for change in changes):
        assert charged == now
