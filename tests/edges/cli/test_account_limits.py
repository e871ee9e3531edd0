"""`gateway account limits`, `budget` and `raise`: what programs read, what people read, what is refused."""

from tests.edges.cli.conftest import Terminal


def test_limits_are_changed_one_by_one_and_shown(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    fresh = terminal("account", "limits", account_id, "--json").json
    assert (fresh["pay_as_you_go"], fresh["max_cents"], fresh["alert_percent"]) == (True, None, [50, 80, 90, 100, 120])
    assert fresh["ceiling"] == {"credits": 400_000, "limit": "plan"}
    changed = terminal("account", "limits", account_id, "--max-usd", "20", "--alert-usd", "10,5.50", "--json").json
    assert (changed["max_cents"], changed["alert_cents"]) == (2000, [550, 1000])
    assert changed["ceiling"] == {"credits": 16_000, "limit": "account"}
    off = terminal("account", "limits", account_id, "--pay-as-you-go", "off", "--json").json
    assert (off["max_cents"], off["ceiling"]) == (2000, {"credits": 0, "limit": "pay_as_you_go_off"})
    args = ("--pay-as-you-go", "on", "--max-usd", "none", "--alert-usd", "none", "--alert-percent", "none")
    shown = terminal("account", "limits", account_id, *args).out
    assert "400000 credits (plan)" in shown


def test_a_budget_is_set_and_taken_away(terminal: Terminal) -> None:
    made = terminal("account", "create", "--name", "Acme", "--plan", "pro", "--json").json
    of = ("account", "budget", made["id"], "--project", made["project_id"])
    (budget,) = terminal(*of, "--credits", "2.5", "--json").json["budgets"]
    assert budget == {"project_id": made["project_id"], "credits": 2.5, "used": 0, "held": 0, "remaining": 2.5}
    assert terminal(*of, "--credits", "none", "--json").json["budgets"] == []


def test_a_raise_says_until_when_and_is_ended(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    until = ("--max-usd", "800", "--until", "2999-01-01")
    refused = terminal("account", "raise", account_id, *until, "--reason", "too long")
    assert refused.code == 1
    assert "within 400 days" in refused.err
    both = terminal("account", "raise", account_id, *until, "--end", "--reason", "x")
    assert (both.code, "--end" in both.err) == (2, True)
    year = terminal("account", "limits", account_id, "--json").json["period"]["end"][:10]
    args = ("--max-usd", "800", "--until", year, "--reason", "a big batch", "--json")
    raised = terminal("account", "raise", account_id, *args).json
    assert (raised["ceiling"], raised["raise"]["reason"]) == ({"credits": 640_000, "limit": "raise"}, "a big batch")
    ended = terminal("account", "raise", account_id, "--end", "--reason", "done", "--json").json
    assert (ended["raise"], ended["ceiling"]["limit"]) == (None, "plan")
