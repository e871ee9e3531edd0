"""What can go wrong with Redis, by whose fault it is. Refusals are answers, not faults: they are not here."""

OUTDATED = "outdated"


class StoreUnavailable(Exception):
    """Redis is away, slow, or refuses writes. Nobody learns more by waiting: credit-consuming routes fail closed.

    `reason` is one word or phrase for logs and metrics (`timeout`, `connection_lost`, `loading`, `oom`, …).
    `outcome_unknown` is true where the command was sent: it may have run, or may yet run. A settlement is then simply
    asked again; an admission is released, so that a late one is refused.
    `OUTDATED`: Redis is there, but what the caller knew of it does not hold any more: know better, then ask again.
    """

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome_unknown = outcome_unknown


class Redirected(StoreUnavailable):
    """A cluster's node says who has the slot: for good (MOVED) or, while it moves, for this once (ASK)."""

    def __init__(self, reply: str) -> None:
        super().__init__("redirected")
        word, slot, address = reply.split(" ")[:3]
        self.asking = word == "ASK"
        self.slot = int(slot)
        # An empty host is that of the node asked.
        self.host, _, port = address.rpartition(":")
        self.port = int(port)


class InvariantBroken(Exception):
    """A script met a state or an answer that the design rules out: a mistake of ours, never the caller's."""


class HoldEnded(Exception):
    """An admission came after its hold had been settled: it timed out, was released, and ran late. Nothing was held."""
