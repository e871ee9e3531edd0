"""What can go wrong between the gateway and a product service, by what the caller may conclude from it.

An answer with an error status is not a fault: it is an answer.
"""


class UpstreamFault(Exception):
    """The upstream did not give a whole, well-formed answer. The text is for operators, never for callers."""


class UpstreamUnreachable(UpstreamFault):
    """No connection could be had (refused, name unknown, certificate wrong, pool full): nothing was sent."""


class UpstreamTimeout(UpstreamFault):
    """The request may have been worked on, but the upstream went silent for longer than allowed."""


class UpstreamBroken(UpstreamFault):
    """The request may have been worked on, but the answer was cut short or is not HTTP/1.1 we would pass on."""


class BodyMismatch(ValueError):
    """The caller's body was shorter or longer than its content-length said. The upstream never saw it end."""
