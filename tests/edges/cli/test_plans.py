"""`gateway plans diff` as it is typed, over an account's real usage."""

from pathlib import Path

from gateway.books import usage
from gateway.stores import Stores
from tests.edges.cli.conftest import Terminal
from tests.made_up import CREDIT, event


def changed(terminal: Terminal, name: str, old: str, new: str) -> Path:
    text = (terminal.config.parent / name).read_text()
    assert old in text
    path = terminal.config.parent.parent / f"new_{name}"
    path.write_text(text.replace(old, new))
    return path


def use(terminal: Terminal, account_id: str, *calls: int) -> None:
    """Calls of so many pages at 10 credits, one after the other."""

    async def work(stores: Stores) -> None:
        terms = await stores.billing.terms_of(account_id, stores.clock())
        assert terms is not None
        start_ms = terms.periods[0].start_ms
        made = [
            event(account_id, number, units=pages, captured=pages * 10 * CREDIT, period_start_ms=start_ms)
            for number, pages in enumerate(calls, start=1)
        ]
        async with stores.books.begin() as conn:
            await usage.book(conn, made)

    terminal.beside(work)


def test_settings_that_differ_are_named_and_nothing_else(terminal: Terminal) -> None:
    same = terminal.config.parent / "plans.yaml"
    assert terminal("plans", "diff", str(same)).out == "Nothing differs.\n"
    new = changed(terminal, "plans.yaml", "price_usd: 50\n", "price_usd: 60\n")
    told = terminal("plans", "diff", str(same), str(new), "--json")
    assert (told.code, told.json) == (
        0,
        {"changes": [{"what": "starter.price", "before": "$50.00", "after": "$60.00"}], "replay": None},
    )


def test_a_dearer_mode_is_replayed_on_what_was_used(terminal: Terminal) -> None:
    account_id = terminal.account("free")
    use(terminal, account_id, 540, 293, 50)
    new = changed(terminal, "rate_card.yaml", "      agentic: 10\n", "      agentic: 12\n")
    found = terminal("plans", "diff", str(new), "--replay", "30d", "--json").json
    assert found["changes"] == [{"what": "parse: agentic", "before": "10 a page", "after": "12 a page"}]
    replay = found["replay"]
    assert (replay["accounts"], replay["periods"], replay["total"]["calls"]) == (1, 1, 3)
    # Of 10,000 credits the first two calls would have left 4: no page of the last call would have fitted any more.
    assert replay["total"]["credits"] == {"before": 8_830, "after": 9_996}
    assert replay["total"]["refused_calls"] == {"before": 0, "after": 1}
    assert replay["usage"][0] | {"credits": None, "refused_calls": None} == {
        "plan": "free",
        "product": "parse",
        "mode": "agentic",
        "calls": 3,
        "credits": None,
        "refused_calls": None,
        "no_longer_sold_calls": 0,
        "uncertain_calls": 0,
    }
    table = terminal("plans", "diff", str(new), "--replay", "30d")
    assert "free\tparse\tagentic\t3\t8830 -> 9996\t0 -> 1\t-" in table.out
    assert "One account changes:" in table.out


def test_a_replay_needs_no_redis_and_changes_nothing(terminal: Terminal) -> None:
    account_id = terminal.account()
    use(terminal, account_id, 5_000)
    new = changed(terminal, "plans.yaml", "monthly_credits: 40_000", "monthly_credits: 45_000")
    before = terminal("invoice", "list", "--account", account_id, "--json").json
    replay = terminal("plans", "diff", str(new), "--replay", "30d", "--json").json["replay"]
    assert replay["total"]["charged_cents"] == {"before": 5_000 + 1_250, "after": 5_000 + 625}
    assert replay["largest_movers"][0]["account_id"] == account_id
    assert terminal("invoice", "list", "--account", account_id, "--json").json == before


def test_a_file_with_mistakes_is_refused_with_each_of_them(terminal: Terminal) -> None:
    new = changed(terminal, "plans.yaml", "monthly_credits: 40_000", "montly_credits: 40_000")
    refused = terminal("plans", "diff", str(new))
    assert refused.code == 1
    assert "did you mean 'monthly_credits'?" in refused.err
    assert terminal("plans", "diff", "nowhere.yaml").code == 1
    assert terminal("plans", "diff", str(new), str(new), str(new)).code == 2
