"""The work that no caller waits for: booking, expiring, following, auditing, closing periods, collecting, webhooks.

Any number of processes may do it at a time.
"""

import asyncio

from gateway.flows.audit import Auditor
from gateway.flows.deliver_webhooks import Deliverer
from gateway.flows.dunning import Collector
from gateway.flows.expire_holds import Sweeper
from gateway.flows.follow_job import Follower
from gateway.flows.issue_invoice import Closer
from gateway.flows.relay import Relay


class Background:
    """The loops of one process."""

    def __init__(
        self,
        *,
        relay: Relay,
        sweeper: Sweeper,
        follower: Follower,
        closer: Closer,
        auditor: Auditor,
        deliverer: Deliverer,
        collector: Collector,
    ) -> None:
        self.relay = relay
        self._auditor = auditor
        self._sweeper = sweeper
        self._follower = follower
        self._closer = closer
        self._deliverer = deliverer
        self._collector = collector

    async def run(self) -> None:
        """Runs until cancelled. A loop that fails takes the others down, so that the process ends loudly."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.relay.run(), name="relay")
            loops.create_task(self._sweeper.run(), name="sweeper")
            loops.create_task(self._follower.run(), name="follower")
            loops.create_task(self._auditor.run(), name="auditor")
            loops.create_task(self._closer.run(), name="closer")
            loops.create_task(self._deliverer.run(), name="deliverer")
            loops.create_task(self._collector.run(), name="collector")
