"""Who comes in where: an account by its API key, the operator by the admin token, anybody to what is open.

The account API has the plan's limit of reads, counted in the same window as results fetched through the proxy: it is
no way around it. While Redis is away it is not counted, so that usage and invoices can still be read.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from pydantic import SecretStr
from starlette.requests import Request

from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import Plan
from gateway.edges.api.endpoint import Answered, Code, Refuse, Who
from gateway.edges.attempts import Attempts
from gateway.edges.peers import peer_of
from gateway.edges.proxy.walk import bearer
from gateway.flows.admit import Admission, Asked, KeyRevoked, NeverProjected, PlanMissing
from gateway.flows.authenticate import Caller, Directory
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.problems import Fault, problem, refusal
from gateway.wire.rate_limit_fields import rate_limit_headers
from gateway.wire.route import Route

COUNTED_AS: Final = "reads"
_ELSE: Final = "requests"
ADMIN: Final = "admin"
_ACTOR: Final = re.compile(r"[\w.@+-]{1,64}", re.ASCII)


class AccountDoor:
    """Accounts, each by its own keys."""

    name: str | None = "api_key"
    problems: tuple[Code, ...] = (
        Fault.INVALID_API_KEY,
        RefusalCode.RATE_LIMITED,
        Fault.BOOKS_UNAVAILABLE,
        Fault.CREDIT_STORE_UNAVAILABLE,
        Fault.INTERNAL_ERROR,
    )

    def __init__(self, directory: Directory, admission: Admission, plans: Callable[[], Mapping[str, Plan]]) -> None:
        self._directory = directory
        self._admission = admission
        self._plans = plans

    async def who(self, request: Request, request_id: str) -> Who:
        """The key's account, counted. Refuse."""
        caller = await self._directory.find(_shown(request))
        if caller is None:
            raise Refuse(Fault.INVALID_API_KEY)
        return await self._counted(caller, request_id)

    async def _counted(self, caller: Caller, request_id: str) -> Who:
        named = COUNTED_AS if any(COUNTED_AS in plan.rate_limits for plan in self._plans().values()) else _ELSE
        route = Route("account API", "", "", "", limit=named)
        try:
            answer = await self._admission.admit(caller, Asked(request_id, route))
        except KeyRevoked:
            raise Refuse(Fault.INVALID_API_KEY) from None
        except (StoreUnavailable, PlanMissing, NeverProjected):
            return Who(caller.account_id, caller.key_id, caller)
        if isinstance(answer, Refused):
            raise Answered(refusal(answer, request_id=request_id, upgrade_url=""))
        return Who(caller.account_id, caller.key_id, answer.caller, rate_limit_headers(answer.admitted.limits))


class AdminDoor:
    """The operator. Without a token there is no way in; a peer that tries many waits, in each process by itself."""

    name: str | None = "admin_token"
    problems: tuple[Code, ...] = (
        Fault.INVALID_ADMIN_TOKEN,
        RefusalCode.RATE_LIMITED,
        Fault.ADMIN_API_OFF,
        Fault.BAD_REQUEST,
        Fault.BOOKS_UNAVAILABLE,
        Fault.CREDIT_STORE_UNAVAILABLE,
        Fault.INTERNAL_ERROR,
    )

    def __init__(
        self, token: SecretStr | None, *, trusted: Callable[[str], bool], clock: Callable[[], datetime]
    ) -> None:
        self._trusted = trusted
        self._clock = clock
        self._attempts = Attempts()
        self._digest = None if token is None else sha256(token.get_secret_value().encode()).digest()

    async def who(self, request: Request, request_id: str) -> Who:
        """The operator, by name where `X-Actor` says one. Refuse."""
        if self._digest is None:
            raise Refuse(Fault.ADMIN_API_OFF)
        peer, at_ms = peer_of(request, self._trusted), epoch_ms(self._clock())
        # Before the token is looked at: else a guess would still be told from the token. Others' peers go on.
        if wait_s := self._attempts.wait_s(peer, at_ms):
            said = f"Too many wrong admin tokens came from here. Try again in {wait_s} seconds."
            raise Answered(problem(RefusalCode.RATE_LIMITED, request_id=request_id, detail=said, retry_after=wait_s))
        # Digests are of one length, so that comparing them tells nothing of the token's.
        if not hmac.compare_digest(sha256(_shown(request)).digest(), self._digest):
            self._attempts.failed(peer, at_ms)
            raise Refuse(Fault.INVALID_ADMIN_TOKEN)
        named = request.headers.getlist("x-actor")
        if not named:
            return Who(ADMIN, ADMIN)
        if len(named) > 1 or not _ACTOR.fullmatch(named[0]):
            raise Refuse(Fault.BAD_REQUEST, "X-Actor must be 1 to 64 letters, digits and any of . @ + - _")
        return Who(ADMIN, f"{ADMIN}:{named[0]}")


class OpenDoor:
    """Nobody is asked: health, and what proves itself otherwise."""

    name: str | None = None
    problems: tuple[Code, ...] = ()

    async def who(self, _request: Request, _request_id: str) -> Who:
        """Somebody."""
        return Who("", "")


def _shown(request: Request) -> bytes:
    """The key sent; nothing where several were, as none may be picked among them."""
    sent = [value for name, value in request.headers.raw if name == b"authorization"]
    return bearer(sent[0]) if len(sent) == 1 else b""
