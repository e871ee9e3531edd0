"""JSON pointers (RFC 6901) with one addition: the part `*` stands for every element of a list.

Reads documents that are already parsed. Never invents: what is not there is not found, and a pointer that leads
through a number or a text says so.
"""

from dataclasses import dataclass
from typing import Final

from gateway.wire.route import Pointer

EVERY: Final = "*"
MAX_FOUND: Final = 100_000


@dataclass(frozen=True, slots=True)
class Misfit:
    """The document has another shape than the pointer expects; `at` is the part that could not be followed."""

    at: Pointer


def parse(text: str) -> Pointer:
    """`/a/b~1c/*` in parts; the empty text is the whole document. ValueError where it does not begin with `/`."""
    if not text:
        return ()
    if not text.startswith("/"):
        message = f"{text!r}: a pointer begins with '/'"
        raise ValueError(message)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def find(document: object, pointer: Pointer, *, most: int = MAX_FOUND) -> list[object] | Misfit:
    """Every value the pointer leads to, nulls at its end included; a null or nothing on the way is "not there".

    Misfit where a part meets a number, a text or the wrong kind of container, or where more than `most` are found.
    """
    value = document
    for part in pointer:
        if type(value) is not dict:
            return _find(document, pointer, most)
        if part not in value:
            return []
        value = value[part]
    return [value]


def _find(document: object, pointer: Pointer, most: int) -> list[object] | Misfit:
    """What `find` does where more than objects stand on the way."""
    found: list[object] = [document]
    for depth, part in enumerate(pointer):
        deeper: list[object] = []
        for value in found:
            if value is None:
                continue
            if part == EVERY and isinstance(value, list):
                deeper.extend(value)
            elif isinstance(value, dict):
                if part in value:
                    deeper.append(value[part])
            elif isinstance(value, list) and part.isascii() and part.isdigit():
                if int(part) < len(value):
                    deeper.append(value[int(part)])
            else:
                return Misfit(pointer[: depth + 1])
        if len(deeper) > most:
            return Misfit(pointer[: depth + 1])
        found = deeper
    return found
