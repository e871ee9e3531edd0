"""`gateway usage` and `gateway reconcile`: the numbers, also while a gateway has not booked them yet."""

import csv
import io

import pytest

from gateway.domain.terms import Terms
from gateway.flows.relay import Relay
from gateway.ledger.keys import account_prefix, period_key
from gateway.stores import Stores
from tests.edges.cli.conftest import Terminal
from tests.flows.calls import call, hold
from tests.made_up import CREDIT


async def known(stores: Stores, account_id: str) -> Terms:
    terms = await stores.billing.terms_of(account_id, stores.clock())
    assert terms is not None
    await stores.rebuild(account_id)
    return terms


@pytest.fixture
def account_id(terminal: Terminal) -> str:
    """Two calls of 20.5 credits, one booked and one not yet, and a hold of 100."""
    opened = terminal.account()

    async def calls(stores: Stores) -> None:
        terms = await known(stores, opened)
        await call(stores.ledger, terms, 1, cost=20_500)
        await Relay(outbox=stores.outbox, books=stores.books, consumer="one", block_ms=0).drain_once()
        await call(stores.ledger, terms, 2, cost=20_500)
        await hold(stores.ledger, terms, 3)

    terminal.beside(calls)
    return opened


def test_programs_read_usage_that_is_exact_at_this_moment(terminal: Terminal, account_id: str) -> None:
    said = terminal("usage", account_id, "--json").json
    assert list(said) == ["account_id", "plan", "period", "credits", "buckets", "live"]
    assert (said["account_id"], said["plan"], list(said["period"])) == (account_id, "starter", ["start", "end"])
    assert said["credits"] == {"included": 40_000, "used": 41, "held": 100, "remaining": 39_859, "pay_as_you_go": 0}
    assert said["buckets"] == [{"product": "parse", "mode": "agentic", "calls": 2, "units": 4, "credits": 41}]


def test_usage_by_day_has_days(terminal: Terminal, account_id: str) -> None:
    (bucket,) = terminal("usage", account_id, "--by", "product,mode,day", "--json").json["buckets"]
    assert list(bucket) == ["product", "mode", "day", "calls", "units", "credits"]
    assert len(bucket["day"]) == len("2026-11-23")


def test_usage_of_a_range_leaves_the_periods_credits_as_they_are(terminal: Terminal, account_id: str) -> None:
    long_ago = terminal("usage", account_id, "--from", "2026-01-01", "--to", "2026-02-01", "--json").json
    assert (long_ago["buckets"], long_ago["credits"]["used"]) == ([], 41)
    assert long_ago["range"] == {"start": "2026-01-01T00:00:00.000Z", "end": "2026-02-01T00:00:00.000Z", "used": 0}
    until_now = terminal("usage", account_id, "--from", "2026-01-01T00:00+02:00", "--json").json
    assert (until_now["range"]["start"], until_now["range"]["used"]) == ("2025-12-31T22:00:00.000Z", 41)


def test_usage_as_csv(terminal: Terminal, account_id: str) -> None:
    rows = list(csv.reader(io.StringIO(terminal("usage", account_id, "--csv").out)))
    assert rows == [["product", "mode", "calls", "units", "credits"], ["parse", "agentic", "2", "4", "41"]]


def test_people_read_the_credits_and_the_buckets(terminal: Terminal, account_id: str) -> None:
    lines = terminal("usage", account_id).out.splitlines()
    assert "used:          41" in lines
    assert lines[-1].split("\t") == ["parse", "agentic", "2", "4", "41"]


def test_with_redis_away_usage_says_that_it_is_not_all(
    terminal: Terminal, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    answer = terminal("usage", account_id, "--json")
    assert (answer.code, answer.json["live"], answer.json["credits"]["used"]) == (0, False, 20.5)
    assert "Redis is away" in answer.err


def test_reconcile_finds_nothing_where_all_is_well(terminal: Terminal, account_id: str) -> None:
    terminal.account("free")
    assert terminal("reconcile", "--json").json == {"ok": True, "accounts": 2, "differences": []}
    assert terminal("reconcile", account_id).out == "ok: 1 account agree, books and Redis\n"


def test_reconcile_names_the_difference_and_exits_with_1(terminal: Terminal, account_id: str) -> None:
    async def tamper(stores: Stores) -> None:
        terms = await known(stores, account_id)
        key = period_key(account_prefix(account_id, stores.ledger.shards), account_id, terms.periods[0].start_ms)
        await stores.store.execute("HINCRBY", key, "captured", 5 * CREDIT + 500, key=key)

    terminal.beside(tamper)
    answer = terminal("reconcile", "--json")
    assert (answer.code, answer.json["ok"], answer.json["accounts"]) == (1, False, 1)
    (difference,) = answer.json["differences"]
    assert list(difference) == ["account_id", "what", "expected", "found"]
    assert (difference["account_id"], difference["expected"], difference["found"]) == (account_id, 41, 46.5)
    for_people = terminal("reconcile")
    assert (for_people.code, for_people.out.splitlines()[1].split("\t")[2:]) == (1, ["41", "46.5"])


def test_reconcile_needs_redis_and_says_so(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.account()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    answer = terminal("reconcile", "--json")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("gateway: Redis is not available (")
