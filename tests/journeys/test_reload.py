"""Plans, prices and routes changed under a running gateway: a good version holds from the next call on, a bad one not.

What becomes of each kind of mistake is tested beside the configuration; here are the files and the process.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.journeys.gateway_process import Account, Gateway, Place, eventually

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
QUERY: Final = {"index_id": "idx-demo", "query": "Where?"}


class Running:
    """A gateway whose files are changed."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.gateway: Gateway = place.serve()
        self.account: Account = place.account("free")

    def retrieve(self) -> httpx.Response:
        return httpx.post(f"{self.gateway.url}{RETRIEVE}", json=QUERY, headers=self.account.bearer)

    def change(self, name: str, old: str, new: str) -> None:
        """Writes a file anew, as editors do: beside the old one, and into its place."""
        file = self.place.config.parent / name
        text = file.read_text()
        assert text.count(old) == 1, (old, text.count(old))
        fresh = Path(f"{file}.new")
        fresh.write_text(text.replace(old, new))
        fresh.replace(file)

    def policy(self) -> str:
        return self.retrieve().headers["ratelimit-policy"]


@pytest.fixture
def running(new_place: Callable[..., Place]) -> Running:
    return Running(new_place())


def test_good_changes_hold_from_the_next_call_on_and_bad_ones_change_nothing(running: Running) -> None:
    assert '"requests";q=20;w=60' in running.policy()
    running.change("plans.yaml", "requests: 20/min, reads: 600/min", "requests: 200/min, reads: 600/min")
    eventually(lambda: '"requests";q=200;w=60' in running.policy())

    running.change("plans.yaml", "name: Free\n", "name: Free\n  monthly_credit: 5\n")
    eventually(lambda: "configuration_kept" in running.gateway.process.complained)
    assert "plans.yaml:" in running.gateway.process.complained
    assert "did you mean 'monthly_credits'?" in running.gateway.process.complained
    assert '"requests";q=200;w=60' in running.policy()

    running.change("plans.yaml", "  monthly_credit: 5\n", "")
    running.change("rate_card.yaml", "retrieval: 1\n", "retrieval: 2.5\n")
    running.change("rate_card.yaml", 'version: "', 'version: "new ')
    eventually(lambda: running.retrieve().headers["x-credits-charged"] == "2.5")
    used = running.place.settled(running.account)
    assert used.credits["used"] == sum(used.charged.values())
    assert used.credits["used"] != used.calls
    assert running.place.reconciled(running.account)

    running.change("routes.yaml", "  POST /api/v1/retrieval/retrieve:\n", "  POST /api/v1/retrieval/find_it:\n")
    eventually(lambda: running.retrieve().status_code == 404)
    found = httpx.post(f"{running.gateway.url}/api/v1/retrieval/find_it", json=QUERY, headers=running.account.bearer)
    assert found.json() == {"detail": "Not Found"}, "the service has no such path, and was asked all the same"


def test_a_signal_makes_it_look_where_no_watch_does(new_place: Callable[..., Place]) -> None:
    running = Running(new_place(edit=lambda document: document.update(watch=False)))
    running.change("plans.yaml", "requests: 20/min, reads: 600/min", "requests: 30/min, reads: 600/min")
    assert '"requests";q=20;w=60' in running.policy()
    running.gateway.process.signal(signal.SIGHUP)
    eventually(lambda: '"requests";q=30;w=60' in running.policy())
