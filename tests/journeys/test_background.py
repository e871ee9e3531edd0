"""Background work as a deployment of its own: it books for those that only serve, and tells how it is."""

from collections.abc import Callable

import httpx

from tests.journeys.gateway_process import Place, eventually
from tests.journeys.test_reload import QUERY, RETRIEVE
from tests.ports import free_port


def test_background_work_of_its_own_books_for_the_others_and_answers_probes(new_place: Callable[..., Place]) -> None:
    port = free_port()
    place = new_place(edit=lambda document: document.update(background={"listen": {"port": port}}))
    gateway = place.serve("--no-background")
    account = place.account("starter")
    with gateway.caller(account) as caller:
        assert caller.post(RETRIEVE, json=QUERY).status_code == 200
    assert place.usage(account).calls == 1
    metrics = f"{gateway.admin_url}/metrics"
    eventually(lambda: "gateway_outbox_records 1.0" in httpx.get(metrics).text)

    background = place.background()
    address = f"http://127.0.0.1:{port}"

    def answers(path: str) -> bool:
        try:
            return httpx.get(address + path).status_code == 200
        except httpx.TransportError:
            return False

    assert eventually(lambda: answers("/readyz"))
    assert answers("/healthz")
    eventually(lambda: "gateway_outbox_records 0.0" in httpx.get(f"{address}/metrics").text)
    assert httpx.get(f"{address}{RETRIEVE}").json()["code"] == "no_such_route"
    assert background.stop() == 0
