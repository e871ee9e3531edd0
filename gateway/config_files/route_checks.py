"""Checks of routes.yaml by itself: what only a look at a whole entry, or at two routes, can tell."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from gateway.config_files.judge import did_you_mean
from gateway.config_files.routes_file import read_from
from gateway.config_files.routes_shape import (
    ConditionShape,
    CountPagesShape,
    JobKindShape,
    RoutesFile,
    RouteShape,
    SavedShape,
    StreamShape,
    WhereShape,
)
from gateway.config_files.yaml_source import ValuePath, YamlSource
from gateway.wire.readers import READERS
from gateway.wire.route import bad_path, bad_pattern, pattern_parameters
from gateway.wire.saved_configuration import shape_of

_KEY: Final = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\S+)")
_PLACEHOLDER: Final = re.compile(r"\{([^}]*)\}")
_ONLY_WITH_PRODUCT: Final = (
    "mode",
    "modes",
    "default_mode",
    "saved_configuration",
    "units",
    "also",
    "add_ons",
    "starts_job",
    "job_parameter",
    "charged",
    "on_disconnect",
    "overrun",
    "stream",
)


def check_routes(file: RoutesFile, source: YamlSource) -> None:
    """Patterns, overlaps, and settings that contradict each other."""
    for name, kind in file.job_kinds.items():
        _check_job_kind(("job_kinds", name), kind, source)
    seen: dict[tuple[str, str], str] = {}
    readable = read_from(file)
    for key, route in file.routes.items():
        here = ("routes", key)
        found = _KEY.fullmatch(key)
        bad = bad_pattern(found.group(2)) if found else "must be a method and a path, such as POST /api/v2/parse"
        if found is None or bad is not None:
            source.report(here, str(bad), at_key=True)
        else:
            shape = (found.group(1), _PLACEHOLDER.sub(lambda name: "{...}" if "..." in name.group() else "{}", key))
            if shape in seen:
                line = source.line(("routes", seen[shape]))
                source.report(here, f"matches the same calls as '{seen[shape]}' on line {line}", at_key=True)
            seen.setdefault(shape, key)
            if route.job is not None and route.job.parameter not in pattern_parameters(found.group(2)):
                sentence = f"the path has no parameter '{{{route.job.parameter}}}' for the job's id"
                source.report((*here, "job"), sentence)
            if route.job_parameter is not None and route.job_parameter not in pattern_parameters(found.group(2)):
                sentence = f"the path has no parameter '{{{route.job_parameter}}}' for the job's id"
                source.report((*here, "job_parameter"), sentence)
        _check_metering(here, route, source)
        _check_saved(here, route, readable, source)


def _check_metering(here: ValuePath, route: RouteShape, source: YamlSource) -> None:
    if route.product is None:
        for setting in _ONLY_WITH_PRODUCT:
            if setting in route.model_fields_set:
                source.report((*here, setting), "has no meaning without a product", at_key=True)
    else:
        for setting in ("mode", "units"):
            if getattr(route, setting) is None:
                source.report((*here, setting), f"is missing: the route costs credits of {route.product}", at_key=True)
        if route.job is not None:
            source.report((*here, "job"), "a route about a running job is free: it takes no product", at_key=True)
    if route.units is not None and route.units.at_least > route.units.expected:
        source.report((*here, "units", "at_least"), f"must be at most what is expected, {route.units.expected}")
    if route.stream is not None:
        _check_stream((*here, "stream"), route, route.stream, source)
    places = _places(route)
    for path, where in places.items():
        if where is not None:
            _check_place((*here, *path), where, source)
    if route.units is not None and route.units.count_pages is not None:
        _check_counting((*here, "units", "count_pages"), route.units.count_pages, places.values(), source)


def _check_stream(here: ValuePath, route: RouteShape, stream: StreamShape, source: YamlSource) -> None:
    units = stream.units
    if sum(one is not None for one in (units.json_, units.events, units.bytes_)) != 1:
        source.report((*here, "units"), "must say one of json, events and bytes: what is counted", at_key=True)
    if units.running_total and units.json_ is None:
        source.report((*here, "units", "running_total"), "is for a number in json", at_key=True)
    if route.starts_job is not None:
        source.report(here, "a call that starts a job is charged by the job, not by its answer", at_key=True)


def _check_counting(
    here: ValuePath, counted: CountPagesShape, places: Iterable[WhereShape | None], source: YamlSource
) -> None:
    read = [where for where in places if where is not None]
    if any(where.json_ is not None and where.form is None for where in read):
        sentence = "counts the file of a form, and the route reads a JSON body: its places must say form"
        source.report(here, sentence, at_key=True)
    if counted.field in {where.form for where in read}:
        source.report((*here, "field"), f"the form field '{counted.field}' is read as a text elsewhere in the route")


def _places(route: RouteShape) -> dict[ValuePath, WhereShape | None]:
    """Every place of the request that a route looks at, by where it stands in the route."""
    places: dict[ValuePath, WhereShape | None] = {
        ("mode",): route.mode,
        ("saved_configuration",): route.saved_configuration,
        **{("add_ons", name): condition for name, condition in route.add_ons.items()},
    }
    for at, part in enumerate(route.also):
        places |= {
            ("also", at, "mode"): part.mode,
            ("also", at, "unless"): part.unless,
            ("also", at, "saved_configuration"): part.saved_configuration,
        }
    if route.units is not None:
        units = route.units
        places |= {("units", "each"): units.each, ("units", "pages"): units.pages, ("units", "at_most"): units.at_most}
    return places


def _check_place(path: ValuePath, where: WhereShape, source: YamlSource) -> None:
    given = {name for name in WhereShape.model_fields if getattr(where, name) is not None}
    if len(given) != 1 and given not in ({"json_", "form"}, {"json_", "reader"}):
        sentence = "must name one place: json, form, header, query or fixed (or form and json: JSON in a form field)"
        source.report(path, sentence, at_key=True)
    for setting in ("reader", "hidden"):
        if getattr(where, setting) is not None and path[-1] != "mode":
            source.report((*path, setting), "is for a mode, nothing else", at_key=True)
    if where.reader is not None and where.reader not in READERS:
        sentence = f"there is no reader '{where.reader}'{did_you_mean(where.reader, READERS)}"
        source.report((*path, "reader"), sentence)
    if isinstance(where, ConditionShape) and (where.starts_with is None) == (where.switched_on is None):
        source.report(path, "must say either starts_with or switched_on: true", at_key=True)


def _check_saved(here: ValuePath, route: RouteShape, readable: Collection[str], source: YamlSource) -> None:
    """Saved configurations: what is read, from where, and what is in it."""
    own = route.saved_configuration
    saved: list[tuple[ValuePath, SavedShape | None]] = [((*here, "saved_configuration"), own)]
    for at, part in enumerate(route.also):
        saved.append(((*here, "also", at, "saved_configuration"), part.saved_configuration))
        if part.mode_in_saved is not None and (own is None or own.get is None):
            sentence = "needs the route's own saved_configuration, with a `get`"
            source.report((*here, "also", at, "mode_in_saved"), sentence, at_key=True)
    for path, shape in saved:
        if shape is None:
            continue
        if (shape.get is None) != (shape.mode is None):
            sentence = "must say both or neither of get and mode: where it is read, and where the mode is in there"
            source.report(path, sentence, at_key=True)
        if shape.get is not None:
            _check_get((*path, "get"), shape.get, readable, source)


def _check_get(path: ValuePath, template: str, readable: Collection[str], source: YamlSource) -> None:
    if _PLACEHOLDER.findall(template.partition("?")[0]) != ["id"] or _PLACEHOLDER.findall(template) != ["id"]:
        source.report(path, "must hold {id} once, in the path, and nothing else in braces")
    elif bad := bad_path(_PLACEHOLDER.sub("x", template).partition("?")[0].encode()):
        source.report(path, bad.reason)
    elif shape_of(template) not in readable:
        source.report(path, f"there is no route 'GET {template}' that says which upstream tells it")


def _check_job_kind(here: ValuePath, kind: JobKindShape, source: YamlSource) -> None:
    charged, stopped, free = ({status.upper() for status in those} for those in (kind.charged, kind.stopped, kind.free))
    for status in sorted(charged & free):
        source.report((*here, "free"), f"'{status}' is charged too")
    for status in sorted(stopped & (charged | free)):
        source.report((*here, "stopped"), f"'{status}' is charged or free too")
    _check_path((*here, "poll"), kind.poll, source)
    for at, cost in enumerate(kind.cost):
        place = (*here, "cost", at)
        if sum(one is not None for one in (cost.credits, cost.units, cost.free_if_zero)) != 1:
            source.report(place, "must say either credits or units (or free_if_zero): where the number is found")
        if cost.each is not None and cost.get is None:
            source.report((*place, "each"), "needs a `get`: the call that is made for each id", at_key=True)
        if cost.get is not None:
            _check_path((*place, "get"), cost.get, source)


def _check_path(path: ValuePath, template: str, source: YamlSource) -> None:
    placeholders = set(_PLACEHOLDER.findall(template))
    if "job_id" not in placeholders:
        source.report(path, "must hold {job_id}")
    for unknown in sorted(placeholders - {"job_id", "account_id"}):
        source.report(path, f"holds {{{unknown}}}; only {{job_id}} and {{account_id}} are known")
    if bad := bad_path(_PLACEHOLDER.sub("x", template).partition("?")[0].encode()):
        source.report(path, bad.reason)
