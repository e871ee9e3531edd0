"""Whose word on where a call comes from is taken."""

from ipaddress import ip_network

import pytest

from gateway.edges.proxy.parts import Peers


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("fd00::1", True), ("::1", False), ("", False), ("testclient", False)],
)
def test_only_peers_in_the_configured_networks_are_trusted(host: str, *, trusted: bool) -> None:
    assert Peers((ip_network("10.1.0.0/16"), ip_network("fd00::/8"))).trusted(host) is trusted


def test_nobody_is_trusted_unless_configured() -> None:
    assert not Peers(()).trusted("127.0.0.1")
