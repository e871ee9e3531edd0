import pytest

from gateway.edges.dashboard import entries
from gateway.flows.faults import WrongParameter


@pytest.mark.parametrize(
    ("typed", "is_"),
    [("250", 25_000), ("$1,250.50", 125_050), ("$ 0.5", 50), ("0", 0), ("12345.67", 1_234_567), ("1,000,000", 10**8)],
)
def test_dollars_are_read_to_the_cent(typed: str, is_: int) -> None:
    assert entries.cents("max", typed) == is_


@pytest.mark.parametrize(("typed", "is_"), [("10,000", 10_000_000), ("2.5", 2_500), ("0.001", 1), ("7", 7_000)])
def test_credits_are_read_to_the_thousandth(typed: str, is_: int) -> None:
    assert entries.millicredits("credits", typed) == is_


@pytest.mark.parametrize("typed", ["", "-1", "1.234", "1,00", "12,34", "1e3", "NaN", "Infinity", "9" * 40, "٣", "5 €"])
def test_what_is_no_amount_of_dollars_is_refused_and_not_guessed_at(typed: str) -> None:
    with pytest.raises(WrongParameter) as wrong:
        entries.cents("max", typed)
    assert wrong.value.name == "max"


@pytest.mark.parametrize("typed", ["", "-1", "1.2345", "1,00", "1e3", "NaN", "0x10"])
def test_what_is_no_amount_of_credits_is_refused(typed: str) -> None:
    with pytest.raises(WrongParameter):
        entries.millicredits("credits", typed)


def test_percent_may_bear_its_sign() -> None:
    assert [entries.percent("at", typed) for typed in ("80", "80%", "80 %")] == [80, 80, 80]
    for typed in ("", "8.5", "99999", "%"):
        with pytest.raises(WrongParameter):
            entries.percent("at", typed)
