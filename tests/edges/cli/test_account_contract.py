"""`gateway account contract`: from a file to the invoice, what programs read, what is refused."""

import shutil
from pathlib import Path

from tests.edges.cli.conftest import Terminal

DATA = Path(__file__).parents[2] / "data" / "contracts"
TERMS = """
price_usd: 2_000
committed_credits: 2_000_000
overage: {mode: pay_as_you_go, usd_per_1000_credits: 0.9}
rate_limits: {requests: 12_000/min, reads: unlimited}
rollover: 0.125
net_days: 30
"""


def test_a_contract_from_a_file_is_in_force_at_once_and_amended_with_the_next_period(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text(TERMS)
    account_id = terminal.account("enterprise")
    assert "has no contract" in terminal("account", "contract", account_id).out
    said = ("--file", str(file), "--reason", "MSA-104")
    made = terminal("account", "contract", account_id, *said, "--json").json
    (version,) = made["versions"]
    assert (version["version"], version["state"], version["reason"]) == (1, "in_force", "MSA-104")
    assert version["terms"] == {
        "period": "monthly",
        "price_usd": 2_000,
        "committed_credits": 2_000_000,
        "overage": {
            "mode": "pay_as_you_go",
            "tiers": [{"up_to_credits": None, "usd_per_1000_credits": 0.9}],
            "max_usd_per_period": None,
        },
        "rollover": 0.125,
        "rate_limits": {"requests": "12000/min", "reads": "unlimited"},
        "concurrent_calls": None,
        "net_days": 30,
        "ends": None,
    }
    invoice = terminal("invoice", "show", made["invoice"], "--json").json
    assert (invoice["total_cents"], invoice["due_at"] > invoice["issued_at"]) == (200_000, True)
    assert terminal("account", "show", account_id, "--json").json["credits"]["included"] == 2_000_000
    again = terminal("account", "contract", account_id, *said, "--json").json
    assert [(one["version"], one["state"]) for one in again["versions"]] == [(2, "planned"), (1, "in_force")]
    assert again["versions"][0]["effective_at"] == again["next_boundary"]
    ended = terminal("account", "contract", account_id, "--end", "--reason", "left")
    assert "planned end" in ended.out


def test_every_mistake_in_the_file_is_told_and_nothing_is_agreed(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "contract.yaml"
    shutil.copy(DATA / "several_mistakes" / "contract.yaml", file)
    account_id = terminal.account("enterprise")
    refused = terminal("account", "contract", account_id, "--file", str(file), "--reason", "MSA", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert [line.split(": ")[0].rpartition(":")[2] for line in refused.err.splitlines()[:3]] == ["1", "2", "13"]
    assert terminal("account", "contract", account_id, "--json").json["versions"] == []


def test_a_contract_needs_a_reason_and_one_thing_to_do(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text(TERMS)
    account_id = terminal.account("enterprise")
    assert "needs a reason" in terminal("account", "contract", account_id, "--file", str(file)).err
    assert terminal("account", "contract", account_id, "--file", str(file), "--show").code == 2
    assert terminal("account", "contract", account_id, "--end-on", "soon").code == 2
