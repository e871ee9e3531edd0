"""routes.yaml: what it may say. What is made of it stands in `routes_file`."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.config_files.shape import (
    Bytes,
    DurationMs,
    Flag,
    JsonPointer,
    Name,
    OptionalText,
    Shape,
    Text,
    Whole,
)
from gateway.wire.route import (
    AtEnd,
    JobUse,
    OnDisconnect,
    Overrun,
)

DEFAULT_MAX_BODY_BYTES: Final = 2**20
MAX_UNITS: Final = 1_000_000
NO_LIMIT: Final = "none"


class WhereShape(Shape):
    """Where a value of the request is found: one of these, or `form` and `json` for JSON inside a form field.

    A `reader` looks at the form's fields, or with `json` at those of the object there.
    """

    json_: Annotated[JsonPointer | None, Field(alias="json")] = None
    """A JSON pointer into the body."""
    form: OptionalText = None
    """A form field."""
    header: OptionalText = None
    query: OptionalText = None
    fixed: OptionalText = None
    """The same for every call."""
    hidden: Literal[True] | None = None
    """A mode that no call tells: the dearest is held."""
    reader: OptionalText = None
    """A mode that stands in no single place: the name of a reader of `gateway.wire.readers`."""


class SavedShape(WhereShape):
    """Where a saved configuration is named, and where the service tells what is in it."""

    get: OptionalText = None
    """The path it is read from, with {id}; a GET route of this file says which upstream that is. Left out: not read."""
    mode: JsonPointer | None = None
    """Where the mode is in the reply."""


class ConditionShape(WhereShape):
    """A value of the request that begins with a text, or a switch that is on."""

    starts_with: OptionalText = None
    switched_on: Literal[True] | None = None


class ReplyConditionShape(Shape):
    """A value of a reply that begins with a text; JSON's true and false count as those words."""

    json_: Annotated[JsonPointer, Field(alias="json")]
    starts_with: Text


class PagesShape(WhereShape):
    """A selection of pages: `"1,3,5-8"`, or a list of numbers."""

    first_page: Annotated[Whole, Field(ge=0, le=1)] = 1
    """The number of a document's first page, 0 or 1."""


class CountPagesShape(Shape):
    """The pages of an uploaded PDF are counted first, so that the quote is exact."""

    field: Text
    """The form field that the file is in."""
    max_bytes: Annotated[Bytes, Field(ge=1, le=2**29)] = 64 * 2**20
    """Longer files are not counted: they are expected to have the usual number of units."""
    within: Annotated[DurationMs, Field(ge=10, le=30_000)] = 2_000
    """How long counting may take, others that are counted before it included."""


class UnitsShape(Shape):
    """How many units a call is expected and at least to use; equal numbers make its quote exact."""

    expected: Annotated[Whole, Field(ge=1, le=MAX_UNITS)]
    at_least: Annotated[Whole, Field(ge=0, le=MAX_UNITS)] = 1
    each: WhereShape | None = None
    """A list: the numbers hold for each of its things."""
    pages: PagesShape | None = None
    """Where pages are selected: no more than these are expected."""
    at_most: WhereShape | None = None
    """Where a number is sent that bounds what is expected."""
    exact: Flag = False
    """What is expected, bounded by `pages` and `at_most`, is what the call costs."""
    count_pages: CountPagesShape | None = None
    """Count the pages of an uploaded PDF before the call is admitted."""


class StreamUnitsShape(Shape):
    """What is counted in an answer while it passes: one of `json`, `events` and `bytes`."""

    json_: Annotated[JsonPointer | None, Field(alias="json")] = None
    """A number in the JSON of each server-sent event; they add up."""
    running_total: Flag = False
    """The number is the sum so far."""
    events: Literal[True] | None = None
    """Each server-sent event with data is one unit."""
    bytes_: Annotated[Bytes | None, Field(alias="bytes", ge=256)] = None
    """So many bytes of the body, once begun, are one unit."""


class StreamShape(Shape):
    """An answer that is metered while it passes: what is delivered is what is charged."""

    units: StreamUnitsShape
    top_up: Annotated[Whole, Field(ge=1, le=MAX_UNITS)] = 10
    """By how many units the hold grows when more flow than it pays for."""
    at_end: AtEnd = AtEnd.EVENT
    """How a stream ends when the credits do: with a last event that says so, or cut."""


class ExtraPartShape(Shape):
    """A further price per unit, from another product of the rate card."""

    product: Text
    mode: WhereShape
    """The call's own mode is taken where none is sent here."""
    unless: ConditionShape | None = None
    unless_modes: tuple[Text, ...] = ()
    saved_configuration: SavedShape | None = None
    mode_in_saved: JsonPointer | None = None
    """Where the call's own saved configuration tells this part's mode."""
    modes: tuple[Text, ...] = ()
    """Those of the product's modes that may stand here; left out: all."""
    default_mode: OptionalText = None
    """The mode where none is sent; left out: the call's own."""


class JobRefShape(Shape):
    """The job that a route is about."""

    kind: Text
    use: JobUse
    parameter: Text = "job_id"
    unknown: Literal["refuse", "forward"] = "refuse"
    """A job that the gateway has not seen start: 404, or asked for where the upstream isolates by headers."""


class RouteShape(Shape):
    """One route. With a `product` it consumes credits, without it is free."""

    upstream: Text
    limit: Text = "requests"
    """The named rate limit that counts it; `none`: not limited."""
    max_body: Annotated[Bytes, Field(ge=0)] = DEFAULT_MAX_BODY_BYTES
    resource: Flag | None = None
    """Names a thing of the upstream that accounts must be kept apart on; true for free routes without a job."""
    job: JobRefShape | None = None
    product: OptionalText = None
    mode: WhereShape | None = None
    saved_configuration: SavedShape | None = None
    """Where a saved configuration is named that decides the mode where none is sent; untold, the dearest is quoted."""
    modes: tuple[Text, ...] = ()
    """Those of the product's modes that this route knows; left out: all."""
    default_mode: OptionalText = None
    """The mode of a call that sends none; left out: the rate card's."""
    units: UnitsShape | None = None
    also: tuple[ExtraPartShape, ...] = ()
    """Further prices per unit."""
    add_ons: Mapping[Text, ConditionShape] = Field(default_factory=dict)
    """Add-ons of the product, each with the condition under which a call has it."""
    starts_job: OptionalText = None
    job_parameter: OptionalText = None
    """The path parameter with the id of the job that is started; left out: the reply says it."""
    charged: tuple[Literal["2xx", "3xx", "4xx", "5xx"], ...] | None = None
    """Replies that are charged (2xx and 3xx where left out); all others are free."""
    on_disconnect: OnDisconnect | None = None
    overrun: Overrun | None = None
    """What a true cost above the hold does; where left out: `charge` for jobs, else `cap`."""
    stream: StreamShape | None = None
    """The answer is metered while it passes, and its hold grows meanwhile."""


class CostShape(Shape):
    """One place where a job's cost may be found: in credits, or in units of the quoted price."""

    get: OptionalText = None
    """A further call; left out: the poll's own reply."""
    credits: JsonPointer | None = None
    units: JsonPointer | None = None
    only_if: ReplyConditionShape | None = None
    """Of the poll's reply: this place counts only then."""
    unless: ReplyConditionShape | None = None
    each: JsonPointer | None = None
    """Ids in the poll's reply: the further call is made for each, in place of {job_id}, and their costs are added."""
    free_if: ReplyConditionShape | None = None
    """Of the reply that would tell the cost: the job was free."""
    wait: Flag = False
    """Nothing found here means not yet known: the places behind are asked only when waiting has lasted too long."""
    free_if_zero: JsonPointer | None = None
    """A number, or a list, of what was delivered: none, and the job was free; else this place tells no cost."""


class JobKindShape(Shape):
    """How jobs of one kind are followed."""

    upstream: Text
    id: JsonPointer = ("id",)
    """In the reply that starts the job; with a `*` the ids of several jobs, which share the hold."""
    poll: Text
    status: JsonPointer
    charged: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Final statuses that cost what the job delivered."""
    stopped: tuple[Text, ...] = ()
    """Final statuses of jobs that were stopped midway: they cost what the service tells, nothing where it does not."""
    free: tuple[Text, ...] = ()
    """Final statuses that cost nothing."""
    cost: tuple[CostShape, ...] = ()
    """Tried in order; nothing found: the quote is charged."""
    limit: Annotated[DurationMs, Field(ge=1_000, le=7 * 86_400_000)] = 30 * 60_000
    """How long a job may take."""
    billed_mode: JsonPointer | None = None
    """In the poll's reply: the mode that the job ran in."""


class RoutesFile(Shape):
    """Job kinds, and routes by method and path."""

    job_kinds: Mapping[Name, JobKindShape] = Field(default_factory=dict)
    routes: Annotated[Mapping[Text, RouteShape], Field(min_length=1)]
