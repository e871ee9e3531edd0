"""Environments for clients that cannot be installed beside today's: one folder per lock, made once.

Making one takes up to a minute, so it is begun when a run of the tests turns out to need it, and waited for by the
first test that does.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

import dev
from tests.journeys.gateway_process import ROOT

VENV: Final = ROOT / ".venv"


def set_up(name: str) -> Path:
    """The interpreter that has what `requirements/<name>.txt` says; where it is there already, this costs nothing."""
    lock, folder = ROOT / "requirements" / f"{name}.txt", VENV / name
    python, stamp = folder / "bin" / "python", folder / "stamp"
    wanted = hashlib.sha256(f"{sys.version} {folder}\n{lock.read_text()}".encode()).hexdigest()
    VENV.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another run of the tests may be at it
        if not (stamp.exists() and stamp.read_text() == wanted and python.exists()):
            dev.make_venv(folder)
            dev.install(lock, python)
            stamp.write_text(wanted)
    return python


def begin(name: str) -> "subprocess.Popen[bytes]":
    """The same in a process of its own, beside the tests."""
    return subprocess.Popen([sys.executable, "-m", __spec__.name, name], cwd=ROOT, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    set_up(sys.argv[1])
