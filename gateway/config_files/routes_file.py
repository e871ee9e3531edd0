"""The routes and job kinds that are made from routes.yaml.

What its shape cannot say is checked in `route_checks`, what needs the other files in `cross_checks`.
"""

from collections.abc import Mapping, Sequence

from gateway.config_files.routes_shape import (
    NO_LIMIT,
    ConditionShape,
    CostShape,
    CountPagesShape,
    ExtraPartShape,
    JobRefShape,
    ReplyConditionShape,
    RoutesFile,
    RouteShape,
    SavedShape,
    StreamShape,
    UnitsShape,
    WhereShape,
)
from gateway.wire.route import (
    AddOn,
    Condition,
    CostSource,
    CountPages,
    Delivery,
    ExtraPart,
    JobKind,
    JobRef,
    Metered,
    OnDisconnect,
    Overrun,
    Pointer,
    ReplyCondition,
    Route,
    SavedAt,
    Source,
    Stream,
    StreamUnits,
    Units,
    Where,
)
from gateway.wire.saved_configuration import shape_of


def job_kinds(file: RoutesFile) -> dict[str, JobKind]:
    """The job kinds of the wire."""
    return {
        name: JobKind(
            name=name,
            upstream=kind.upstream,
            id=kind.id,
            poll_path=kind.poll,
            status=kind.status,
            statuses={status.upper(): Delivery.CHARGED for status in kind.charged}
            | {status.upper(): Delivery.STOPPED for status in kind.stopped}
            | {status.upper(): Delivery.FREE for status in kind.free},
            costs=tuple(_cost(cost) for cost in kind.cost),
            limit_ms=kind.limit,
            billed_mode=kind.billed_mode,
        )
        for name, kind in file.job_kinds.items()
    }


def routes(file: RoutesFile) -> tuple[Route, ...]:
    """The routes of the wire, in the order of the file."""
    readable = read_from(file)
    return tuple(_route(key, shape, readable) for key, shape in file.routes.items())


def read_from(file: RoutesFile) -> dict[str, str]:
    """The upstreams that things are read from, by the shape of their path."""
    keys = {key: key.partition(" ") for key in file.routes}
    return {shape_of(path): file.routes[key].upstream for key, (method, _, path) in keys.items() if method == "GET"}


def _route(key: str, shape: RouteShape, readable: Mapping[str, str]) -> Route:
    method, _, pattern = key.partition(" ")
    metered = _metered(shape, readable)
    # What a metered path names, such as an index, is some account's too.
    is_resource = "{" in pattern if metered is not None else shape.job is None
    return Route(
        name=key,
        method=method,
        pattern=pattern,
        upstream=shape.upstream,
        limit=None if shape.limit == NO_LIMIT else shape.limit,
        metered=metered,
        job=None if shape.job is None else _job_ref(shape.job),
        max_body_bytes=shape.max_body,
        resource=is_resource if shape.resource is None else shape.resource,
    )


def _metered(shape: RouteShape, readable: Mapping[str, str]) -> Metered | None:
    if shape.product is None or shape.mode is None or shape.units is None:
        return None
    overrun = shape.overrun or (Overrun.CHARGE if shape.starts_job else Overrun.CAP)
    return Metered(
        product=shape.product,
        mode=_where(shape.mode),
        units=_units(shape.units),
        extra_parts=tuple(_extra_part(part, readable) for part in shape.also),
        add_ons=tuple(AddOn(name, _condition(when)) for name, when in shape.add_ons.items()),
        saved=_optional_where(shape.saved_configuration),
        modes=shape.modes,
        default_mode=shape.default_mode,
        job_parameter=shape.job_parameter,
        charged_classes=frozenset({2, 3} if shape.charged is None else (int(one[0]) for one in shape.charged)),
        starts_job=shape.starts_job,
        on_disconnect=shape.on_disconnect or OnDisconnect.FOLLOW,
        overrun=overrun,
        saved_at=_saved_at(shape.saved_configuration, [part.mode_in_saved for part in shape.also], readable),
        stream=None if shape.stream is None else _stream(shape.stream),
    )


def _stream(shape: StreamShape) -> Stream:
    units = shape.units
    counted = StreamUnits(
        pointer=units.json_,
        running_total=units.running_total,
        events=units.events is not None,
        bytes_each=units.bytes_,
    )
    return Stream(counted, shape.top_up, shape.at_end)


def _saved_at(
    shape: SavedShape | None, further: Sequence[Pointer | None], readable: Mapping[str, str]
) -> SavedAt | None:
    if shape is None or shape.get is None or shape.mode is None:
        return None
    upstream = readable.get(shape_of(shape.get))
    modes = dict.fromkeys([shape.mode, *(pointer for pointer in further if pointer is not None)])
    return None if upstream is None else SavedAt(upstream, shape.get, tuple(modes))


def _job_ref(shape: JobRefShape) -> JobRef:
    return JobRef(shape.kind, shape.use, shape.parameter, unknown_forwarded=shape.unknown == "forward")


def _extra_part(part: ExtraPartShape, readable: Mapping[str, str]) -> ExtraPart:
    return ExtraPart(
        product=part.product,
        mode=_where(part.mode),
        unless=None if part.unless is None else _condition(part.unless),
        unless_modes=frozenset(part.unless_modes),
        saved=_optional_where(part.saved_configuration),
        modes=part.modes,
        default_mode=part.default_mode,
        saved_at=_saved_at(part.saved_configuration, (), readable),
        mode_in_saved=part.mode_in_saved,
    )


def _units(shape: UnitsShape) -> Units:
    return Units(
        expected=shape.expected,
        at_least=shape.at_least,
        each=_optional_where(shape.each),
        pages=_optional_where(shape.pages),
        first_page=1 if shape.pages is None else shape.pages.first_page,
        at_most=_optional_where(shape.at_most),
        exact=shape.exact,
        count_pages=None if shape.count_pages is None else _count_pages(shape.count_pages),
    )


def _count_pages(shape: CountPagesShape) -> CountPages:
    return CountPages(shape.field, shape.max_bytes, shape.within)


def _condition(shape: ConditionShape) -> Condition:
    return Condition(_where(shape), shape.starts_with)


def _reply_condition(shape: ReplyConditionShape | None) -> ReplyCondition | None:
    return None if shape is None else ReplyCondition(shape.json_, shape.starts_with)


def _optional_where(shape: WhereShape | None) -> Where | None:
    return None if shape is None else _where(shape)


def _where(shape: WhereShape) -> Where:
    if shape.reader is not None:
        return Where(Source.READER, shape.reader, shape.json_ or ())
    if shape.hidden is not None:
        return Where(Source.HIDDEN)
    if shape.json_ is not None:
        if shape.form is not None:
            return Where(Source.FORM_JSON, shape.form, shape.json_)
        return Where(Source.JSON, pointer=shape.json_)
    if shape.form is not None:
        return Where(Source.FORM, shape.form)
    if shape.header is not None:
        return Where(Source.HEADER, shape.header)
    if shape.query is not None:
        return Where(Source.QUERY, shape.query)
    return Where(Source.FIXED, value=shape.fixed)


def _cost(shape: CostShape) -> CostSource:
    return CostSource(
        path=shape.get,
        credits=shape.credits,
        units=shape.units,
        only_if=_reply_condition(shape.only_if),
        unless=_reply_condition(shape.unless),
        each=shape.each,
        free_if=_reply_condition(shape.free_if),
        wait=shape.wait,
        free_if_zero=shape.free_if_zero,
    )
