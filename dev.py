#!/usr/bin/env python3
"""Every command a newcomer needs, each doing its own set-up: `python3 dev.py demo`, `python3 dev.py test`.

It needs Python 3.11 or newer with pip, or uv; nothing else. It makes `.venv` beside this file, installs the locked
dependencies into it (hashes checked, wheels only) and becomes the command. A stamp, the hash of lock and interpreter,
makes later runs start at once.

It deliberately does not build, publish, or touch anything outside this folder, but for one thing: `test`, run as root
where there is apt-get, installs the Chromium that the dashboard's tests drive, and says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - this script is what tells people so
    print("credit-gateway needs Python 3.11 or newer, this is", platform.python_version(), file=sys.stderr)
    print("Run it with a newer one, for example: python3.12 dev.py demo", file=sys.stderr)
    sys.exit(2)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dev-stamp.json"
LOCKS = {"runtime": ROOT / "requirements" / "runtime.txt", "dev": ROOT / "requirements" / "dev.txt"}

# The first that is there is driven.
BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
# The shell is the same engine and takes a third less time for the tests; only Debian has it.
BROWSER_PACKAGES = ("chromium-headless-shell", "chromium")
MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

USAGE = """\
python3 dev.py COMMAND [arguments]

  demo [arguments]      the whole product on this machine, with made-up accounts
  test [pytest args]    the tests; on Debian and Ubuntu, as root, it installs Chromium for those in a browser
  lint                  ruff, its formatter in check mode, mypy
  run COMMAND …         any `gateway` command, for example: python3 dev.py run --help
  bench [arguments]     the benchmarks
  setup                 only make .venv with what the gateway needs to run
  lock [--upgrade]      compile requirements/*.txt from pyproject.toml again (needs uv)
"""

LAUNCHER = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from gateway.edges.cli import main
sys.exit(main())
"""


class SetupError(Exception):
    """The environment cannot be made; the message says what to do about it."""


def say(text: str) -> None:
    """Tell the person at the terminal; standard output belongs to the command."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def fingerprint(lock: str) -> str:
    """What the environment for `lock` depends on, as one hash."""
    interpreter = f"{sys.implementation.cache_tag} {sys.platform} {platform.machine()}"
    # pyproject.toml is not in it: what it asks for arrives here through the lock
    return hashlib.sha256(f"{interpreter}\n{ROOT}\n{LAUNCHER}\n{LOCKS[lock].read_text()}".encode()).hexdigest()


def is_ready(lock: str) -> bool:
    """Whether `.venv` already holds what `lock` asks for; the dev lock includes the runtime one."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    wanted = [lock] if lock == "dev" else ["runtime", "dev"]
    return PYTHON.exists() and any(stamp.get(name) == fingerprint(name) for name in wanted)


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the set-up lock: a second dev.py started meanwhile waits here, then finds the work done."""
    import fcntl  # noqa: PLC0415 - not on Windows, where the message below is the better answer

    with (ROOT / ".venv.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another dev.py is setting up, waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def installer(python: Path = PYTHON) -> list[str]:
    """The command that installs into an environment: uv, else the pip at hand, else the one Python carries along."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    quiet = ["-qq", "--no-input", "--disable-pip-version-check"]
    on_path = [[found] for name in ("pip3", "pip") if (found := shutil.which(name))]
    for pip in ([sys.executable, "-m", "pip"], *on_path):
        probe = [*pip, "--python", str(python), "--version"]  # came with 22.3; an older or missing pip fails here
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return [*pip, "--python", str(python), *quiet, "install", "--no-compile"]
    if importlib.util.find_spec("ensurepip"):
        bundled = subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=False)
        if bundled.returncode == 0:
            return [str(python), "-m", "pip", *quiet, "install", "--no-compile"]
    raise SetupError(
        "this Python has no pip (22.3 or newer), and there is no uv on PATH.\n"
        "Install one of them and run this again, for example:\n"
        "  Debian, Ubuntu:  apt-get install python3-pip\n"
        "  Fedora:          dnf install python3-pip\n"
        "  macOS:           brew install uv"
    )


def make_venv(folder: Path = VENV) -> None:
    """An empty environment, without pip, so that a Python without ensurepip can make it too."""
    import venv  # noqa: PLC0415 - a third of this script's start-up time, and mostly not needed

    if folder.exists():
        shutil.rmtree(folder)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)


def install(lock: Path, python: Path) -> None:
    """Put what a lock holds into the environment of `python`: wheels only, hashes checked."""
    command = [*installer(python), "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    # a `user = true` or `target = …` in someone's pip settings would lead past the environment
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode != 0:
        tried = " ".join(command)
        raise SetupError(f"the locked packages could not be installed; the reason is above. Tried:\n  {tried}")


def install_project() -> None:
    """Put this checkout on the path of `.venv`, with its command: what an editable install does, without a build."""
    site_packages = next((VENV / "lib").glob("python3.*")) / "site-packages"
    (site_packages / "credit_gateway.pth").write_text(f"{ROOT}\n")
    launcher = VENV / "bin" / "gateway"
    launcher.write_text(LAUNCHER.format(python=PYTHON))
    launcher.chmod(0o755)


def set_up(lock: str) -> None:
    """Make `.venv` hold exactly what the lock says, unless it does already."""
    if is_ready(lock):
        return
    with only_one():
        if is_ready(lock):
            return
        usable = PYTHON.exists() and next((VENV / "lib").glob(f"python3.{sys.version_info.minor}"), None)
        if not usable:
            say(f"making {VENV.name} with Python {platform.python_version()}")
            make_venv()
        STAMP.unlink(missing_ok=True)
        say(f"installing {LOCKS[lock].relative_to(ROOT)} (once; takes some seconds)")
        install(LOCKS[lock], PYTHON)
        install_project()
        fresh = STAMP.with_suffix(".new")
        fresh.write_text(json.dumps({lock: fingerprint(lock)}))
        fresh.replace(STAMP)


def become(command: Sequence[str | Path]) -> None:
    """Turn into the command: signals, the terminal and the exit code are then its own."""
    sys.stdout.flush()
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Who wants no byte code between the sources gets it in `.venv`: without any, each start takes two seconds more.
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(VENV / "pycache"))
    os.execv(command[0], [str(part) for part in command])


def lint() -> int:
    """Run all three checks, so that one run shows everything."""
    failed = 0
    for check in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        say(" ".join(check))
        failed |= subprocess.run([VENV / "bin" / check[0], *check[1:]], check=False).returncode
    return 1 if failed else 0


def compile_locks(arguments: Sequence[str]) -> int:
    """Resolve pyproject.toml for every supported Python and platform; no index, path or setting of this machine."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(VENV / "bin"))
    if uv is None:
        raise SetupError("compiling the locks needs uv on PATH (pip install uv, brew install uv)")
    common = ["--no-config", "--universal", "--generate-hashes", "--python-version", "3.11", "--quiet", *arguments]
    common += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "python3 dev.py lock"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    as_run = ["--constraint", "requirements/runtime.txt"]
    for name, what in (
        ("runtime", ["pyproject.toml"]),
        ("dev", ["--group", "dev", *as_run, "pyproject.toml"]),
        ("legacy-clients", ["--group", "legacy-clients", *as_run]),
        ("llama-cloud-services", ["--group", "llama-cloud-services", *as_run]),
    ):
        say(f"compiling requirements/{name}.txt")
        target = f"requirements/{name}.txt"
        command = [uv, "pip", "compile", *common, "--output-file", target, *what]
        if code := subprocess.run(command, env=clean, check=False).returncode:
            return code
    return 0


def has_browser() -> bool:
    """Whether there is a Chromium that the tests of the dashboard can drive."""
    return bool(os.environ.get("GATEWAY_BROWSER")) or any(map(shutil.which, BROWSERS)) or Path(MAC_BROWSER).exists()


def ask_for_browser(tests: Sequence[str]) -> None:
    """Install Chromium where the tests asked for need one and this machine lets us; else they say what to install."""
    folders = [one.partition("::")[0].rstrip("/") for one in tests if one.startswith("tests")]
    needed = not folders or any("dashboard" in one or one in {"tests", "tests/edges"} for one in folders)
    if not needed or has_browser() or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    say("installing Chromium for the dashboard's tests (apt-get; once)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    installs = [[*install, package] for package in BROWSER_PACKAGES]
    for command in (*installs, ["apt-get", "update", "-qq"], *installs):
        done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode == 0
        if done and command in installs:
            return
    say("Chromium could not be installed, so the dashboard's tests in a browser will fail and say so")


def main(arguments: list[str]) -> int:
    """Do one command; see USAGE."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command in {"help", "-h", "--help"}:
        print(USAGE, end="")
        return 0
    if command not in {"demo", "test", "lint", "run", "bench", "setup", "lock"}:
        print(USAGE, end="", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    if command == "lock":
        return compile_locks(rest)
    set_up("runtime" if command in {"demo", "run", "setup"} else "dev")
    if command == "setup":
        return 0
    if command == "lint":
        return lint()
    if command == "test":
        ask_for_browser(rest)
        # The whole suite on every core; each worker has servers of its own. A choice of tests starts at once instead.
        every_core = ["--numprocesses", "auto", "--dist", "loadscope"] if not rest else []
        become([PYTHON, "-m", "pytest", *every_core, *rest])
    elif command == "bench":
        become([PYTHON, "-m", "tests.bench.run", *rest])
    else:
        become([VENV / "bin" / "gateway", *(["demo"] if command == "demo" else []), *rest])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as problem:
        say(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
