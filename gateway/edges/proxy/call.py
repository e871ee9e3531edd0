"""One call as the proxy's log and metrics see it: filled in on the way, written once at the end."""

from collections.abc import Callable
from typing import TypeAlias


class Call:
    """What is known of a call so far. Never the key, the body or a header value."""

    __slots__ = (
        "account_id",
        "charged_millicredits",
        "code",
        "end",
        "held_millicredits",
        "key_id",
        "method",
        "mode",
        "plan_id",
        "product",
        "project_id",
        "request_id",
        "route",
        "started_s",
        "status",
        "took_s",
    )

    def __init__(self, request_id: str, method: str, started_s: float) -> None:
        self.request_id = request_id
        self.method = method
        self.started_s = started_s
        self.took_s = 0.0
        self.status = 0
        self.route = ""
        self.account_id = ""
        self.project_id = ""
        self.key_id = ""
        self.plan_id = ""
        self.product = ""
        self.mode = ""
        self.code = ""
        self.end = ""
        self.held_millicredits = 0
        self.charged_millicredits: int | None = None


Record: TypeAlias = Callable[[Call], None]
