"""What is held over all accounts, as operators see it."""

import pytest
import redis.asyncio

from gateway.ledger import server_state
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.server_state import OpenHolds, ServerState
from tests.ledger.builders import DELIVERED, call_of, terms_of
from tests.ledger.conftest import everything

# Three accounts in three shards.
ACCOUNTS = ("acc_1", "acc_2", "acc_3")


async def test_what_is_held_is_told_over_all_shards_and_nothing_is_changed(
    ledger: Ledger, connection: RedisConnection, raw: "redis.asyncio.Redis"
) -> None:
    state = ServerState(connection)
    assert await state.open_holds() == OpenHolds(0, 0, 0, None)
    since_ms, held = await state.clock_ms(), 0
    for account in ACCOUNTS:
        terms = terms_of(account)
        assert await ledger.load(terms, {}, 0)
        for number in range(3):
            call = call_of(terms, f"{account}_{number}")
            await ledger.admit(call)
            held += call.quote_millicredits
    settled = call_of(terms_of("acc_1"), "acc_1_settled")
    await ledger.admit(settled)
    await ledger.capture("acc_1_settled", "acc_1", cost_millicredits=1, cap=False, settlement=DELIVERED)
    before = await everything(raw)
    found = await state.open_holds()
    assert (found.count, found.looked_at, found.held_millicredits, found.all_looked_at) == (9, 9, held, True)
    assert found.oldest_ms is not None
    assert since_ms <= found.oldest_ms <= await state.clock_ms()
    assert await everything(raw) == before


async def test_of_many_holds_a_part_is_summed_up_and_said_to_be_one(
    ledger: Ledger, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_state, "MOST_LOOKED_AT", 2)
    terms = terms_of("acc_1")
    assert await ledger.load(terms, {}, 0)
    for number in range(5):
        await ledger.admit(call_of(terms, f"req_{number}"))
    found = await ServerState(connection).open_holds()
    assert (found.count, found.looked_at, found.all_looked_at) == (5, 2, False)
    assert found.held_millicredits == 2 * call_of(terms).quote_millicredits


async def test_a_server_says_what_it_is(connection: RedisConnection) -> None:
    name, _, version = (await ServerState(connection).version()).partition(" ")
    assert name in {"Valkey", "Redis"}
    assert version.split(".")[0].isdigit()
