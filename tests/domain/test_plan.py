import pytest

from gateway.domain.plan import NO_CEILING_MILLICREDITS, PayAsYouGo, Plan, WhenExhausted

PRICE = 1250  # $1.25 per 1,000 credits


@pytest.mark.parametrize(("max_cents", "credits_"), [(50_000, 400_000), (500_000, 4_000_000), (1, 8), (0, 0)])
def test_a_ceiling_in_money_allows_eight_credits_a_cent(max_cents: int, credits_: int) -> None:
    assert PayAsYouGo(PRICE, max_cents).ceiling_millicredits == credits_ * 1000


def test_a_ceiling_never_allows_a_millicredit_more_than_its_money() -> None:
    for price in (1, 3, 7, 1250, 9999):
        for cents in range(50):
            ceiling = PayAsYouGo(price, cents).ceiling_millicredits
            assert ceiling * price <= cents * 10_000_000 < (ceiling + 1) * price


def test_without_a_ceiling_a_grant_still_fits_beside_the_overage() -> None:
    assert PayAsYouGo(PRICE).ceiling_millicredits == NO_CEILING_MILLICREDITS
    assert NO_CEILING_MILLICREDITS * 2 < 2**53


def test_a_plan_that_refuses_has_no_overage_whatever_its_price() -> None:
    pay_as_you_go = PayAsYouGo(PRICE, 50_000)
    free = Plan("free", "Free", 0, 10_000_000, pay_as_you_go=pay_as_you_go)
    starter = Plan("s", "S", 5000, 1, when_exhausted=WhenExhausted.PAY_AS_YOU_GO, pay_as_you_go=pay_as_you_go)
    assert free.overage_millicredits == 0
    assert starter.overage_millicredits == 400_000_000
    assert Plan("x", "X", 0, 0, when_exhausted=WhenExhausted.PAY_AS_YOU_GO).overage_millicredits == 0
