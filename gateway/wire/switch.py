"""Switches as forms send them: `true`, `True`, `1`, `on`, as pydantic's services understand them."""

from typing import Final

_ON: Final = frozenset({"true", "1", "yes", "on", "t", "y"})
_OFF: Final = frozenset({"false", "0", "no", "off", "f", "n", ""})


def switch(text: str) -> bool | None:
    """Whether a switch is on; None where the text is neither on nor off."""
    word = text.strip().lower()
    return True if word in _ON else False if word in _OFF else None
