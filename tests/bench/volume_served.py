"""The gateway as it serves, over the books of the volume benchmark: a minute before the noon they were filled up to.

    python3 -m tests.bench.volume_served GATEWAY_YAML

Only the clock and the plans' rate limits differ from `gateway serve --no-background`: whoever measures asks too often.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from gateway import configuration, stores
from gateway.domain.plan import Plan
from gateway.edges.cli.serve import run
from gateway.edges.serving import Role, serve
from gateway.observe import configure_logging
from tests.made_up import NOON

# The largest account's period ends at noon: now it has a whole month in it, the most that a period's pages ever read.
ASKED_AT = NOON - timedelta(minutes=1)
OFTEN = 10**9
BEGUN = time.monotonic()


def ticking() -> datetime:
    """A minute before noon, and what has passed since this process began, in milliseconds as the books have it."""
    return ASKED_AT + timedelta(milliseconds=round((time.monotonic() - BEGUN) * 1000))


def without_limits(plans: Mapping[str, Plan]) -> Mapping[str, Plan]:
    """The plans as they are sold, with limits that are counted and never reached."""
    return {
        name: replace(
            plan,
            rate_limits={each: limit and replace(limit, calls=OFTEN) for each, limit in plan.rate_limits.items()},
        )
        for name, plan in plans.items()
    }


def main() -> None:
    """Serve until a signal."""
    loaded = configuration.load(Path(sys.argv[1]))
    configure_logging(loaded.settings.log)
    stores.system_clock = ticking
    catalog = replace(loaded.catalog, plans=without_limits(loaded.catalog.plans))
    run(serve(replace(loaded, catalog=catalog), Role(background=False)))


if __name__ == "__main__":
    main()
