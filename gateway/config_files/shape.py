"""The kinds of value that stand in the files, and the base of every shape.

Values come from `yaml_source`: text, int, Decimal, bool, None, lists, mappings; text also where it was quoted or came
from the environment. A wrong value raises `must_be`, which names what was expected and leaves it to `judge` to show
what was found, so that no secret is ever quoted.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.config_files.amounts import byte_size, duration_ms, rate
from gateway.domain.credits import millicredits
from gateway.wire.route import Pointer

MUST_BE: Final = "must_be"
MUST_BE_UNSHOWN: Final = "must_be_unshown"
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9_]{0,29})")


class Shape(BaseModel):
    """A mapping with known keys; unknown ones are problems, defaults are in the class."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def must_be(expected: str, *, show: bool = True) -> PydanticCustomError:
    """The error of a value that is not what stands in `expected` ("a whole number"). `show` False: never quote it."""
    return PydanticCustomError(MUST_BE if show else MUST_BE_UNSHOWN, "must be {expected}", {"expected": expected})


def whole(value: object) -> object:
    """A whole number as YAML or the environment gives it. `010` and `1.5` are refused, not guessed at."""
    if isinstance(value, bool):
        raise must_be("a whole number")
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.replace("_", ""))
    if isinstance(value, int):
        return value
    raise must_be("a whole number")


def number(value: object) -> Decimal:
    """An exact number; no NaN, no infinity."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise must_be("a number")
    try:
        exact = Decimal(value)
    except InvalidOperation as error:
        raise must_be("a number") from error
    if not exact.is_finite():
        raise must_be("a number")
    return exact


def _flag(value: object) -> object:
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    if not isinstance(value, bool):
        raise must_be("true or false")
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise must_be("text: put it in quotes", show=False)
    return value


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _url(schemes: tuple[str, ...]) -> Callable[[object], object]:
    expected = f"an address such as {schemes[0]}://host:port"

    def check(value: object) -> object:
        try:
            parts = urlsplit(str(_text(value)))
            wrong_port = parts.port == 0
        except ValueError as error:
            raise must_be(expected, show=False) from error
        if parts.username or parts.password:
            raise must_be("without a user and password: a credential has its own setting", show=False)
        if parts.scheme not in schemes or not parts.hostname or wrong_port or parts.query or parts.fragment:
            raise must_be(expected)
        return str(value).rstrip("/")

    return check


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(_text(value)))
    except ValueError as error:
        raise must_be("an IP address or network, such as 10.0.0.0/8") from error


def parsed(parse: Callable[[Any], Any], expected: str) -> Callable[[object], object]:
    """A validator from a parsing function that raises ValueError."""

    def check(value: object) -> object:
        if isinstance(value, bool):
            raise must_be(expected)
        try:
            return parse(value)
        except (ValueError, TypeError) as error:
            raise must_be(expected) from error

    return check


NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"


def _name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(NAME_PATTERN, value):
        raise must_be("a name: a letter, then letters, digits, '_' or '-'")
    return value


def _date(value: object) -> date:
    if not isinstance(value, str):
        raise must_be("a date such as 2026-11-01")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise must_be("a date such as 2026-11-01") from error


def _pointer(value: object) -> Pointer:
    if not isinstance(value, str) or not value.startswith("/") or len(value) == 1:
        raise must_be("a JSON pointer such as /usage/credits")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in value[1:].split("/"))


def _rate(value: object) -> tuple[int, int] | None:
    if value == "unlimited":
        return None
    try:
        return rate(value)
    except ValueError as error:
        raise must_be("a rate such as 20/min, 5/s or 1000/h, up to 100,000 calls and one day, or unlimited") from error


# A plain key of a mapping: plans, products, upstreams, limits.
Name = Annotated[str, BeforeValidator(_name)]
Date = Annotated[date, PlainValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
JsonPointer = Annotated[Pointer, PlainValidator(_pointer), WithJsonSchema({"type": "string", "pattern": "^/."})]
# Calls and window in ms; None is unlimited.
Rate = Annotated[
    tuple[int, int] | None,
    PlainValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": r"^(unlimited|[0-9_]+ */ *[0-9_]* *(s|sec|min|h|hour|d|day))$"}),
]
Whole = Annotated[int, BeforeValidator(whole)]
Seconds = Annotated[float, BeforeValidator(number), Field(gt=0, le=86_400)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
# Optional secrets: an empty one (`${REDIS_URL:-}`) is none.
Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none)]
HttpUrl = Annotated[str, BeforeValidator(_url(("http", "https")))]
OptionalHttpUrl = Annotated[HttpUrl | None, BeforeValidator(_empty_is_none)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network), WithJsonSchema({"type": "string"})]
Port = Annotated[Whole, Field(ge=0, le=65_535)]
Bytes = Annotated[
    int,
    BeforeValidator(parsed(byte_size, "a size such as 512 KiB, 64 MiB or 2 GiB")),
    WithJsonSchema({"type": ["string", "integer"]}),
]
DurationMs = Annotated[
    int,
    BeforeValidator(parsed(duration_ms, "a duration such as 30 min, 5 s or 250 ms")),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9_]+ *(ms|s|sec|min|h|hour|d|day)$"}),
]
Credits = Annotated[
    int,
    BeforeValidator(parsed(millicredits, "an amount of credits: from 0, with at most three decimals")),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
