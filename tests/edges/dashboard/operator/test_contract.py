import pytest

from gateway.config_files.contract_file import ContractShape, contract
from gateway.config_files.judge import judge
from gateway.config_files.yaml_source import read_yaml
from gateway.domain.contract import BillingPeriod, Contract, OverageMode
from gateway.domain.plan import RateLimit, Tier
from gateway.edges.dashboard.operator.contract import EXAMPLE
from gateway.edges.documents.contract_yaml import terms_yaml
from tests.edges.dashboard.conftest import Someone
from tests.edges.dashboard.forms import text
from tests.edges.dashboard.operator.conftest import Operating
from tests.edges.dashboard.operator.test_accounts import ACTOR, noted

TIERED = Contract(
    committed_millicredits=2_000_000_500,
    price_cents=123_456,
    period=BillingPeriod.QUARTERLY,
    overage=OverageMode.PAY_AS_YOU_GO,
    tiers=(Tier(1_000_000_000, 1_100), Tier(None, 875)),
    max_cents_per_period=1_000_050,
    rate_limits={"requests": RateLimit("requests", calls=50, window_ms=5_000), "reads": None},
    concurrent_calls=7,
    rollover_parts_per_million=250_000,
    net_days=30,
    ends_ms=1_827_619_200_000,
)


@pytest.mark.parametrize("terms", [TIERED, Contract(committed_millicredits=0, price_cents=0)])
def test_terms_as_they_are_shown_are_read_as_the_same_terms(terms: Contract) -> None:
    source = read_yaml("contract.yaml", terms_yaml(terms).encode(), {})
    file = judge(ContractShape, source)
    assert not source.problems
    assert file is not None
    assert contract(file) == terms


async def test_a_contract_is_agreed_amended_and_ended(operating: Operating, acme: Someone) -> None:
    here = f"/admin/accounts/{acme.id}/contract"
    assert "No contract" in await operating.page(here)
    page = text(await operating.does(f"{here}/agree", terms=EXAMPLE, reason="MSA-1"))
    assert "Version 1 is agreed" in page
    assert "In force" in page
    assert "Invoice" in page
    entry = await noted(operating, acme.id)
    assert (entry.action, entry.actor, entry.detail["reason"]) == ("contract.agree", ACTOR, "MSA-1")
    again = await operating.page(f"{here}/agree")
    assert "committed_credits: 2000000" in again
    assert "usd_per_1000_credits: 1" in again
    amended = EXAMPLE.replace("2_000_000", "3_000_000").replace("\n", "\r\n")
    page = text(await operating.does(f"{here}/agree", terms=amended, reason="MSA-2"))
    assert "Planned" in page
    page = text(await operating.does(f"{here}/end", reason="they leave", ends=""))
    assert "The contract ends on" in page
    assert (await noted(operating, acme.id)).action == "contract.end"


async def test_every_mistake_in_a_contract_is_told_with_its_line(
    operating: Operating, acme: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "never shown")
    here = f"/admin/accounts/{acme.id}/contract"
    wrong = "price_usd: 2_000\ncommited_credits: 5\noverage:\n  mode: refuse\n  max_usd_per_period: 3\n"
    refused = await operating.sends(f"{here}/agree", terms=wrong, reason="MSA-1")
    said = text(refused.text)
    assert refused.status_code == 422
    assert "Line 2" in said
    assert "did you mean &#39;committed_credits&#39;" in said
    assert "commited_credits: 5" in refused.text, "what was typed is still there"
    for hostile in ("", "- a\n- b", "a: &a [*a]", "x" * 40_000, "price_usd: ${SECRET}", "{" * 500):
        refused = await operating.sends(f"{here}/agree", terms=hostile, reason="MSA-1")
        assert refused.status_code == 422, hostile[:20]
        assert "never shown" not in refused.text
    assert (await operating.sends(f"{here}/agree", terms=EXAMPLE, reason="")).status_code == 422
    assert (await operating.sends(f"{here}/end", reason="none is there", ends="")).status_code == 422
    assert (await operating.running.desk.contracts.show(acme.id)).versions == ()
