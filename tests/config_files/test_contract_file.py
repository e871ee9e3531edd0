"""A contract's file: what it says, and each folder of tests/data/contracts as one mistake with its sentences."""

from pathlib import Path

import pytest

from gateway.config_files.contract_file import contract, day_ms
from gateway.config_files.problem import ConfigurationInvalid
from gateway.configuration import contract_file
from gateway.domain.contract import BillingPeriod, Contract, OverageMode
from gateway.domain.plan import Plan, RateLimit, Tier

DATA = Path(__file__).parents[1] / "data" / "contracts"
MISTAKES = sorted(folder.name for folder in DATA.iterdir() if folder.name != "good")
PLANS = {"pro": Plan("pro", "Pro", 0, 0, {"requests": None, "reads": None})}


def test_a_file_is_the_contract_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA / "good")
    said = contract_file(Path("contract.yaml"), PLANS, {})
    assert (str(said.starts), str(said.ends)) == ("2026-12-01", "2027-12-01")
    assert said.ends is not None
    assert contract(said) == Contract(
        committed_millicredits=6_000_000_000,
        price_cents=600_000,
        period=BillingPeriod.QUARTERLY,
        overage=OverageMode.PAY_AS_YOU_GO,
        tiers=(Tier(1_000_000_000, 1_000), Tier(None, 800)),
        max_cents_per_period=1_000_000,
        rate_limits={"requests": RateLimit("requests", 12_000, 60_000)},
        concurrent_calls=200,
        rollover_parts_per_million=250_000,
        net_days=30,
        ends_ms=day_ms(said.ends),
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA / mistake)
    with pytest.raises(ConfigurationInvalid) as caught:
        contract_file(Path("contract.yaml"), PLANS, {})
    assert str(caught.value) == Path("expected.txt").read_text().rstrip("\n")


def test_a_flat_price_is_one_endless_tier(tmp_path: Path) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text("price_usd: 1\ncommitted_credits: 2\noverage: {mode: allow_and_alert, usd_per_1000_credits: 0.5}\n")
    made = contract(contract_file(file, PLANS, {}))
    assert (made.period, made.overage, made.tiers) == (
        BillingPeriod.MONTHLY,
        OverageMode.ALLOW_AND_ALERT,
        (Tier(None, 500),),
    )
