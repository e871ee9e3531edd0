"""`gateway account payment-method` and `gateway invoice collect`, as they are typed."""

import pytest

from tests.edges.cli.conftest import Terminal


@pytest.fixture
def fake(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of a gateway whose payments move no money."""
    monkeypatch.setenv("GATEWAY_PAYMENTS", "fake")
    return terminal


def test_methods_are_added_shown_chosen_and_removed(fake: Terminal) -> None:
    account_id = fake.account("starter")
    assert "fake_ok" in fake("account", "payment-method", "add", account_id).out
    first = fake("account", "payment-method", "add", account_id, "--card", "fake_ok", "--json").json
    second = fake("account", "payment-method", "add", account_id, "--card", "fake_3ds", "--json").json
    assert (first["brand"], first["last4"], first["expires"], first["default"]) == ("visa", "4242", "2034-12", True)
    chosen = fake("account", "payment-method", "default", account_id, first["id"], "--json").json["payment_methods"]
    assert [(one["id"], one["default"]) for one in chosen] == [(first["id"], True), (second["id"], False)]
    assert "is charged from now on" in fake("account", "payment-method", "remove", account_id, first["id"]).out
    listed = fake("account", "payment-method", "list", account_id, "--json").json["payment_methods"]
    assert [one["id"] for one in listed] == [second["id"]]
    refused = fake("account", "payment-method", "remove", account_id, second["id"])
    assert (refused.code, "add another payment method" in refused.err) == (1, True)


def test_an_invoice_is_collected_and_a_failure_is_an_exit_code(fake: Terminal) -> None:
    account_id = fake.account("starter")
    fake("account", "payment-method", "add", account_id, "--card", "fake_declined")
    number = fake("invoice", "list", "--account", account_id, "--json").json["invoices"][-1]["number"]
    failed = fake("invoice", "collect", number, "--json")
    assert (failed.code, failed.json["outcome"], failed.json["reason"]) == (1, "failed", "card_declined")
    fake("account", "payment-method", "add", account_id, "--card", "fake_ok")
    paid = fake("invoice", "collect", number)
    assert (paid.code, paid.out) == (0, f"Invoice {number}: paid.\n")
    assert fake("invoice", "show", number, "--json").json["status"] == "paid"


def test_an_upgrade_without_a_payment_method_is_refused(fake: Terminal) -> None:
    account_id = fake.account("free")
    refused = fake("account", "plan", account_id, "starter")
    assert (refused.code, "add a payment method first" in refused.err) == (1, True)
    assert fake("account", "show", account_id, "--json").json["plan"] == "free"


def test_a_plain_deployment_is_paid_by_transfer(terminal: Terminal) -> None:
    account_id = terminal.account("starter")
    (method,) = terminal("account", "payment-method", "list", account_id, "--json").json["payment_methods"]
    assert (method["kind"], method["default"]) == ("bank_transfer", True)
    assert "bank transfer" in terminal("account", "payment-method", "add", account_id).out
    number = terminal("invoice", "list", "--account", account_id, "--json").json["invoices"][-1]["number"]
    assert terminal("invoice", "collect", number).code == 1
