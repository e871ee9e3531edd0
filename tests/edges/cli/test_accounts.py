"""`gateway account`, `project` and `key`: what programs read, what people read, what is refused."""

import pytest

from gateway.wire import api_key
from tests.edges.cli.conftest import Terminal


def test_a_new_account_has_a_project_and_is_listed(terminal: Terminal) -> None:
    made = terminal("account", "create", "--name", "Acme GmbH", "--plan", "pro", "--json").json
    assert list(made) == ["id", "name", "plan", "project_id"]
    assert (made["name"], made["plan"], made["id"][:4]) == ("Acme GmbH", "pro", "acc_")
    (listed,) = terminal("account", "list", "--json").json["accounts"]
    assert (listed["id"], listed["plan"], listed["status"]) == (made["id"], "pro", "active")
    shown = terminal("account", "show", made["id"], "--json").json
    assert shown["credits"] == {
        "included": 400_000, "used": 0, "held": 0, "remaining": 400_000, "pay_as_you_go": 0
    }  # fmt: skip
    assert shown["projects"] == [{"id": made["project_id"], "name": "default"}]


def test_without_a_terminal_lists_are_lines_with_tabs(terminal: Terminal) -> None:
    account_id = terminal.account()
    head, line = terminal("account", "list").out.splitlines()
    assert head.split("\t") == ["id", "name", "plan", "status", "created_at"]
    assert line.split("\t")[:4] == [account_id, "Acme", "starter", "active"]
    assert "remaining:     40000" in terminal("account", "show", account_id).out.splitlines()


def test_a_preview_changes_nothing(terminal: Terminal) -> None:
    account_id = terminal.account("free")
    seen = terminal("account", "plan", account_id, "pro", "--preview", "--json").json
    assert (seen["previous_plan"], seen["plan"], seen["takes_effect"]) == ("free", "pro", "now")
    assert (seen["included"], seen["preview"]) == (400_000, True)
    assert terminal("account", "show", account_id, "--json").json["plan"] == "free"


def test_an_upgrade_is_at_once_and_a_downgrade_waits_and_can_be_taken_back(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    assert terminal("account", "plan", account_id, "pro", "--json").json["takes_effect"] == "now"
    down = terminal("account", "plan", account_id, "free", "--json").json
    shown = terminal("account", "show", account_id, "--json").json
    assert (down["takes_effect"], down["effective_at"]) == ("period_end", shown["period"]["end"])
    assert (shown["plan"], shown["pending_plan"]) == ("pro", "free")
    back = terminal("account", "plan", account_id, "pro", "--json").json
    assert (back["takes_effect"], back["replaced_plan"]) == ("stays", "free")
    assert terminal("account", "show", account_id, "--json").json["pending_plan"] is None


def test_when_a_plan_takes_effect_can_be_said(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    said = terminal("account", "plan", account_id, "pro", "--at", "period_end")
    assert f"{account_id} will be on pro from " in said.out
    assert terminal("account", "plan", account_id, "pro", "--at", "now", "--json").json["takes_effect"] == "now"
    assert terminal("account", "plan", account_id, "pro", "--at", "soon").code == 2


def test_an_adjustment_gives_and_takes_exactly(terminal: Terminal) -> None:
    account_id = terminal.account("free")
    more = terminal("account", "adjust", account_id, "--credits", "+500", "--reason", "for the outage", "--json").json
    assert (more["credits"], more["included"]) == (500, 10_500)
    less = terminal("account", "adjust", account_id, "--credits", "-0.3", "--reason", "and back", "--json")
    assert '"credits":-0.3' in less.out
    assert '"included":10499.7' in less.out
    assert terminal("account", "adjust", account_id, "--credits", "many", "--reason", "x").code == 2


def test_projects_are_made_and_listed(terminal: Terminal) -> None:
    account_id = terminal.account()
    made = terminal("project", "create", "--account", account_id, "--name", "invoices", "--json").json
    assert (made["name"], made["account_id"]) == ("invoices", account_id)
    listed = terminal("project", "list", "--account", account_id, "--json").json["projects"]
    assert [project["name"] for project in listed] == ["default", "invoices"]
    again = terminal("project", "create", "--account", account_id, "--name", "invoices")
    assert (again.code, again.out) == (1, "")
    assert "has a project 'invoices' already" in again.err


def test_a_key_is_shown_once_and_then_only_its_id(terminal: Terminal) -> None:
    account_id = terminal.account()
    made = terminal(
        "key", "create", "--account", account_id, "--products", "parse,split", "--expires", "90d", "--json"
    ).json
    assert list(made) == ["id", "secret", "account_id", "project_id"]
    assert api_key.parse(made["secret"].encode()) is not None
    listed = terminal("key", "list", "--account", account_id, "--json")
    assert made["secret"] not in listed.out
    (key,) = listed.json["keys"]
    assert (key["id"], key["status"], key["products"]) == (made["id"], "active", ["parse", "split"])
    assert key["expires_at"] > key["created_at"]


def test_a_key_for_one_of_several_projects(terminal: Terminal) -> None:
    account_id = terminal.account()
    project = terminal("project", "create", "--account", account_id, "--name", "two", "--json").json["id"]
    made = terminal("key", "create", "--account", account_id, "--project", project, "--json").json
    assert made["project_id"] == project
    wrong = terminal("key", "create", "--account", account_id, "--project", "prj_nobody")
    assert (wrong.code, wrong.err) == (1, "gateway: there is no project 'prj_nobody'\n")


def test_a_rotated_key_goes_on_for_a_while_and_a_revoked_one_does_not(terminal: Terminal) -> None:
    account_id = terminal.account()
    old = terminal("key", "create", "--account", account_id, "--json").json
    new = terminal("key", "rotate", old["id"], "--overlap", "24h", "--json").json
    assert new["secret"] != old["secret"]
    assert terminal("key", "revoke", new["id"]).out == f"{new['id']} is revoked.\n"
    first, second = terminal("key", "list", "--account", account_id, "--json").json["keys"]
    assert (first["status"], first["replaced_by"]) == ("active", new["id"])
    assert first["expires_at"] is not None
    assert second["status"] == "revoked"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("account", "show", "acc_nobody"), "there is no account 'acc_nobody'"),
        (("account", "create", "--name", "A", "--plan", "gold"), "there is no plan 'gold'; there are enterprise, free"),
        (("key", "create", "--account", "acc_x", "--products", "pars"), "there is no product 'pars'; there are"),
        (("key", "revoke", "key_x"), "there is no key 'key_x'"),
        (("usage", "acc_x"), "there is no account 'acc_x'"),
        (("usage", "acc_x", "--by", "colour"), "'colour' is none of them"),
        (("reconcile", "acc_x"), "there is no account 'acc_x'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(terminal: Terminal, words: tuple[str, ...], sentence: str) -> None:
    answer = terminal(*words)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("gateway: ")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("account", "create", "--name", "A"),
        ("key", "rotate", "key_x", "--overlap", "soon"),
        ("key", "create", "--account", "acc_x", "--expires", "never"),
        ("usage", "acc_x", "--from", "yesterday"),
        ("usage", "acc_x", "--json", "--csv"),
        ("accounts",),
    ],
)
def test_a_usage_error_exits_with_2(terminal: Terminal, words: tuple[str, ...]) -> None:
    answer = terminal(*words)
    assert (answer.code, answer.out) == (2, "")
    assert "Usage: " in answer.err


def test_a_sandbox_is_walked_on_by_its_clock_and_a_real_account_is_not(terminal: Terminal) -> None:
    made = terminal("account", "create", "--name", "Months", "--plan", "starter", "--sandbox", "--json").json
    sandbox, real = made["id"], terminal.account()
    there = terminal("account", "clock", sandbox, "--advance", "40d", "--json").json
    assert (there["account_id"], there["sandbox"], len(there["issued"])) == (sandbox, True, 1)
    assert 40 * 86_400 - 60 < there["ahead_s"] <= 40 * 86_400
    shown = terminal("account", "show", sandbox, "--json").json
    assert shown["sandbox"] is True
    assert shown["period"]["start"] < there["now"] < shown["period"]["end"]
    issued = terminal("invoice", "list", "--account", sandbox, "--json").json["invoices"]
    assert there["issued"][0] in {one["number"] for one in issued}
    assert f"{sandbox} is a sandbox; its clock shows 20" in terminal("account", "clock", sandbox, "--show").out
    back = terminal("account", "clock", sandbox, "--to", "2026-01-01")
    assert (back.code, "a clock only goes forward" in back.err) == (1, True)
    refused = terminal("account", "clock", real, "--advance", "1d")
    assert refused.code == 1
    assert "is a real one, which lives by the world's clock" in refused.err
    assert f"{real} is a real account" in terminal("account", "clock", real, "--show").out
    assert terminal("account", "clock", sandbox).code == 2


def test_the_ledger_is_shown_as_it_stands_and_as_it_stood(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    (period,) = terminal("account", "ledger", account_id, "--json").json["periods"]
    assert period["credits"] == {"issued": -40_000, "allowance": 40_000, "used": 0}
    assert terminal("account", "ledger", account_id, "--as-of", "2020-01-01", "--json").json["periods"] == []
    head, line = terminal("account", "ledger", account_id).out.splitlines()
    assert (head.split("\t"), line.split("\t")[1:]) == (
        ["period", "issued", "allowance", "used"],
        ["-40000", "40000", "0"],
    )
