"""What the proxy works with: the upstreams, the offer of one catalog, and the flows. Handed in by the wiring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from gateway.domain.rate_card import RateCard
from gateway.edges.proxy.call import Record
from gateway.edges.proxy.priced_request import route_needs
from gateway.edges.proxy.request_body import Spool
from gateway.flows.admit import Admission
from gateway.flows.authenticate import Directory
from gateway.flows.first_call import FirstCalls
from gateway.flows.follow_job import Follower
from gateway.flows.live_holds import LiveHolds
from gateway.flows.saved_modes import SavedModes
from gateway.flows.settle import Settler
from gateway.pages.page_counter import PageCounter
from gateway.upstream.answer import Upstream
from gateway.wire.price import PriceList
from gateway.wire.route import JobKind, RouteTable
from gateway.wire.saved_configuration import changed_by
from gateway.wire.values import Needs


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream as the proxy uses it: its client, its own credential, whether it keeps accounts apart."""

    upstream: Upstream
    credential: tuple[bytes, bytes] | None
    isolates: bool


@dataclass(frozen=True)
class Offer:
    """What the proxy serves: routes, prices and job kinds of one catalog, replaced as a whole by a reload.

    `changing` are the routes, by name, that change a saved configuration.
    """

    routes: RouteTable
    rate_card: RateCard
    job_kinds: Mapping[str, JobKind]
    prices: PriceList = field(init=False)
    needs: Mapping[str, Needs] = field(init=False)
    changing: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prices", PriceList(self.rate_card))
        object.__setattr__(self, "needs", {route.name: route_needs(route) for route in self.routes.routes})
        object.__setattr__(self, "changing", changed_by(self.routes.routes))


class Peers:
    """The load balancers in front of us, whose word on where a call comes from is taken."""

    def __init__(self, networks: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._networks = networks
        self.trusted: Callable[[str], bool] = lru_cache(maxsize=1024)(self._trusted) if networks else _nobody

    def _trusted(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _nobody(_host: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the proxy uses. `offer` gives the catalog in force at this moment."""

    offer: Callable[[], Offer]
    targets: Mapping[str, Target]
    directory: Directory
    admission: Admission
    saved_modes: SavedModes
    first_calls: FirstCalls
    settler: Settler
    live: LiveHolds
    follower: Follower
    peers: Peers
    spool: Spool
    counter: PageCounter
    record: Record
    upgrade_url: str
