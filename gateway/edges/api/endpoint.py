"""One endpoint of the API, declared once: what is served, checked and documented are this declaration.

Serves nothing itself: `serve` does, behind a `Door` that tells who asks.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.admission import RefusalCode
from gateway.flows.authenticate import Caller
from gateway.wire.headers import Headers
from gateway.wire.problems import Fault, ProblemReply

Document: TypeAlias = Mapping[str, Any]
Code: TypeAlias = Fault | RefusalCode

JSON: Final = "application/json"
READS: Final = frozenset({"GET", "HEAD"})


class Strict(BaseModel):
    """A body or a query: members that nobody knows are refused, nothing is turned into something else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InFileWords(Strict):
    """A body with a part in the words of a configuration file, whose shape is stricter than JSON's types tell."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: an account by one of its keys, or the operator (`caller` None).

    `scope` is whose Idempotency-Keys are used, `actor` what the audit log says. `headers` go on every answer.
    """

    scope: str
    actor: str
    caller: Caller | None = None
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, known and checked. `query` and `body` are of the endpoint's models."""

    request: Request
    request_id: str
    who: Who
    query: Any = None
    body: Any = None

    @property
    def caller(self) -> Caller:
        """The key's account. Only behind the door of accounts."""
        assert self.who.caller is not None, "this endpoint is for accounts"  # noqa: S101
        return self.who.caller

    @property
    def account_id(self) -> str:
        """The key's account."""
        return self.caller.account_id

    @property
    def about_id(self) -> str:
        """The account that is asked about: the key's own, or the one that the operator names."""
        return self.path("account_id") if self.who.caller is None else self.account_id

    @property
    def actor(self) -> str:
        """As the audit log names who asks."""
        return self.who.actor

    def path(self, name: str) -> str:
        """A part of the path."""
        part: str = self.request.path_params[name]
        return part


Answer: TypeAlias = Callable[[Ask], Awaitable[Document | Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`reply` is the type of the JSON answer, `files` are other types of content by media type, as JSON schemas.

    `query_is_read` False: the answer reads the query itself, `query` says what is in it. `more_is_sent`: parameters
    that nobody knows are let be, since LlamaCloud's clients send some; elsewhere behind a door they are refused.
    `edits` gives the document that a change is meant for (no more than what it can change): reads carry its ETag,
    changes may carry it back in If-Match. `whole_key`: not for keys that are for some products only. `problems` are
    those of this endpoint alone.
    """

    method: str
    path: str
    answer: Answer
    summary: str
    tag: str
    reply: Any = None
    status: int = 200
    query: type[BaseModel] | None = None
    query_is_read: bool = True
    more_is_sent: bool = False
    body: type[BaseModel] | None = None
    body_is_read: bool = True
    files: Mapping[str, Document] = field(default_factory=dict)
    other_statuses: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[Code, ...] = ()
    whole_key: bool = False
    edits: Callable[[Ask], Awaitable[Document]] | None = None

    @property
    def changes(self) -> bool:
        """Whether it may change something, so that a repeat must be told from a second wish."""
        return self.method not in READS and self.body_is_read


@dataclass(frozen=True, slots=True)
class Area:
    """Where endpoints about one account hang, and which account that is: the key's own, or the path's.

    `whole_key`: changes there are not for keys that are for some products only.
    """

    base: str
    account_of: Callable[[Ask], str]
    whole_key: bool


class Door(Protocol):
    """Who may come in. `name` of the security scheme, None where everybody may; `problems` of those who may not."""

    @property
    def name(self) -> str | None:
        """The name of the security scheme; None where nobody is asked."""
        ...

    @property
    def problems(self) -> tuple[Code, ...]:
        """What the door itself may answer."""
        ...

    async def who(self, request: Request, request_id: str) -> Who:
        """Who asks. Refuse."""
        ...


class Answered(Exception):
    """An answer that is a problem document already."""

    def __init__(self, reply: ProblemReply) -> None:
        super().__init__(str(reply.status))
        self.reply = reply


class Refuse(Exception):
    """An answer that is a problem, told from wherever it is found out."""

    def __init__(
        self,
        code: Code,
        detail: str | None = None,
        *,
        found: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(str(code))
        self.code = code
        self.detail = detail
        self.found = found or []


def wrong_member(name: str, message: str) -> Refuse:
    """The 422 for a member of the body that is well formed and yet nothing we know."""
    return Refuse(Fault.INVALID_BODY, found=[{"loc": ["body", name], "msg": message, "type": "value_error"}])
