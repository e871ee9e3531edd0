"""However many callers come at once, through however many gateways: as many get in as there are credits, or calls.

JOURNEY_REPETITIONS says how often the race is run; a hunt for a rare one takes a few hundred.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import pytest

from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Gateway, Launcher, Place, eventually
from tests.journeys.stand_ins import StandIns
from tests.journeys.tcp_valkey import running_valkey
from tests.postgres import Postgres

REPETITIONS: Final = int(os.environ.get("JOURNEY_REPETITIONS", "2"))
CALLERS: Final = 400
BODY: Final = b'{"index_id": "idx-demo", "query": "Where?", "top_k": 1}'


async def at_once(gateways: list[Gateway], account: Account, callers: int) -> Counter[int]:
    """How many were answered with which status, when all of them send in the same moment."""
    request = (
        b"POST /api/v1/retrieval/retrieve HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\nAuthorization: Bearer %b\r\n\r\n%b"
    ) % (len(BODY), account.key.encode(), BODY)
    connected = [
        await asyncio.open_connection("127.0.0.1", gateways[turn % len(gateways)].port) for turn in range(callers)
    ]
    for _, writer in connected:
        writer.write(request)

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            answer = await reader.read()
        finally:
            writer.close()
        return int(answer.split(b" ", 2)[1])

    return Counter(await asyncio.gather(*(status(*one) for one in connected)))


@pytest.fixture(scope="module")
def servers(launcher: Launcher, _stand_ins: StandIns, postgres: Postgres) -> Iterator[Town]:
    """Two gateways on a Redis over TCP and PostgreSQL, as more than one machine would have."""
    with running_valkey() as redis_url:
        url = asyncio.run(postgres.create("journeys"))
        environment = {"REDIS_URL": redis_url, "DATABASE_URL": url.replace("+asyncpg", "")}
        with closing(Place(launcher, _stand_ins.url, environment=environment)) as place:
            first, second = place.begin(), place.begin()
            eventually(lambda: first.ready() and second.ready(), within_s=30)
            yield Town(place, first, second, place.account("pro"))
        asyncio.run(postgres.drop("journeys"))


def race_for_credits(town: Town) -> None:
    account = town.place.account("purse")
    assert asyncio.run(at_once([town.first, town.second], account, CALLERS)) == {200: 50, 402: CALLERS - 50}
    used = town.place.settled(account)
    assert [used.credits[name] for name in ("included", "used", "remaining")] == [50, 50, 0]
    assert used.charged == {("index", "retrieval"): 50}
    assert town.place.reconciled(account)


def race_for_calls(town: Town) -> None:
    account = town.place.account("free")
    assert asyncio.run(at_once([town.first, town.second], account, CALLERS)) == {200: 20, 429: CALLERS - 20}
    used = town.place.settled(account)
    assert used.credits["used"] == used.calls == 20


@pytest.mark.parametrize("race", [race_for_credits, race_for_calls])
def test_exactly_as_many_of_400_get_in_as_fit(town: Town, race: Callable[[Town], None]) -> None:
    for _ in range(REPETITIONS):
        race(town)


@pytest.mark.parametrize("race", [race_for_credits, race_for_calls])
def test_exactly_as_many_get_in_over_separate_servers(servers: Town, race: Callable[[Town], None]) -> None:
    for _ in range(REPETITIONS):
        race(servers)
