"""Accounts with a key each, for benchmarks."""

from collections.abc import Mapping
from pathlib import Path

from gateway.configuration import load
from gateway.flows.accounts import Accounts
from gateway.flows.keys import Keys
from gateway.stores import Stores, open_stores

ACCOUNTS = 100


async def make_keys(config: Path, environment: Mapping[str, str]) -> list[str]:
    """The secrets of the keys of a hundred new accounts."""
    configuration = load(config, environment)
    async with open_stores(configuration.settings, configuration.catalog) as stores:
        return await keys_in(stores, ACCOUNTS)


async def keys_in(stores: Stores, count: int) -> list[str]:
    """The secrets of the keys of so many new accounts."""
    accounts = Accounts(stores.billing)
    keys = Keys(books=stores.books, tell=stores.billing.tell, pepper=stores.pepper, clock=stores.clock)
    secrets = []
    for number in range(count):
        opened = await accounts.create(f"bench {number}", "bench", actor="bench")
        secrets.append((await keys.create(opened.id, actor="bench")).secret)
    return secrets
