"""Real processes for the journeys: stand-in services, and gateways on places of their own or on a shared one."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.journeys.client_environments import begin
from tests.journeys.gateway_process import Account, Gateway, Launcher, Place, eventually
from tests.journeys.stand_ins import PORT_VARIABLE, StandIns
from tests.ports import free_port

SERVICES_CLIENT: Final = "llama-cloud-services"
_begun: "list[subprocess.Popen[bytes]]" = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begins to install what is large, where a test will want it: its own tests then find it there."""
    if (
        any(item.path.name == "test_services_client.py" for item in session.items)
        and not session.config.option.collectonly
    ):
        _begun.append(begin(SERVICES_CLIENT))


def pytest_sessionfinish() -> None:
    """Leaves no installation under way behind."""
    for process in _begun:
        process.wait()


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts every process of these tests."""
    with (
        tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        closing(Launcher(Path(folder))) as started,
    ):
        yield started


@pytest.fixture(scope="session")
def _stand_ins(launcher: Launcher) -> Iterator[StandIns]:
    port = free_port()
    process = launcher.start("tests.journeys.stand_ins:main", environment={PORT_VARIABLE: str(port)})
    with closing(StandIns(port)) as services:
        eventually(services.answers, within_s=20)
        yield services
    process.stop()


@pytest.fixture
def stand_ins(_stand_ins: StandIns) -> StandIns:
    """The product services, as they were at the start."""
    _stand_ins.settle()
    return _stand_ins


@dataclass(frozen=True)
class Town:
    """A place where two gateway processes serve: most journeys are no matter of how the gateway is set up."""

    place: Place
    first: Gateway
    second: Gateway
    anybody: Account


@pytest.fixture(scope="session")
def _town(launcher: Launcher, _stand_ins: StandIns) -> Iterator[Town]:
    with closing(Place(launcher, _stand_ins.url)) as place:
        first, second = place.begin(), place.begin()
        eventually(lambda: first.ready() and second.ready(), within_s=30)
        yield Town(place, first, second, place.account("pro"))


@pytest.fixture
def town(_town: Town, stand_ins: StandIns) -> Town:
    """Two gateways on one data folder, embedded Valkey and SQLite, shared by many tests."""
    return _town


@pytest.fixture
def new_place(launcher: Launcher, stand_ins: StandIns) -> Iterator[Callable[..., Place]]:
    """Makes places of a test's own, for what would disturb others; takes what `Place` takes."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            closing(Place(launcher, options.pop("upstream_url", stand_ins.url), **options))
        )
