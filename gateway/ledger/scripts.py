"""The Lua scripts as Redis is sent them: one file per verb, after the parts it names below.

Loads text and knows its SHA-1; says nothing of what a script does (its own first lines do) and talks to no server.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

# What each verb needs, in order. `clock` and `times` come first: the others call them.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "admit": ("clock", "times", "limits", "window"),
    "capture": ("clock", "times", "limits", "ending"),
    "recover": ("clock", "times", "limits", "ending"),
    "release": ("clock", "times", "limits", "ending"),
    "expire": ("clock", "times", "limits", "ending"),
    "top_up": ("clock", "times", "limits"),
    "attach_job": ("clock", "times"),
    "look": ("clock", "times"),
    "lease_jobs": ("clock", "times"),
    "claim": ("clock", "times"),
    "renew": ("clock", "times"),
    "project": ("clock", "times", "periods"),
    "load": ("clock", "times", "periods"),
    "restore": ("clock", "times", "limits"),
    "drop_period": ("clock", "times"),
    "count_budgets": ("clock",),
    "budgets_counted": ("clock",),
    "counters": ("clock", "times", "limits"),
    "outbox_page": ("clock",),
    "ack": ("clock",),
    "lag": ("clock", "times"),
    "open_holds": ("clock",),
    "idem_claim": ("clock", "times"),
    "idem_keep": ("clock",),
    "idem_forget": ("clock",),
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name Redis caches it under."""

    name: str
    text: str
    sha: str


def _read(name: str) -> str:
    return resources.files("gateway.ledger").joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")


def assemble(verb: str, clock: str | None = None) -> Script:
    """The script of a verb. `clock` replaces the part that asks Redis for the time; only tests do that."""
    shebang, _, body = _read(verb).partition("\n")
    parts = [clock if part == "clock" and clock is not None else _read(part) for part in PARTS[verb]]
    text = "\n".join([shebang, *parts, body])
    return Script(verb, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@lru_cache(maxsize=4)
def load_scripts(clock: str | None = None) -> dict[str, Script]:
    """Every verb's script by name."""
    return {verb: assemble(verb, clock) for verb in PARTS}
