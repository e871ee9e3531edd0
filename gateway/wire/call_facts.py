"""The facts of a call and of its settlement as JSON, the form in which Redis keeps them.

Strict: what this reads, it or an older release wrote. A field of the wrong kind is a ValueError, never a guess.
"""

from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.domain.quote import Quote
from gateway.domain.usage import CallFacts, Settlement

_FACTS: Final[dict[str, type]] = {each.name: int if each.type in (int, "int") else str for each in fields(CallFacts)}
_NAMES: Final = tuple(_FACTS)
_KINDS: Final = tuple(_FACTS.values())


def facts_json(facts: CallFacts) -> bytes:
    """The facts as JSON, in the order of their fields."""
    return orjson.dumps(facts)


@lru_cache(maxsize=65_536)
def owner_part(account_id: str, project_id: str, key_id: str) -> bytes:
    """Who calls, as the part of the facts it is. Remembered: most calls are of callers seen lately."""
    return _inside({"account_id": account_id, "project_id": project_id, "key_id": key_id})


@lru_cache(maxsize=4_096)
def price_part(quote: Quote, route: str, upstream: str, plan_id: str) -> bytes:
    """What a call costs and why, as the part of the facts it is. There are few of them in a configuration."""
    return _inside(
        {
            "product": quote.product,
            "mode": quote.mode,
            "unit": quote.unit,
            "route": route,
            "upstream": upstream,
            "plan_id": plan_id,
            "rate_card_version": quote.rate_card_version,
            "millicredits_per_unit": quote.millicredits_per_unit,
            "expected_units": quote.expected_units,
            "quote_millicredits": quote.expected_millicredits,
        }
    )


def joined_facts(request_id: str, owner: bytes, price: bytes) -> bytes:
    """`facts_json` of a call, put together from its parts. `request_id` is one of ours: it needs no escapes."""
    return b'{"request_id":"%b",%b,%b}' % (request_id.encode(), owner, price)


def _inside(part: dict[str, object]) -> bytes:
    return orjson.dumps(part)[1:-1]


def read_facts(text: bytes) -> CallFacts:
    """What `facts_json` wrote. ValueError names the field that is missing, unknown or of the wrong kind."""
    found = _object(text, "facts")
    if tuple(found) == _NAMES and tuple(map(type, found.values())) == _KINDS:
        return CallFacts(*found.values())  # as `facts_json` and `joined_facts` write them, all but always
    if found.keys() != _FACTS.keys():
        odd = sorted(found.keys() ^ _FACTS.keys())
        raise ValueError(f"facts: missing or unknown: {', '.join(odd)}")
    for name, kind in _FACTS.items():
        if type(found[name]) is not kind:
            raise ValueError(f"facts.{name}: {found[name]!r} is no {kind.__name__}")
    return CallFacts(**found)


@lru_cache(maxsize=1_024)
def settlement_json(settlement: Settlement) -> bytes:
    """The settlement as JSON. A billed mode that nobody told is left out: older releases know no such field.

    Remembered, since those of exact quotes are few.
    """
    if settlement.billed_mode is None:
        return orjson.dumps({"units": settlement.units, "evidence": settlement.evidence})
    return orjson.dumps(settlement._asdict())


def read_settlement(text: bytes) -> Settlement:
    """What `settlement_json` wrote; ValueError on anything else."""
    found = _object(text, "settlement")
    match found:
        case {"units": None | int() as units, "evidence": str() as evidence, **more} if not isinstance(units, bool):
            match more:
                case {"billed_mode": str() as billed_mode} if len(more) == 1:
                    return Settlement(units, evidence, billed_mode)
                case _ if not more:
                    return Settlement(units, evidence)
    raise ValueError(f"settlement: not units, evidence and billed mode: {text[:200]!r}")


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{what}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{what}: no JSON object")  # noqa: TRY004 - it is the text that is wrong
    return found
