"""The demo's stand-in product services as a process of their own on a real port, and what tests tell and ask them."""

import os
import socket
from dataclasses import dataclass
from typing import Any, Final

import httpx
import uvicorn

from gateway.edges.demo.services import DEMO_CREDENTIAL, Behaviour, services_app

# Fast enough for a test to wait for, slow enough that a job can be met while it runs.
BRISK: Final = Behaviour(job_seconds=0.2, billing_lag_seconds=0, chunk_delay_seconds=0.01)
PORT_VARIABLE: Final = "STAND_INS_PORT"


def main() -> None:
    """Serves until a signal."""
    listener = socket.create_server(("127.0.0.1", int(os.environ[PORT_VARIABLE])), backlog=2048)
    config = uvicorn.Config(
        services_app(BRISK), log_level="error", lifespan="on", ws="none", timeout_graceful_shutdown=1, loop="uvloop"
    )
    uvicorn.Server(config).run(sockets=[listener])


@dataclass(frozen=True)
class Arrived:
    """A call as the services saw it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


class StandIns:
    """The services, seen from a test. What another test has set is set back by `settle`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {DEMO_CREDENTIAL}"})

    def answers(self) -> bool:
        """Whether they take calls."""
        try:
            return self._client.get("/__health").is_success
        except httpx.TransportError:
            return False

    def behave(self, **changes: Any) -> None:
        """From now on as `BRISK`, but for these."""
        document = BRISK.model_copy(update=changes).model_dump()
        self._client.put("/__behaviour", json=document).raise_for_status()

    def settle(self) -> None:
        """As they were at the start, with nothing seen."""
        self.behave()
        self._client.delete("/__seen").raise_for_status()

    def arrived(self, account_id: str) -> list[Arrived]:
        """An account's calls since the last `settle`, the gateway's own looks at its jobs among them."""
        seen = self._client.get("/__seen").raise_for_status().json()["calls"]
        calls = [Arrived(one["method"], one["path"], one["query"], dict(one["headers"])) for one in seen]
        return [call for call in calls if call.headers["x-account-id"] == account_id]

    def close(self) -> None:
        """Lets the client go."""
        self._client.close()
