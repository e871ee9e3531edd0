"""Rounds of random kills under load: `python -m tests.journeys.kill_rounds --rounds 50`.

Two gateways, a background process and the embedded Valkey server, which one of them owns, are killed (SIGKILL) at
seeded random moments and started again, while callers go on calling; now and then the server is frozen or the books are
locked instead. At the end everything is drained, holds of the dead expire as shipped (60 s), and every complete 2xx
reply must have been charged once, nothing else, with `gateway reconcile` clean.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.journeys.kill_harness import Program, Site, site
from tests.journeys.kill_load import Callers
from tests.journeys.kill_upstream import Witness, serving
from tests.journeys.kill_verdict import Auditor, Stand, Verdict, auditing, judge

# The life of a hold, a sweep, and the lease of a job whose follower was killed while it looked.
DRAIN_S: Final = 75.0
LARGE_ACCOUNTS: Final = 3
# What happens in a round, and how likely; the last two end nothing.
FAULTS: Final = {"gateway": 4, "background": 4, "valkey": 4, "freeze": 1, "books": 1}


@dataclass
class Round:
    """What one round did and what came of it until its end; what is late is counted in the next."""

    number: int
    kills: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    complete: int = 0
    broken: int = 0
    refused: int = 0
    endings: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kills = " ".join(f"{kind}:{count}" for kind, count in sorted(self.kills.items()))
        ends = self.endings
        charged = ends["captured"] + ends["late"] + ends["recovered"]
        return (
            f"round {self.number:3}  calls {self.calls:4}  2xx {self.complete:4}  refused {self.refused:3}  "
            f"broken {self.broken:3}  charged {charged:4}  expired {ends['expired']:3}  late {ends['late']:2}  "
            f"recovered {ends['recovered']:2}  released {ends['released']:2}  kills {kills}"
        )


@dataclass
class Outcome:
    """All rounds, and the verdict on them."""

    rounds: list[Round]
    stand: Stand
    verdict: Verdict
    reconciled: tuple[int, Any]
    drain_s: float
    codes: Counter[str]


class Killer:
    """Kills one of a site's processes and starts it again, as the seed says."""

    def __init__(self, here: Site, seed: int) -> None:
        self._site = here
        self._random = random.Random(seed)
        self._restarts: list[asyncio.Task[None]] = []

    async def kill(self, kind: str) -> None:
        """One kill or other fault; what was killed is started again within a second."""
        if kind == "books":
            work = asyncio.to_thread(self._lock_books, self._random.uniform(0.5, 2))
            self._restarts.append(asyncio.create_task(work))
            return
        if kind in {"valkey", "freeze"}:
            pid = await asyncio.to_thread(self._site.valkey_pid)
            if pid is not None:
                _signal(pid, signal.SIGKILL if kind == "valkey" else signal.SIGSTOP)
                if kind == "freeze":
                    self._restarts.append(asyncio.create_task(self._thaw(pid, self._random.uniform(0.2, 1.5))))
            return
        program = self._random.choice([one for one in self._site.programs if one.name.startswith(kind)])
        if program.process is None:
            return
        await program.kill()
        self._restarts.append(asyncio.create_task(self._again(program, self._random.uniform(0, 1))))

    async def _again(self, program: Program, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        await program.start()

    async def _thaw(self, pid: int, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        _signal(pid, signal.SIGCONT)

    def _lock_books(self, for_s: float) -> None:
        with closing(sqlite3.connect(self._site.data / "books.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(for_s)
            other.execute("ROLLBACK")

    async def all_back(self) -> None:
        """Every process runs, and those that serve are ready."""
        await asyncio.gather(*self._restarts)
        self._restarts.clear()
        await asyncio.gather(*(program.until_ready() for program in self._site.programs if program.port))


def _signal(pid: int, number: signal.Signals) -> None:
    """To a server that may be gone by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def run_rounds(
    folder: Path,
    count: int,
    seed: int,
    *,
    round_s: float = 4.0,
    calls_per_s: float = 60,
    drain_s: float = DRAIN_S,
    wait_for_orphans: bool = True,
    large_accounts: int = LARGE_ACCOUNTS,
    tell: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """The rounds, one drain, the verdict. Without `wait_for_orphans`, holds of killed calls may still be open then."""
    witness, chance = Witness(seed), random.Random(seed)
    async with serving(witness) as upstream_url, site(folder, upstream_url) as here:
        gateways = [await here.serve(f"gateway-{number}", "--no-background") for number in range(2)]
        await here.background()
        opened = await here.accounts("small", *["large"] * large_accounts)
        accounts, keys = list(opened), list(opened.values())
        # A job may cost more than its hold, so only calls of an exact price prove that nothing is overspent.
        callers = Callers([one.url for one in gateways], keys, frozenset(keys[1:]), seed, calls_per_s)
        async with auditing(here, accounts) as auditor:
            rounds = await _rounds(here, callers, auditor, chance, count, round_s, tell)
            expected = [] if wait_for_orphans else orphans(witness, callers)
            begun = time.monotonic()
            stand = await auditor.drained(drain_s, orphans=expected)
            took_s = time.monotonic() - begun
            reconciled = await here.command("reconcile")
        return Outcome(rounds, stand, judge(stand, callers.complete, witness), reconciled, took_s, callers.codes)


async def _rounds(
    here: Site,
    callers: Callers,
    auditor: Auditor,
    chance: random.Random,
    count: int,
    round_s: float,
    tell: Callable[[str], object],
) -> list[Round]:
    killer, rounds = Killer(here, chance.randrange(2**32)), []
    before: Counter[str] = Counter()
    async with callers.calling():
        for number in range(1, count + 1):
            this = Round(number)
            was = (callers.calls, len(callers.complete), callers.broken, sum(callers.statuses.values()))
            await _one_round(killer, chance, this, round_s)
            now = (callers.calls, len(callers.complete), callers.broken, sum(callers.statuses.values()))
            this.calls, this.complete, this.broken, answered = (new - old for new, old in zip(now, was, strict=True))
            this.refused = answered - this.complete
            endings = (await _looked(auditor)).endings
            this.endings, before = endings - before, endings
            rounds.append(this)
            tell(str(this))
    return rounds


async def _one_round(killer: Killer, chance: random.Random, this: Round, round_s: float) -> None:
    """One to three faults within the round, sometimes two in the same moment."""
    kinds = chance.choices(list(FAULTS), weights=list(FAULTS.values()), k=chance.randint(1, 3))
    begun = time.monotonic()
    for at_s, kind in sorted((chance.uniform(0.2, round_s - 0.5), kind) for kind in kinds):
        await asyncio.sleep(max(0, begun + at_s - time.monotonic()))
        await killer.kill(kind)
        this.kills[kind] += 1
    await asyncio.sleep(max(0, begun + round_s - time.monotonic()))
    await killer.all_back()


async def _looked(auditor: Auditor) -> Stand:
    from gateway.ledger.faults import StoreUnavailable

    while True:
        with suppress(StoreUnavailable):
            return await auditor.look()
        await asyncio.sleep(0.1)


def orphans(witness: Witness, callers: Callers) -> Sequence[str]:
    """Calls that ran and whose callers saw no complete reply: their gateway was killed, so their holds expire."""
    seen = {reply.request_id for reply in callers.complete}
    return [request_id for request_id in witness.ran if request_id not in seen]


def main() -> None:
    """Runs the rounds asked for and prints what came of them; exit code 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description="Random kills of a gateway's processes under load.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--calls-per-s", type=float, default=60)
    parser.add_argument("--keep", action="store_true", help="leave the folder with stores and logs")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="cgw-kills-", dir="/tmp"))
    work: Awaitable[Outcome] = run_rounds(
        folder, asked.rounds, asked.seed, calls_per_s=asked.calls_per_s, tell=lambda line: print(line, flush=True)
    )
    try:
        outcome = asyncio.run(_await(work))
    except BaseException:
        print(f"seed {asked.seed}; stores and logs are in {folder}", file=sys.stderr)
        raise
    if not tell_outcome(outcome):
        print(f"seed {asked.seed}; stores and logs are in {folder}", file=sys.stderr)
        raise SystemExit(1)
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)


async def _await(work: Awaitable[Outcome]) -> Outcome:
    return await work


def tell_outcome(outcome: Outcome) -> bool:
    """Prints the sums; whether all is well."""
    kills = sum((each.kills for each in outcome.rounds), Counter[str]())
    calls = sum(each.calls for each in outcome.rounds)
    complete = sum(each.complete for each in outcome.rounds)
    print(f"rounds {len(outcome.rounds)}  calls {calls}  2xx {complete}  kills {dict(kills)}")
    print(f"refused {dict(outcome.codes)}")
    print(f"booked {dict(outcome.stand.endings)}  drained in {outcome.drain_s:.1f} s")
    code, report = outcome.reconciled
    print(f"gateway reconcile: exit {code}, {report}")
    for sentence in outcome.verdict.wrong:
        print(f"WRONG: {sentence}")
    for reply in outcome.verdict.lost:
        print(f"LOST: {reply}")
    return not outcome.verdict.wrong and not outcome.verdict.lost and code == 0 and report["ok"]


if __name__ == "__main__":
    main()
