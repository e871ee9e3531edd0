"""An answer that is paid for while it passes: its hold grows as units flow, and it ends where the credits do.

Nothing is passed on that the hold does not pay for. Does not send anything, and does not settle: the exchange does.
"""

from typing import NamedTuple

from gateway.domain.admission import Refused
from gateway.domain.outcome import Delivered
from gateway.flows.settle import Held, Settler
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.route import Stream
from gateway.wire.stream_meter import Piece, StreamMeter


class Passing(NamedTuple):
    """What of a chunk may be passed on; `ended` says why no more may follow, None where more may."""

    data: bytes
    ended: Refused | StoreUnavailable | None = None


class MeteredStream:
    """One answer's. `held` is its hold as it stands now."""

    def __init__(
        self, meter: StreamMeter, stream: Stream, settler: Settler, held: Held, *, millicredits_per_unit: int
    ) -> None:
        self.held = held
        self._meter = meter
        self._settler = settler
        self._per_unit_millicredits = millicredits_per_unit
        self._top_up_millicredits = stream.top_up * millicredits_per_unit
        self._units = 0

    async def pay(self, chunk: bytes) -> Passing:
        """The next bytes of the answer, as far as they are paid for."""
        return await self._paid(self._meter.feed(chunk))

    async def pay_rest(self) -> Passing:
        """What was kept of an answer that has ended."""
        return await self._paid([self._meter.finish()])

    @property
    def delivered(self) -> Delivered:
        """What was passed on so far."""
        evidence = f"{self._units} units counted in what was delivered"
        if self._meter.unread:
            evidence += f", {self._meter.unread} events not readable"
        return Delivered(self._units, self._units * self._per_unit_millicredits, evidence)

    async def _paid(self, pieces: list[Piece]) -> Passing:
        passing: list[bytes] = []
        for data, units in pieces:
            cost_millicredits = (self._units + units) * self._per_unit_millicredits
            if cost_millicredits > self.held.held_millicredits:
                grown = await self._grown(cost_millicredits)
                if not isinstance(grown, Held):
                    return Passing(b"".join(passing), grown)
                self.held = grown
            self._units += units
            passing.append(data)
        return Passing(b"".join(passing))

    async def _grown(self, least_millicredits: int) -> Held | Refused | StoreUnavailable:
        wanted = max(least_millicredits, self.held.held_millicredits + self._top_up_millicredits)
        try:
            return await self._settler.top_up(
                self.held, least_millicredits=least_millicredits, wanted_millicredits=wanted
            )
        except StoreUnavailable as away:
            return away
