"""A document that comes from a pipe, as the standard library alone can make it: older clients' tests run it too."""

import io
from typing import Any


class OneWay(io.RawIOBase):
    """It has no length, and cannot be read a second time."""

    def __init__(self, content: bytes) -> None:
        """Gives `content` once."""
        self._left = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
