"""Parameters of a query, read strictly: one that is wrong is a 422 that names it, never another one's default."""

from typing import Final

from starlette.requests import Request

from gateway.flows.authenticate import Caller
from gateway.flows.faults import NoSuchThing, WrongParameter

LONGEST: Final = 1_024
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def text(request: Request, name: str) -> str | None:
    """The parameter, None where it was not sent or is empty. Sent twice it must say the same."""
    sent = set(request.query_params.getlist(name)) - {""}
    if len(sent) > 1:
        raise WrongParameter(name, "was sent more than once")
    value = next(iter(sent), None)
    if value is not None:
        _check(name, value)
    return value


def list_of(request: Request, name: str, *, most: int) -> list[str] | None:
    """A parameter that is sent once for each of its values, or with commas. None where it was not sent."""
    sent = [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]
    values = list(dict.fromkeys(part for each in sent for part in each.split(",") if part))
    if len(values) > most:
        raise WrongParameter(name, f"has more than {most} values")
    for value in values:
        _check(name, value)
    return values or None


def whole(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A whole number within its bounds."""
    sent = text(request, name)
    if sent is None:
        return default
    if not (sent.isascii() and sent.isdigit() and len(sent) <= len(str(most)) and least <= int(sent) <= most):
        raise WrongParameter(name, f"is no whole number from {least} to {most}")
    return int(sent)


def flag(request: Request, name: str) -> bool:
    """`true` or `false`; left out it is false."""
    sent = text(request, name)
    if sent is None:
        return False
    if sent.lower() not in _FLAGS:
        raise WrongParameter(name, "is neither true nor false")
    return _FLAGS[sent.lower()]


def only_own_organization(request: Request, caller: Caller) -> None:
    """LlamaCloud's clients send an organization along; another's is not there."""
    for named in request.query_params.getlist("organization_id"):
        if named != caller.account_id:
            raise NoSuchThing("organization", named)


def _check(name: str, value: str) -> None:
    if len(value) > LONGEST:
        raise WrongParameter(name, "is too long")
    if not value.isprintable():
        raise WrongParameter(name, "has characters that cannot be printed")
