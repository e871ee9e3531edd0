"""A call that changes a saved configuration: what is remembered of it is forgotten before the caller sees an answer.

And again when the call has ended, however it did: what was never answered may have been done all the same.
"""

from gateway.edges.proxy.asgi import Message, Send
from gateway.flows.saved_modes import SavedModes


class Changing:
    """Stands before `send` of one such call. `path` is the raw one, as it is forwarded."""

    __slots__ = ("_account_id", "_path", "_saved_modes", "_send")

    def __init__(self, saved_modes: SavedModes, account_id: str, path: str, send: Send) -> None:
        self._saved_modes = saved_modes
        self._account_id = account_id
        self._path = path
        self._send = send

    async def send(self, message: Message) -> None:
        """Passes the reply on."""
        if message["type"] == "http.response.start":
            self.forget()
        await self._send(message)

    def forget(self) -> None:
        """From now on it is asked for again."""
        self._saved_modes.forget(self._account_id, self._path)
