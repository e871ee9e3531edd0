"""What the dashboard works with. Handed in by the one who serves it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.edges.desk import Desk
from gateway.flows.sign_in import SignIns


def nobody(_peer: str) -> bool:
    """Trusts no peer."""
    return False


@dataclass(frozen=True, slots=True)
class DashboardParts:
    """`desk` answers, `sign_ins` tells who asks.

    `trusted` tells the proxies whose word on scheme and caller is taken; with `trusted_header` they name the account
    they have signed in. `public_url` is the address people know, None: whatever they came by.
    """

    desk: Desk
    sign_ins: SignIns
    trusted: Callable[[str], bool] = nobody
    trusted_header: str | None = None
    public_url: str | None = None
