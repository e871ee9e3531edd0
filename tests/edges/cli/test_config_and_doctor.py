"""`gateway config` and `gateway doctor`: every problem, each with how to mend it."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.edges.cli.conftest import Terminal

UPSTREAMS = ("PARSE", "EXTRACT", "CLASSIFY", "SPLIT", "INDEX")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstreams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All product services answer."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name in UPSTREAMS:
            monkeypatch.setenv(f"{name}_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


def break_it(terminal: Terminal, name: str, old: str, new: str) -> None:
    file = terminal.config.parent / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_good_configuration_is_ok_with_all_its_files(terminal: Terminal) -> None:
    folder = terminal.config.parent
    answer = terminal.raw("config", "check", str(terminal.config))
    assert answer.code == 0
    assert answer.out.startswith(f"ok: {folder / 'gateway.yaml'}, {folder / 'plans.yaml'}")
    assert terminal("config", "check", "--json").json == {"ok": True, "problems": []}


def test_every_problem_is_told_with_file_and_line(terminal: Terminal) -> None:
    break_it(terminal, "plans.yaml", "monthly_credits: 10_000", "montly_credits: 10_000")
    break_it(terminal, "gateway.yaml", "drain_s: 30", "drain_s: soon")
    answer = terminal.raw("config", "check", str(terminal.config))
    assert answer.code == 1
    assert any("plans.yaml:" in line and "did you mean 'monthly_credits'?" in line for line in answer.out.splitlines())
    assert any("gateway.yaml:" in line and "drain_s" in line for line in answer.out.splitlines())
    as_json = terminal.raw("config", "check", str(terminal.config), "--json")
    assert as_json.code == 1
    assert len(as_json.json["problems"]) == len(answer.out.splitlines())
    assert list(as_json.json["problems"][0]) == ["file", "line", "path", "sentence"]


def test_a_file_beside_its_gateway_yaml_is_checked_through_it(terminal: Terminal) -> None:
    names = ("gateway.yaml", "plans.yaml", "rate_card.yaml", "routes.yaml")
    files = [str(terminal.config.parent / name) for name in names]
    assert terminal.raw("config", "check", *files).code == 0
    break_it(terminal, "plans.yaml", "price_usd: 50", "price_usd: cheap")
    answer = terminal.raw("config", "check", *files)
    assert (answer.code, len(answer.out.splitlines())) == (1, 1)


def test_a_missing_configuration_is_a_problem_like_any_other(terminal: Terminal) -> None:
    answer = terminal.raw("account", "list", "--json", "--config", "nowhere.yaml")
    assert (answer.code, answer.out) == (1, "")
    assert "nowhere.yaml: cannot be opened" in answer.err


def test_the_configuration_can_be_named_by_the_environment(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", str(terminal.config))
    assert terminal.raw("account", "list", "--json").json == {"accounts": []}


def test_the_schema_knows_the_files(terminal: Terminal) -> None:
    schema = terminal.raw("config", "schema").json
    assert {"gateway", "plans", "rate_card", "routes"} <= schema["$defs"].keys()


@pytest.mark.usefixtures("upstreams")
def test_a_well_gateway_has_no_findings(terminal: Terminal) -> None:
    answer = terminal("doctor", "--json")
    statuses = {check["part"]: check["status"] for check in answer.json["checks"]}
    assert (answer.code, answer.json["ok"]) == (0, True)
    assert set(statuses.values()) == {"ok"}
    parts = ("versions", "config", "data folder", "disk", "redis", "clocks", "outbox", "books", "upstream parse")
    assert set(parts) <= statuses.keys()
    assert all(line.startswith("ok ") for line in terminal("doctor").out.splitlines())


def test_an_upstream_that_is_away_fails_with_how_to_mend_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in UPSTREAMS:
        monkeypatch.setenv(f"{name}_URL", "http://127.0.0.1:1")
    answer = terminal("doctor")
    failed = [line for line in answer.out.splitlines() if line.startswith("fail")]
    assert (answer.code, len(failed)) == (1, 5)
    assert "http://127.0.0.1:1" in failed[0]
    assert "start the service, or mend upstreams.parse.url" in failed[0]


@pytest.mark.usefixtures("upstreams")
def test_stores_that_are_away_fail(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hush@127.0.0.1:1/books")
    answer = terminal("doctor", "--json")
    failed = {check["part"] for check in answer.json["checks"] if check["status"] == "fail"}
    assert (answer.code, failed) == (1, {"redis", "books"})
    assert "hush" not in answer.out


@pytest.mark.usefixtures("upstreams")
def test_a_data_folder_open_to_others_is_warned_of(terminal: Terminal) -> None:
    terminal.data.chmod(0o755)
    answer = terminal("doctor", "--json")
    (warned,) = [check for check in answer.json["checks"] if check["status"] == "warn"]
    assert (answer.code, warned["part"], warned["mend"]) == (0, "data folder", f"chmod 700 {terminal.data}")


@pytest.mark.usefixtures("upstreams")
def test_a_plan_that_is_gone_while_an_account_is_on_it_fails(terminal: Terminal) -> None:
    terminal.account("free")
    break_it(terminal, "plans.yaml", "free:\n", "gratis:\n")
    answer = terminal("doctor", "--json")
    (failed,) = [check for check in answer.json["checks"] if check["status"] == "fail"]
    assert (answer.code, failed["part"]) == (1, "plans")
    assert "free: is missing, but 1 account is on it" in failed["said"]


def test_a_bad_configuration_is_all_the_doctor_can_see(terminal: Terminal) -> None:
    break_it(terminal, "gateway.yaml", "drain_s: 30", "drain_s: soon")
    answer = terminal("doctor", "--json")
    assert answer.code == 1
    assert [check["part"] for check in answer.json["checks"]] == ["versions", "config"]


def test_books_that_are_away_are_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hush@127.0.0.1:1/books")
    answer = terminal("account", "list", "--json")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("gateway: the books are not available: ")
    assert "hush" not in answer.err
