"""Checks that need more than one file: names that nothing answers to, and prices of nothing."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.config_files.judge import did_you_mean
from gateway.config_files.plans_file import PlansFile
from gateway.config_files.rate_card_file import RateCardFile, product_rates
from gateway.config_files.routes_shape import NO_LIMIT, ExtraPartShape, RoutesFile, RouteShape
from gateway.config_files.yaml_source import ValuePath, YamlSource
from gateway.domain.rate_card import ProductRates


@dataclass(frozen=True, slots=True)
class Known:
    """The names that stand in the files, also those of entries with problems of their own.

    None: the file they would stand in could not be read, so nothing can be said about them.
    """

    upstreams: Collection[str] | None
    products: Collection[str] | None
    job_kinds: Collection[str] | None


def check_names(routes: RoutesFile, card: RateCardFile | None, known: Known, source: YamlSource) -> None:
    """Upstreams, job kinds, products, modes and add-ons that routes name."""
    rates = {name: product_rates(name, shape) for name, shape in card.products.items()} if card else {}
    for name, kind in routes.job_kinds.items():
        _name(("job_kinds", name, "upstream"), "upstream", kind.upstream, known.upstreams, source)
    for key, route in routes.routes.items():
        here: ValuePath = ("routes", key)
        _name((*here, "upstream"), "upstream", route.upstream, known.upstreams, source)
        for path, kind_name in (
            ((*here, "starts_job"), route.starts_job),
            ((*here, "job", "kind"), route.job.kind if route.job else None),
        ):
            if kind_name is not None:
                _name(path, "job kind", kind_name, known.job_kinds, source)
                _lives_at(path, kind_name, route, routes, source)
        if route.product is not None:
            _name((*here, "product"), "product", route.product, known.products, source)
            if route.product in rates:
                _modes(here, route, rates[route.product], source)
        for at, part in enumerate(route.also):
            place = (*here, "also", at)
            _name((*place, "product"), "product", part.product, known.products, source)
            if route.product in rates and part.product in rates:
                _extra_part(place, part, route, source, own=rates[route.product], extra=rates[part.product])


def check_limits(routes: RoutesFile, plans: PlansFile, source: YamlSource, plans_source: YamlSource) -> None:
    """Every limit that a route names stands in every plan; a contract may leave it to the account's own terms."""
    sold = {plan_id: plan for plan_id, plan in plans.root.items() if not plan.contract}
    known = {name for plan in plans.root.values() for name in plan.rate_limits}
    asked: set[str] = {NO_LIMIT}
    for key, route in routes.routes.items():
        if route.limit in asked:
            continue
        if route.limit not in known:
            if sold:
                sentence = f"no plan has a rate limit '{route.limit}'{did_you_mean(route.limit, known)}"
                source.report(("routes", key, "limit"), sentence)
            continue
        asked.add(route.limit)
        for plan_id, plan in sold.items():
            if route.limit not in plan.rate_limits:
                sentence = f"has no limit '{route.limit}', which counts '{key}'; give one, or unlimited"
                plans_source.report((plan_id, "rate_limits"), sentence, at_key=True)


def _name(path: ValuePath, kind: str, name: str, known: Collection[str] | None, source: YamlSource) -> None:
    if known is not None and name not in known:
        source.report(path, f"there is no {kind} '{name}'{did_you_mean(name, known)}")


def _lives_at(path: ValuePath, name: str, route: RouteShape, routes: RoutesFile, source: YamlSource) -> None:
    kind = routes.job_kinds.get(name)
    if kind is not None and kind.upstream != route.upstream:
        source.report(path, f"jobs of kind '{name}' live at upstream '{kind.upstream}', not '{route.upstream}'")


def _modes(here: ValuePath, route: RouteShape, rates: ProductRates, source: YamlSource) -> None:
    if route.mode is not None and route.mode.fixed is not None and rates.mode(route.mode.fixed) is None:
        _no_mode((*here, "mode", "fixed"), route.mode.fixed, rates, source)
    _known_modes(here, route, rates, source)
    for name in route.add_ons:
        if name not in rates.add_ons_millicredits:
            sentence = f"the card has no add-on '{name}' for {rates.product}"
            source.report((*here, "add_ons", name), sentence + did_you_mean(name, rates.add_ons_millicredits))


def _known_modes(here: ValuePath, asked: RouteShape | ExtraPartShape, rates: ProductRates, source: YamlSource) -> None:
    """`modes` and `default_mode` stand on the card, and the default is one of the modes."""
    for at, mode in enumerate(asked.modes):
        if mode not in rates.rates_millicredits:
            _no_mode((*here, "modes", at), mode, rates, source)
    default = asked.default_mode
    if default is not None and rates.mode(default) is None:
        _no_mode((*here, "default_mode"), default, rates, source)
    elif default is not None and asked.modes and rates.mode(default) not in asked.modes:
        source.report((*here, "default_mode"), "is not one of this route's modes")


def _extra_part(
    here: ValuePath,
    part: ExtraPartShape,
    route: RouteShape,
    source: YamlSource,
    *,
    own: ProductRates,
    extra: ProductRates,
) -> None:
    for at, mode in enumerate(part.unless_modes):
        if mode not in own.rates_millicredits:
            _no_mode((*here, "unless_modes", at), mode, own, source)
    _known_modes(here, part, extra, source)
    if part.mode.fixed is not None:
        if extra.mode(part.mode.fixed) is None:
            _no_mode((*here, "mode", "fixed"), part.mode.fixed, extra, source)
        return
    if part.default_mode is not None or part.mode.hidden is not None:
        return
    # A call that sends no mode here is priced by its own.
    for mode in route.modes or own.rates_millicredits:
        if mode not in part.unless_modes and extra.mode(mode) is None:
            sentence = f"the card has no mode '{mode}' for {extra.product}: price it, or name it under unless_modes"
            source.report(here, sentence)


def _no_mode(path: ValuePath, mode: str, rates: ProductRates, source: YamlSource) -> None:
    sentence = f"the card has no mode '{mode}' for {rates.product}{did_you_mean(mode, rates.rates_millicredits)}"
    source.report(path, sentence)
