"""What could not be read from a request, in the words that a 422 tells its caller. Nothing is ever guessed instead."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that decides a price or an owner and that two readers could understand differently, or not at all.

    `loc` is the place as LlamaCloud's clients know it: `("body", "configuration", "tier")`.
    """

    loc: tuple[str, ...]
    message: str
    type: str = "value_error"
