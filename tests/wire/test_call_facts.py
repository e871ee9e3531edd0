"""Facts put together from their parts are the facts."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.quote import Quote
from gateway.domain.usage import CallFacts
from gateway.wire.call_facts import facts_json, joined_facts, owner_part, price_part


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_parts_of_facts_make_the_same_text_as_the_whole(odd: str, other: str, price: int, units: int) -> None:
    quote = Quote("parse", odd, other, units, 1, (), "2026-11", price, price)
    facts = CallFacts(
        request_id="req_0199",
        account_id=other,
        project_id=odd,
        key_id="key_1",
        product="parse",
        mode=odd,
        unit=other,
        route=odd,
        upstream=other,
        plan_id=odd,
        rate_card_version="2026-11",
        millicredits_per_unit=price,
        expected_units=units,
        quote_millicredits=price * units,
    )
    joined = joined_facts("req_0199", owner_part(other, odd, "key_1"), price_part(quote, odd, other, odd))
    assert joined == facts_json(facts)
