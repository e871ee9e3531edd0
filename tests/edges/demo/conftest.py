"""The stand-in services on a real socket, as the official client meets them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from llama_cloud import LlamaCloud

from gateway.edges.demo.services import DEMO_CREDENTIAL, Behaviour, services_app

AT_ONCE = Behaviour(job_seconds=0, billing_lag_seconds=0, chunk_delay_seconds=0)


@dataclass(frozen=True)
class Running:
    """Services that answer at `url`."""

    url: str

    def client(self, account: str = "acc_a", project: str = "", credential: str = DEMO_CREDENTIAL) -> LlamaCloud:
        """The official client, with the identity headers that the gateway would send along."""
        headers = {"X-Account-Id": account, "X-Project-Id": project or f"prj_{account}"}
        return LlamaCloud(api_key=credential, base_url=self.url, default_headers=headers, max_retries=0)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[Running]:
    """Run the services in a thread on a free port. The socket listens before anyone may call."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(services_app(behaviour), log_level="error", lifespan="on", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def services() -> Iterator[Callable[[Behaviour], Running]]:
    """Starts services with a behaviour of the test's own."""
    with ExitStack() as stack:
        yield lambda behaviour: stack.enter_context(serving(behaviour))


@pytest.fixture(scope="module")
def at_once() -> Iterator[Running]:
    """Services whose jobs are done at the first look and billed at once."""
    with serving(AT_ONCE) as running:
        yield running


@pytest.fixture
def client(at_once: Running) -> Iterator[LlamaCloud]:
    """Account acc_a's official client."""
    with at_once.client() as made:
        yield made
