"""What every script keeps to, read from its text."""

import re
from importlib import resources

import pytest

from gateway.domain.admission import RefusalCode
from gateway.domain.hold import Ending, HoldState
from gateway.ledger.answers import Reproject
from gateway.ledger.scripts import PARTS, load_scripts

FILES = {
    file.name.removesuffix(".lua"): file.read_text()
    for file in resources.files("gateway.ledger").joinpath("scripts").iterdir()
    if file.name.endswith(".lua")
}
# What only looks must be allowed to look while writes are refused, and may not write.
READ_ONLY = {"counters", "outbox_page", "lag", "open_holds"}
# What takes something new is refused when memory runs out; what ends or records something is not.
TAKES = {"admit", "idem_claim", "top_up"}


def code(text: str) -> str:
    """Without comments and strings."""
    return re.sub(r"--[^\n]*|'[^']*'", "", text)


def test_every_file_is_a_verb_or_a_part_of_some() -> None:
    assert FILES.keys() == PARTS.keys() | {part for parts in PARTS.values() for part in parts}


@pytest.mark.parametrize("verb", sorted(PARTS))
def test_a_verb_says_what_it_takes_and_replies(verb: str) -> None:
    shebang, title, *_ = FILES[verb].splitlines()
    flags = "no-writes" if verb in READ_ONLY else "allow-oom"
    assert shebang == ("#!lua" if verb in TAKES else f"#!lua flags={flags}")
    assert title.startswith(f"-- {verb}: ")
    for word in ("KEYS", "ARGV", "Reply"):
        assert f"-- {word} " in FILES[verb]


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_script_divides_or_writes_numbers_as_rounded_text(name: str) -> None:
    assert "/" not in code(FILES[name])
    assert "tostring" not in code(FILES[name])


def test_admit_knows_every_refusal_and_every_reason_to_project() -> None:
    words = set(re.findall(r"'([a-z_]+)'", FILES["admit"]))
    assert set(RefusalCode) <= words
    assert set(Reproject) <= words


def test_endings_and_states_are_the_domain_s() -> None:
    settling = "".join(FILES[name] for name in ("ending", "capture", "release", "recover", "expire", "admit"))
    words = set(re.findall(r"'([a-z_]+)'", settling))
    assert set(Ending) <= words
    assert set(HoldState) <= words


def test_scripts_are_the_same_in_every_process() -> None:
    assert {name: script.sha for name, script in load_scripts().items()} == {
        name: script.sha for name, script in load_scripts.__wrapped__().items()
    }
