import pytest

from tests.edges.dashboard.in_browser.tab import NoBrowser, find_browser


def test_a_machine_without_a_browser_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_BROWSER", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("dev.MAC_BROWSER", "")
    with pytest.raises(NoBrowser, match="apt-get install chromium"):
        find_browser()


def test_a_browser_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BROWSER", "no-such-browser")
    with pytest.raises(NoBrowser, match="no-such-browser"):
        find_browser()
