"""The whole configuration: four files and the environment, as settings and a catalog, or as every problem in them.

Opens no store and no socket; what it reads is files. Watching them is `gateway.reload`'s.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from gateway.catalog import Catalog
from gateway.config_files.contract_file import ContractShape, check_contract
from gateway.config_files.cross_checks import Known, check_limits, check_names
from gateway.config_files.judge import judge
from gateway.config_files.plans_file import PlansFile, check_plans, plans
from gateway.config_files.problem import ConfigurationInvalid, Problem
from gateway.config_files.rate_card_file import RateCardFile, check_rate_card, rate_card
from gateway.config_files.route_checks import check_routes
from gateway.config_files.routes_file import job_kinds, routes
from gateway.config_files.routes_shape import RoutesFile
from gateway.config_files.yaml_source import YamlSource, read_file
from gateway.configuration_schema import json_schema
from gateway.domain.plan import Plan
from gateway.domain.rate_card import RateCard
from gateway.settings import PaymentProvider, Settings
from gateway.wire.route import RouteTable

__all__ = [
    "FILES",
    "Configuration",
    "ConfigurationInvalid",
    "Priced",
    "Problem",
    "check",
    "json_schema",
    "load",
    "priced",
]

FILES: Final = ("plans", "rate_card", "routes")
ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - looked for, not listened on
ShapeT = TypeVar("ShapeT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration without problems. `files` are those it was read from, gateway.yaml first."""

    settings: Settings
    catalog: Catalog
    files: tuple[Path, ...]


def load(path: Path, environ: Mapping[str, str] | None = None) -> Configuration:
    """The configuration that `path` (a gateway.yaml) names, with `environ` (the process's own where left out).

    ConfigurationInvalid with every problem of all four files. Problems show files as they would be typed from the
    current folder, and never the value of a variable.
    """
    environment = os.environ if environ is None else environ
    entry = read_file(path, str(path), environment)
    if entry.problems and not path.is_file():
        raise ConfigurationInvalid(entry.problems)  # what it would name cannot be guessed
    settings = judge(Settings, entry)
    if settings is not None:
        _check_payments(settings, entry)
        _check_listeners(settings, entry)
    paths = {name: path.parent / _named(entry, name) for name in FILES}
    sources = {name: read_file(file, str(file), environment) for name, file in paths.items()}
    plans_file = _plans(sources["plans"])
    card_file = _rate_card(sources["rate_card"])
    routes_file = _routes(sources["routes"])
    if routes_file is not None:
        known = Known(
            upstreams=_names(entry, "upstreams"),
            products=_names(sources["rate_card"], "products"),
            job_kinds=_names(sources["routes"], "job_kinds") or (),
        )
        check_names(routes_file, card_file, known, sources["routes"])
        if plans_file is not None:
            check_limits(routes_file, plans_file, sources["routes"], sources["plans"])
    problems = [problem for source in (entry, *sources.values()) for problem in sorted(source.problems)]
    if problems or settings is None or plans_file is None or card_file is None or routes_file is None:
        raise ConfigurationInvalid(problems)
    catalog = Catalog(
        plans=plans(plans_file),
        rate_card=rate_card(card_file),
        routes=RouteTable(routes(routes_file)),
        job_kinds=job_kinds(routes_file),
        version=_version([source.value for source in sources.values()]),
    )
    placed = settings.model_copy(update={**paths, "data": settings.data.expanduser().absolute()})
    return Configuration(placed, catalog, (path, *paths.values()))


@dataclass(frozen=True, slots=True)
class Priced:
    """What one file says about what is sold; None: nothing about that."""

    plans: Mapping[str, Plan] | None
    rate_card: RateCard | None


def priced(path: Path, environ: Mapping[str, str] | None = None) -> Priced:
    """The plans of a plans.yaml, the prices of a rate_card.yaml, both of what a gateway.yaml names.

    ConfigurationInvalid with every problem of the file. Files are told apart as by `check`.
    """
    source = read_file(path, str(path), os.environ if environ is None else environ)
    settings = source.value.keys() if isinstance(source.value, dict) else set()
    if path.name == "gateway.yaml" or {"upstreams", "listen"} & set(settings):
        catalog = load(path, environ).catalog
        return Priced(catalog.plans, catalog.rate_card)
    card_file = _rate_card(source) if "products" in settings else None
    plans_file = None if "products" in settings else _plans(source)
    if source.problems or (plans_file is None and card_file is None):
        raise ConfigurationInvalid(tuple(sorted(source.problems)))
    return Priced(
        None if plans_file is None else plans(plans_file), None if card_file is None else rate_card(card_file)
    )


def check(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """Every problem of one file: of a gateway.yaml with all that it names, of any other file by itself.

    What a file is shows in its settings: `upstreams` or `listen`, `products`, `routes`; all others hold plans.
    """
    environment = os.environ if environ is None else environ
    source = read_file(path, str(path), environment)
    settings = source.value.keys() if isinstance(source.value, dict) else ()
    if "routes" in settings and "upstreams" not in settings and isinstance(source.value["routes"], dict):
        _routes(source)
    elif "products" in settings:
        _rate_card(source)
    elif path.name == "gateway.yaml" or {"upstreams", "listen"} & set(settings):
        try:
            load(path, environment)
        except ConfigurationInvalid as invalid:
            return invalid.problems
        return ()
    else:
        _plans(source)
    return tuple(sorted(source.problems))


def contract_file(
    path: Path, plans_sold: Mapping[str, Plan], environ: Mapping[str, str] | None = None
) -> ContractShape:
    """A contract's file, held against the plans. ConfigurationInvalid with every problem in it."""
    source = read_file(path, str(path), os.environ if environ is None else environ)
    file = judge(ContractShape, source)
    if file is not None:
        check_contract(file, {name for plan in plans_sold.values() for name in plan.rate_limits}, source)
    if file is None or source.problems:
        raise ConfigurationInvalid(sorted(source.problems))
    return file


def _check_payments(settings: Settings, entry: YamlSource) -> None:
    """Whoever takes payments needs to be let in."""
    payments = settings.payments
    if payments.provider is PaymentProvider.STRIPE and payments.stripe.api_key is None:
        entry.report(("payments", "provider"), "is stripe, which needs payments.stripe.api_key")


def _check_listeners(settings: Settings, entry: YamlSource) -> None:
    """Callers and operators do not meet at one port; 0 is any free one."""
    callers, operators = settings.listen, settings.admin.listen
    hosts = {callers.host, operators.host}
    if callers.port == operators.port != 0 and (len(hosts) == 1 or hosts & ANY_HOST):
        entry.report(("admin", "listen", "port"), "is listen.port too; each listener needs a port of its own")


def _plans(source: YamlSource) -> PlansFile | None:
    file = judge(PlansFile, source)
    if file is not None:
        check_plans(file, source)
    return file


def _rate_card(source: YamlSource) -> RateCardFile | None:
    file = judge(RateCardFile, source)
    if file is not None:
        check_rate_card(file, source)
    return file


def _routes(source: YamlSource) -> RoutesFile | None:
    file = judge(RoutesFile, source)
    if file is not None:
        check_routes(file, source)
    return file


def _named(entry: YamlSource, name: str) -> str:
    """The file an entry names; the usual name where gateway.yaml is too broken to say."""
    value = entry.value.get(name) if isinstance(entry.value, dict) else None
    return value if isinstance(value, str) and value else f"{name}.yaml"


def _names(source: YamlSource, key: str) -> tuple[str, ...] | None:
    """The names below a key, also of entries with problems; None where there is nothing to read them from."""
    entries = source.value.get(key) if isinstance(source.value, dict) else None
    return tuple(entries) if isinstance(entries, dict) else None


def _version(values: list[Any]) -> str:
    """A short name for what the files say; comments and layout do not change it."""
    text = json.dumps(values, default=str, sort_keys=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
