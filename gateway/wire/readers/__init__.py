"""Readers of modes that stand in no single place of a request. `routes.yaml` points to one by its name.

Owns: wire formats whose mode follows from several fields at once; one file per format.
Does not own: prices. A reader names modes of the rate card, and the rate card may not know them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wire.readers import parse_v1
from gateway.wire.readers.reader import ModeReader

__all__ = ["READERS", "ModeReader"]

READERS: Final[Mapping[str, ModeReader]] = MappingProxyType({"parse_v1_mode": parse_v1.READER})
