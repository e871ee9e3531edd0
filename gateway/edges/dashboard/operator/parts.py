"""What the operator's pages work with. Handed in by the one who serves them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.books.invoices import BookedInvoice
from gateway.edges.dashboard.parts import DashboardParts
from gateway.flows.look_in import LookIns
from gateway.flows.look_up import LookUp
from gateway.flows.overview import Overviews
from gateway.flows.reconcile_runs import ReconcileRuns


@dataclass(frozen=True, slots=True)
class OperatorParts:
    """`issue_due` closes an account's periods that are over; `problems` are those of the configuration files now.

    `public_url` is where callers and owners come in. `on` False: there is no admin token, so nobody comes in and the
    pages say how to set one.
    """

    dashboard: DashboardParts
    overviews: Overviews
    runs: ReconcileRuns
    look_up: LookUp
    look_ins: LookIns
    issue_due: Callable[[str], Awaitable[Sequence[BookedInvoice]]]
    problems: Callable[[], Sequence[str]]
    public_url: str
    on: bool = True
