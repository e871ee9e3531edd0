"""The no to a connection that does not speak HTTP as we do: raised while reading, answered by the connection."""


class Refused(Exception):
    """Not a request we serve: the status to answer, and a sentence for whoever debugs the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
