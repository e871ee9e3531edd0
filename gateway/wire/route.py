"""Routes: which call goes where, what it costs and how its end is read. Immutable, compiled from `routes.yaml`.

Knows HTTP words, does no I/O. Matching works on the raw request target: what is matched is byte for byte what is
forwarded, so the gateway can never price one path and the upstream serve another.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

# A JSON pointer in parts; the part `*` stands for every element of a list.
Pointer: TypeAlias = tuple[str, ...]


class Source(StrEnum):
    """Where in a request a value is found."""

    JSON = "json"  # the JSON body
    FORM = "form"  # a field of a multipart or urlencoded body
    FORM_JSON = "form_json"  # a JSON document inside such a field
    HEADER = "header"
    QUERY = "query"
    FIXED = "fixed"  # the route itself says it
    HIDDEN = "hidden"  # nothing in the request tells it
    READER = "reader"  # the named reader of `wire.readers` says it, from form fields or from the object at the pointer


@dataclass(frozen=True, slots=True)
class Where:
    """How to read one value of a request. `name` is a field, header, query or reader name; `value` what FIXED gives."""

    source: Source
    name: str = ""
    pointer: Pointer = ()
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """True where the text found begins with `starts_with`; None: where a switch is found that is on."""

    where: Where
    starts_with: str | None


@dataclass(frozen=True, slots=True)
class SavedAt:
    """Where a saved configuration can be read: GET `path`, with `{id}` filled in, from `upstream`.

    `modes` lead to the modes in the reply: that of the price which names the configuration first, then those of further
    parts.
    """

    upstream: str
    path: str
    modes: tuple[Pointer, ...]


@dataclass(frozen=True, slots=True)
class ExtraPart:
    """A further price per unit: `product`'s rate for the mode found, or for the call's own mode where none is sent.

    Left out where `unless` is true, or where the call's own mode is one of `unless_modes`. `saved`, `saved_at` and
    `modes`: see `Metered`; `default_mode`, where there is one, stands in for the call's own mode. `mode_in_saved` leads
    to this part's mode in the saved configuration that the call's own mode was read from.
    """

    product: str
    mode: Where
    unless: Condition | None = None
    unless_modes: frozenset[str] = frozenset()
    saved: Where | None = None
    modes: tuple[str, ...] = ()
    default_mode: str | None = None
    saved_at: SavedAt | None = None
    mode_in_saved: Pointer | None = None


@dataclass(frozen=True, slots=True)
class AddOn:
    """The product's add-on `name` is paid on every unit where `when` is true."""

    name: str
    when: Condition


@dataclass(frozen=True, slots=True)
class CountPages:
    """The pages of the PDF in a form's file field are counted before the call is admitted.

    Of files up to `max_bytes`, within `within_ms`; others are expected to have the usual number of units.
    """

    field: str
    max_bytes: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Units:
    """How many units a call is expected and at least to use. Equal numbers make the quote exact.

    `each` leads to a list: the numbers hold for each of its things. `pages` leads to a list of selected pages, counted
    from `first_page`, and `at_most` to a number: no more than these are expected. With `exact` what is expected after
    that is what the call costs; so too where `count_pages` has found the number of pages.
    """

    expected: int
    at_least: int
    each: Where | None = None
    pages: Where | None = None
    first_page: int = 1
    at_most: Where | None = None
    exact: bool = False
    count_pages: CountPages | None = None

    @property
    def fixed(self) -> bool:
        """Whether every call of the route is quoted the same number."""
        return self.each is None and self.pages is None and self.at_most is None and self.count_pages is None


class OnDisconnect(StrEnum):
    """What the end of a call costs whose caller has gone."""

    FOLLOW = "follow"  # read on to the upstream's end and charge as if the caller were there
    DELIVERED = "delivered"  # stop the upstream, charge what is known to be delivered, else the quote
    FREE = "free"  # stop the upstream, release


class AtEnd(StrEnum):
    """How a stream ends whose caller has no credits left."""

    EVENT = "event"  # a last server-sent event tells, and the reply ends as it should; what is no such stream is cut
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class StreamUnits:
    """How units are counted in an answer while it passes; exactly one of `pointer`, `events` and `bytes_each` is set.

    `pointer` leads to a number in the JSON of each server-sent event, which adds up, or with `running_total` is the sum
    so far. `events`: each event with data is one unit. `bytes_each`: so many bytes of the body, once begun, are one.
    """

    pointer: Pointer | None = None
    running_total: bool = False
    events: bool = False
    bytes_each: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is metered while it passes: its hold grows by `top_up` units at a time as units flow."""

    units: StreamUnits
    top_up: int
    at_end: AtEnd = AtEnd.EVENT


class Overrun(StrEnum):
    """What a true cost above the hold does."""

    CHARGE = "charge"
    CAP = "cap"


@dataclass(frozen=True, slots=True)
class Metered:
    """The credit-consuming part of a route. `starts_job` names the job kind that a 2xx reply opens.

    `saved` finds the name of a configuration that the upstream keeps: where that is sent and no mode is, the saved
    configuration says the mode. `saved_at` is where it can be asked; None, or no mode told: the dearest is quoted.
    `modes` are those of the card that this route knows, empty: all. `default_mode` is what no mode means, None: the
    card's default. `job_parameter` is the path parameter with the id of the job that is started, None: the reply says
    it. `charged_classes` are the hundreds of the reply statuses that are charged; every other outcome is free. With
    `stream` what is delivered is what is charged.
    """

    product: str
    mode: Where
    units: Units
    extra_parts: tuple[ExtraPart, ...] = ()
    add_ons: tuple[AddOn, ...] = ()
    saved: Where | None = None
    modes: tuple[str, ...] = ()
    default_mode: str | None = None
    job_parameter: str | None = None
    charged_classes: frozenset[int] = frozenset({2, 3})
    starts_job: str | None = None
    on_disconnect: OnDisconnect = OnDisconnect.FOLLOW
    overrun: Overrun = Overrun.CAP
    saved_at: SavedAt | None = None
    stream: Stream | None = None


class JobUse(StrEnum):
    """What a route does with the job named in its path."""

    POLL = "poll"
    RESULT = "result"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class JobRef:
    """A route about an existing job: `parameter` is the path parameter with its id.

    `unknown_forwarded`: where the upstream keeps accounts apart, it is asked about jobs that were started elsewhere.
    """

    kind: str
    use: JobUse
    parameter: str = "job_id"
    unknown_forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of `routes.yaml`. `metered` None: a free route. `limit` None: not rate limited.

    `resource`: names a thing of the upstream that accounts must be kept apart on (a list, a file, a result), so it is
    off where the upstream says that it isolates by nothing.
    """

    name: str
    method: str
    pattern: str
    upstream: str
    limit: str | None = "requests"
    metered: Metered | None = None
    job: JobRef | None = None
    max_body_bytes: int = 1_048_576
    resource: bool = False


class Delivery(StrEnum):
    """What a job's final status means for its cost."""

    CHARGED = "charged"
    STOPPED = "stopped"  # charged by what the upstream tells; nothing where it tells nothing
    FREE = "free"


@dataclass(frozen=True, slots=True)
class ReplyCondition:
    """True where the text found in a reply begins with `starts_with`; JSON's true and false count as those words."""

    pointer: Pointer
    starts_with: str


@dataclass(frozen=True, slots=True)
class CostSource:
    """One place where a job's cost may be found, tried in order.

    `path` None: in the poll's own reply; else a further GET with `{job_id}` and `{account_id}` filled in. Exactly one
    of `credits` (sum of the numbers found), `units` (their count, or the number itself) and `free_if_zero` (a number or
    a list: nothing delivered costs nothing, anything else tells nothing) is set. Finding nothing, or null, means "not
    yet known". A source is left out where `only_if` is false or `unless` is true of the poll's reply.

    `each` finds ids in the poll's reply: the GET is made for each of them, in place of `{job_id}`, and their costs are
    added up. Without a `*` it finds the job that the polled thing saw last, which may be another call's: such a job is
    charged to one call only, and a call that cannot know its own costs its quote. `free_if` of the document that would
    tell the cost: the job was free. `wait`: finding nothing means that the cost is still to be written there, so that
    the less trusted places behind this one are not asked yet.
    """

    path: str | None = None
    credits: Pointer | None = None
    units: Pointer | None = None
    only_if: ReplyCondition | None = None
    unless: ReplyCondition | None = None
    each: Pointer | None = None
    free_if: ReplyCondition | None = None
    wait: bool = False
    free_if_zero: Pointer | None = None


@dataclass(frozen=True, slots=True)
class JobKind:
    """How a kind of job is followed: where its id, status and cost are found, and how long it may take.

    `id` with a `*` finds the ids of several jobs that one reply opens: they share the hold. `statuses` maps final
    statuses, upper-cased; any other status is "still running". `billed_mode` leads to the mode that the job ran in.
    """

    name: str
    upstream: str
    id: Pointer
    poll_path: str
    status: Pointer
    statuses: Mapping[str, Delivery]
    costs: tuple[CostSource, ...]
    limit_ms: int
    billed_mode: Pointer | None = None


class Match(NamedTuple):
    """A route and the raw values of its path parameters."""

    route: Route
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadPath:
    """A path that two parsers could read differently; never forwarded."""

    reason: str


# What two parsers could read differently: empty and dot segments, `\\`, `;`, `#`, broken escapes, escaped slashes and
# controls, escapes that need no escaping (RFC 3986 section 2.3: a normaliser decodes them), escapes of an escape of
# these, bytes that are no UTF-8 (overlong forms), and everything outside printable ASCII.
_SUSPICIOUS: Final = re.compile(
    rb"[^!-\"$-:<-\[\]-~]|/(?:/|\.{1,2}(?:/|$))"
    rb"|%(?:(?![0-9A-Fa-f]{2})|(?:25)*(?:[01][0-9A-Fa-f]|2[dDeEfF]|5[cC]|7[fF])"
    rb"|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe]|[cC][01]|[fF][5-9A-Fa-f])"
)
_PARAMETER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(\.\.\.)?\}")


def bad_path(path: bytes) -> BadPath | None:
    """Why a raw path is refused, or None. The table of tricks is in tests/wire/test_route.py."""
    if not path.startswith(b"/"):
        return BadPath("the path must begin with '/'")
    if found := _SUSPICIOUS.search(path):
        return BadPath(f"the path may not contain {found.group().decode('latin-1')!r}")
    return None


def bad_pattern(pattern: str) -> str | None:
    """What is wrong with a route's pattern, in words; None where nothing is."""
    if not pattern.startswith("/"):
        return "the path must begin with '/'"
    segments, names = pattern[1:].split("/"), list[str]()
    for at, segment in enumerate(segments):
        if found := _PARAMETER.fullmatch(segment):
            if found.group(1) in names:
                return f"the parameter '{found.group(1)}' stands there twice"
            if found.group(2) and at != len(segments) - 1:
                return f"'{segment}' takes the rest of the path, so it must come last"
            names.append(found.group(1))
        elif "{" in segment or "}" in segment:
            return f"'{segment}' must be literal text, '{{name}}' or at the end '{{name...}}'"
        elif not segment:
            return "the path has an empty segment"
    if bad := bad_path(_PARAMETER.sub("x", pattern).encode()):
        return bad.reason
    return None


def pattern_parameters(pattern: str) -> tuple[str, ...]:
    """The names of a pattern's parameters, in order."""
    return tuple(found.group(1) for found in _PARAMETER.finditer(pattern))


class _Node:
    """One path segment of the tree. Literals win over a parameter; a tail takes the rest of the path."""

    __slots__ = ("literals", "parameter", "routes", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}
        self.tails: dict[str, tuple[Route, tuple[str, ...]]] = {}


class OverlappingRoutes(ValueError):
    """Two routes would match the same call."""

    def __init__(self, first: Route, second: Route) -> None:
        super().__init__(f"{second.method} {second.pattern} matches the same calls as {first.method} {first.pattern}")
        self.first, self.second = first, second


class RouteTable:
    """All routes, by method and path. A pattern's segment is literal text, `{name}`, or at the end `{name...}`.

    Patterns are those that `bad_pattern` finds nothing wrong with. Literals win over a parameter, a parameter over a
    tail, segment by segment from the left; a value is never empty. OverlappingRoutes where two are equal in all that.
    """

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, list[str]()
        for segment in route.pattern[1:].split("/"):
            if found := _PARAMETER.fullmatch(segment):
                names.append(found.group(1))
                if found.group(2):
                    self._put(node.tails, route, tuple(names))
                    return
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        self._put(node.routes, route, tuple(names))

    @staticmethod
    def _put(place: dict[str, tuple[Route, tuple[str, ...]]], route: Route, names: tuple[str, ...]) -> None:
        if route.method in place:
            raise OverlappingRoutes(place[route.method][0], route)
        place[route.method] = (route, names)

    def match(self, method: str, path: str) -> Match | None:
        """The route of a call, or None. `path` is the raw path that `bad_path` let through."""
        segments = path[1:].split("/")
        values: list[str] = []
        found = self._straight(method, segments, values)
        if found is None:
            values.clear()
            found = self._find(self._root, method, segments, 0, values)
        if found is None:
            return None
        route, names = found
        return Match(route, dict(zip(names, values, strict=True)))

    def _straight(self, method: str, segments: list[str], values: list[str]) -> tuple[Route, tuple[str, ...]] | None:
        """The route that the first choice at every segment leads to, what `_find` would find first; mostly there is."""
        node = self._root
        for segment in segments:
            literal = node.literals.get(segment)
            if literal is not None:
                node = literal
            elif node.parameter is None or not segment or "%" in segment:
                return None
            else:
                values.append(segment)
                node = node.parameter
        return node.routes.get(method)

    def _find(
        self, node: _Node, method: str, segments: list[str], at: int, values: list[str]
    ) -> tuple[Route, tuple[str, ...]] | None:
        if at == len(segments):
            return node.routes.get(method)
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal is not None and (found := self._find(literal, method, segments, at + 1, values)):
            return found
        if "%" in segment and unquote(segment) in node.literals:
            return None  # the upstream would read it as the literal, which may cost more than the parameter's route
        if node.parameter is not None and segment:
            values.append(segment)
            if found := self._find(node.parameter, method, segments, at + 1, values):
                return found
            values.pop()
        if (segment or at < len(segments) - 1) and (tail := node.tails.get(method)):
            values.append("/".join(segments[at:]))
            return tail
        return None
