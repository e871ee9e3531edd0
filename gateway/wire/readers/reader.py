"""What a reader is: the fields it looks at, and the modes that their texts name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.wire.unreadable import Unreadable


@dataclass(frozen=True, slots=True)
class ModeReader:
    """`read` is shown those of `fields` that were sent, as texts (switches as `true` and `false`).

    It answers with every mode that they name, in order of precedence; none: the request leaves the mode to the
    service. Several may contradict each other: the dearest is then quoted, since only the service knows which it runs.
    Unreadable has a loc of the field alone.
    """

    fields: frozenset[str]
    read: Callable[[Mapping[str, str]], tuple[str, ...] | Unreadable]
