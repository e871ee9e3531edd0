"""A sandbox account beside a running gateway: its clock is advanced, and the next call is of another month."""

from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account

CALL = {"index_id": "idx-demo", "query": "Where?", "top_k": 1}
RETRIEVE = "/api/v1/retrieval/retrieve"


def sandbox(town: Town) -> Account:
    made = town.place.cli("account", "create", "--name", "Months", "--plan", "starter", "--sandbox")
    key = town.place.cli("key", "create", "--account", made["id"])
    return Account(made["id"], made["project_id"], key["id"], key["secret"])


def test_every_gateway_process_goes_by_an_advanced_clock_at_the_next_call(town: Town) -> None:
    account, beside = sandbox(town), town.place.account("starter")
    before = town.place.usage(beside).document["period"]
    starts = []
    for _ in range(2):
        for gateway in (town.first, town.second):
            with gateway.caller(account) as client:
                reply = client.post(RETRIEVE, json=CALL)
                assert reply.status_code == 200, reply.text
                assert reply.headers["x-credits-charged"] == "1"
        used = town.place.settled(account)
        assert used.credits["used"] == used.calls == 2
        period = used.document["period"]
        clock = town.place.cli("account", "clock", account.id, "--show")
        assert period["start"] <= clock["now"] < period["end"]
        starts.append(period["start"])
        town.place.cli("account", "clock", account.id, "--advance", "31d")
    assert starts == sorted(set(starts))
    issued = town.place.cli("invoice", "list", "--account", account.id)["invoices"]
    assert [one["total_cents"] for one in issued if one["number"] is not None] == [5_000] * 3
    assert town.place.reconciled(account)
    assert town.place.usage(beside).document["period"] == before
