"""Problem documents (RFC 9457): the one table that turns every refusal and every fault of the gateway into HTTP.

Upstream answers never pass through here. Each code has a page, `docs/problems/<code>.md`; a test holds the codes of
the domain, this table and the pages together. Wording follows what LlamaCloud's clients look for: they read `detail`,
and on a 422 one of them crashes unless it is a list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.credits import credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.quote import UnknownMode
from gateway.wire.rate_limit_fields import rate_limit_headers, retry_after_s
from gateway.wire.unreadable import Unreadable

OUT_OF_CREDITS: Final = "You've exceeded the maximum number of credits for your plan"
_UNPROCESSABLE: Final = 422


class Fault(StrEnum):
    """What keeps a call from its upstream or its answer, other than a refused admission."""

    INVALID_API_KEY = "invalid_api_key"
    INVALID_ADMIN_TOKEN = "invalid_admin_token"  # noqa: S105 - the name of a problem
    INVALID_SIGNATURE = "invalid_signature"
    KEY_NOT_ALLOWED = "key_not_allowed"
    NO_SUCH_ROUTE = "no_such_route"
    NO_SUCH_PROJECT = "no_such_project"
    NO_SUCH_CALL = "no_such_call"
    NO_SUCH_RESOURCE = "no_such_resource"
    ADMIN_API_OFF = "admin_api_off"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_POSSIBLE = "not_possible"
    STALE_EDIT = "stale_edit"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BAD_PATH = "bad_path"
    BAD_REQUEST = "bad_request"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_REPLY_GONE = "idempotency_reply_gone"
    BODY_TOO_LARGE = "body_too_large"
    TOO_MANY_UPLOADS = "too_many_uploads"
    INVALID_QUERY = "invalid_query"
    INVALID_BODY = "invalid_body"
    UNREADABLE_MODE = "unreadable_mode"
    UNKNOWN_MODE = "unknown_mode"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_BROKEN = "upstream_broken"
    CREDIT_STORE_UNAVAILABLE = "credit_store_unavailable"
    CHARGE_UNCONFIRMED = "charge_unconfirmed"
    BOOKS_UNAVAILABLE = "books_unavailable"
    PAYMENT_PROVIDER_UNAVAILABLE = "payment_provider_unavailable"
    UPGRADE_REFUSED = "upgrade_refused"
    LOOP_DETECTED = "loop_detected"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem. `detail` is what is said where the place it happened at has nothing better to say.

    `should_retry` is sent as `x-should-retry` where the status alone would mislead the official SDK.
    """

    status: int
    title: str
    detail: str
    retryable: bool = False
    retry_after_s: int | None = None
    should_retry: bool | None = None


@dataclass(frozen=True, slots=True)
class ProblemReply:
    """A complete answer: status, headers with lower-case names, body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


PROBLEMS: Final[Mapping[RefusalCode | Fault, Problem]] = {
    Fault.INVALID_API_KEY: Problem(401, "API key not accepted", "Invalid API Key"),
    Fault.INVALID_ADMIN_TOKEN: Problem(401, "Admin token not accepted", "Invalid admin token"),
    Fault.INVALID_SIGNATURE: Problem(
        401, "Webhook signature not accepted", "The signature is missing or does not fit the body."
    ),
    RefusalCode.CREDITS_EXHAUSTED: Problem(402, "Credits exhausted", OUT_OF_CREDITS, should_retry=False),
    RefusalCode.SPEND_LIMIT_REACHED: Problem(
        402,
        "Spend limit reached",
        "The pay-as-you-go limit of this billing period is reached. Raise it, or wait for the next period.",
        should_retry=False,
    ),
    RefusalCode.PAYMENT_REQUIRED: Problem(
        402,
        "Payment required",
        "The last payment failed, so pay-as-you-go is suspended. Mend the payment method to go on.",
        should_retry=False,
    ),
    RefusalCode.CREDITS_HELD: Problem(
        402,
        "Credits held by running calls",
        "Calls that are still running hold the credits this call needs. Try again when they have ended.",
        retry_after_s=5,
        should_retry=True,
        retryable=True,
    ),
    Fault.KEY_NOT_ALLOWED: Problem(
        403,
        "API key not allowed here",
        "This API key may not use this product. Ask for a key whose scope has it.",
    ),
    RefusalCode.ACCOUNT_CLOSED: Problem(
        403, "Account closed", "This account is closed. Write to support to have it opened again."
    ),
    Fault.NO_SUCH_ROUTE: Problem(404, "No such route", "Not Found"),
    # Also for an organization: what belongs to others is not told apart from what is nowhere.
    Fault.NO_SUCH_PROJECT: Problem(404, "No such project", "Project not found"),
    Fault.NO_SUCH_CALL: Problem(404, "No such call", "Call not found"),
    Fault.NO_SUCH_RESOURCE: Problem(404, "No such resource", "Not Found"),
    Fault.ADMIN_API_OFF: Problem(
        404,
        "Admin API switched off",
        "No admin token is set, so the admin API is off. Set GATEWAY_ADMIN_TOKEN (admin.token in gateway.yaml).",
    ),
    Fault.METHOD_NOT_ALLOWED: Problem(
        405, "Method not allowed", "This path does not take this method. The Allow header names those it takes."
    ),
    RefusalCode.NO_SUCH_JOB: Problem(404, "No such job", "Job not found"),
    Fault.BAD_PATH: Problem(400, "Ambiguous path", "The path can be read in more than one way."),
    Fault.BAD_REQUEST: Problem(400, "Malformed request", "The request could not be understood."),
    Fault.IDEMPOTENCY_IN_PROGRESS: Problem(
        409,
        "The first call with this Idempotency-Key is still running",
        "A call with the same Idempotency-Key is still running. Try again to get its reply.",
        retry_after_s=1,
        retryable=True,
    ),
    Fault.IDEMPOTENCY_REPLY_GONE: Problem(
        409,
        "The first reply with this Idempotency-Key was not kept",
        "The first call with this Idempotency-Key has run and was charged, but its reply was too long to be kept or "
        "was lost. It was not run again.",
        should_retry=False,
    ),
    Fault.NOT_POSSIBLE: Problem(409, "Not possible as things stand", "This cannot be done as things stand."),
    Fault.STALE_EDIT: Problem(
        412,
        "Changed by somebody else",
        "This was changed since you read it, so nothing was done. Read it again, then send your change with its ETag.",
    ),
    Fault.UNSUPPORTED_MEDIA_TYPE: Problem(
        415, "Body of another type", "The body must be JSON, sent with Content-Type: application/json."
    ),
    Fault.BODY_TOO_LARGE: Problem(413, "Body too large", "The body is larger than this route takes."),
    Fault.IDEMPOTENCY_MISMATCH: Problem(
        422,
        "Idempotency-Key used for another body",
        "This Idempotency-Key was used for a different request. Use a new key for a new request.",
    ),
    Fault.INVALID_QUERY: Problem(422, "Invalid query", "A parameter of the query is missing or cannot be read."),
    Fault.INVALID_BODY: Problem(422, "Invalid body", "A member of the body is missing or cannot be read."),
    Fault.UNREADABLE_MODE: Problem(
        422, "Request cannot be priced", "The part of the request that decides its price could not be read."
    ),
    Fault.UNKNOWN_MODE: Problem(422, "Unknown mode", "The request names a mode that is not on the rate card."),
    RefusalCode.RATE_LIMITED: Problem(429, "Rate limit reached", "Too many requests.", retry_after_s=1, retryable=True),
    RefusalCode.TOO_MANY_CONCURRENT_CALLS: Problem(
        429, "Too many calls at once", "As many calls are running as the plan allows.", retry_after_s=1, retryable=True
    ),
    Fault.INTERNAL_ERROR: Problem(
        500, "Internal error", "The gateway failed. The request id helps support to find out why."
    ),
    Fault.UPGRADE_REFUSED: Problem(
        501,
        "No protocol upgrade here",
        "This route speaks plain HTTP only: WebSocket and h2c are refused.",
        should_retry=False,
    ),
    Fault.UPSTREAM_UNREACHABLE: Problem(
        502,
        "Product service unreachable",
        "The product service could not be reached. Nothing was charged.",
        retryable=True,
    ),
    Fault.UPSTREAM_BROKEN: Problem(
        502, "Product service answered badly", "The product service gave no valid answer.", retryable=True
    ),
    Fault.CREDIT_STORE_UNAVAILABLE: Problem(
        503,
        "Credits cannot be checked",
        "Credits cannot be checked at the moment, so the call was not started. Nothing was charged.",
        retry_after_s=1,
        retryable=True,
    ),
    Fault.CHARGE_UNCONFIRMED: Problem(
        503,
        "Charge not confirmed",
        "The product service did the work, but its charge could not be confirmed, so the reply is withheld. "
        "The call may still be charged; sending it again starts another one.",
        should_retry=False,
    ),
    Fault.BOOKS_UNAVAILABLE: Problem(
        503,
        "Account data unavailable",
        "The account could not be looked up at the moment, so the call was not started. Nothing was charged.",
        retry_after_s=1,
        retryable=True,
    ),
    Fault.PAYMENT_PROVIDER_UNAVAILABLE: Problem(
        503,
        "Payment provider unavailable",
        "The payment provider did not answer. What was begun is asked about again; nothing is taken twice.",
        retry_after_s=30,
        retryable=True,
    ),
    Fault.TOO_MANY_UPLOADS: Problem(
        503,
        "Too many large uploads at once",
        "Too many uploads are being read ahead to find their price. Send the fields before the file, or try again.",
        retryable=True,
        retry_after_s=5,
    ),
    Fault.UPSTREAM_TIMEOUT: Problem(
        504,
        "Product service too slow",
        "The product service did not answer in time. Nothing was charged.",
        retryable=True,
    ),
    Fault.LOOP_DETECTED: Problem(508, "Request loop", "The request came back to the gateway it had passed."),
}

_OUT_OF_CREDITS: Final = frozenset(
    {
        RefusalCode.CREDITS_EXHAUSTED,
        RefusalCode.SPEND_LIMIT_REACHED,
        RefusalCode.PAYMENT_REQUIRED,
        RefusalCode.CREDITS_HELD,
    }
)
# Budgets are named by the id of whose they are.
_BUDGETS: Final = {"prj_": "project", "key_": "key"}
_BY_CEILING: Final = {
    "account": "The account's own limit on pay-as-you-go is reached for this billing period. Raise it, or wait for the "
    "next period.",
    "contract": "The contract's limit on pay-as-you-go is reached for this billing period.",
}
_BEARER: Final = frozenset({Fault.INVALID_API_KEY, Fault.INVALID_ADMIN_TOKEN})
_RATE_LIMITED: Final = frozenset({RefusalCode.RATE_LIMITED, RefusalCode.TOO_MANY_CONCURRENT_CALLS})


def problem(
    code: RefusalCode | Fault,
    *,
    request_id: str,
    detail: str | None = None,
    loc: tuple[str, ...] = ("body",),
    retry_after: int | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    extra: Mapping[str, object] | None = None,
    found: Sequence[Mapping[str, object]] = (),
) -> ProblemReply:
    """The answer for a code. `detail` must hold no secret and no upstream address: the caller reads it.

    A 422 puts it into the list form `[{"loc", "msg", "type"}]`; where several things are wrong, `found` is that list.
    `extra` are further members, `retry_after` whole seconds, `headers` are added as they are.
    """
    kind = PROBLEMS[code]
    said: object = kind.detail if detail is None else detail
    if kind.status == _UNPROCESSABLE:
        said = found or [{"loc": loc, "msg": said, "type": str(code)}]
    document: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": said,
        "code": str(code),
        "retryable": kind.retryable,
        "request_id": request_id,
        **(extra or {}),
    }
    body = orjson.dumps(document)
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
    ]
    if code in _BEARER:
        fields.append((b"www-authenticate", b"Bearer"))
    wait_s = kind.retry_after_s if retry_after is None else retry_after
    if wait_s is not None:
        fields.append((b"retry-after", b"%d" % max(1, wait_s)))
    if kind.should_retry is not None:
        fields.append((b"x-should-retry", b"true" if kind.should_retry else b"false"))
    fields.extend(headers)
    return ProblemReply(kind.status, fields, body)


def unreadable(fault: Unreadable, *, request_id: str) -> ProblemReply:
    """The 422 for a request whose price or owner cannot be read."""
    return problem(Fault.UNREADABLE_MODE, request_id=request_id, detail=fault.message, loc=fault.loc)


def as_event(reply: ProblemReply) -> bytes:
    """A problem as the last server-sent event of a stream that had begun."""
    return b"event: error\ndata: " + reply.body + b"\n\n"


def unknown_mode(fault: UnknownMode, *, request_id: str, loc: tuple[str, ...] = ("body",)) -> ProblemReply:
    """The 422 for a mode that is not on the rate card, with those that are. What was sent is repeated in part only."""
    detail = f"{(fault.sent or '')[:64]!r} is not a mode of {fault.product}. Known modes: {', '.join(fault.known)}."
    extra = {"product": fault.product, "known": fault.known}
    return problem(Fault.UNKNOWN_MODE, request_id=request_id, detail=detail, loc=loc, extra=extra)


def refusal(refused: Refused, *, request_id: str, upgrade_url: str) -> ProblemReply:
    """The answer for a refused admission, with the rate limit fields of every limit that was looked at."""
    code = refused.code
    extra: dict[str, object] = {}
    detail: str | None = None
    wait_s = None if refused.retry_in_ms is None else retry_after_s(refused.retry_in_ms)
    if code in _OUT_OF_CREDITS:
        extra["required_credits"] = orjson.Fragment(credits_text(refused.required_millicredits))
        extra["available_credits"] = orjson.Fragment(credits_text(max(0, refused.available_millicredits)))
        extra["resets_at"] = _instant(refused.resets_at_ms)
        extra["upgrade_url"] = upgrade_url
        extra |= _spend_limit(refused.limit_name)
        detail = _spend_detail(refused)
        if not PROBLEMS[code].retryable:
            wait_s = None  # a date weeks away in seconds makes a client sleep; `resets_at` tells it
    elif code in _RATE_LIMITED:
        detail = _limit_detail(refused)
        extra["limit"] = refused.limit_name
        wait_s = wait_s or 1
        extra["retry_after_s"] = wait_s
    return problem(
        code,
        request_id=request_id,
        detail=detail,
        retry_after=wait_s,
        headers=rate_limit_headers(refused.limits),
        extra=extra,
    )


def _spend_limit(name: str) -> dict[str, object]:
    """Which limit on credits it was: `limit`, and `limit_of` where that is a budget of one project or key."""
    kind = _BUDGETS.get(name[:4])
    if kind is not None:
        return {"limit": f"{kind}_budget", "limit_of": name}
    return {"limit": name} if name else {}


def _spend_detail(refused: Refused) -> str | None:
    if refused.code is not RefusalCode.SPEND_LIMIT_REACHED:
        return None
    kind = _BUDGETS.get(refused.limit_name[:4])
    if kind is not None:
        return f"The budget of {kind} {refused.limit_name} is used up for this billing period."
    return _BY_CEILING.get(refused.limit_name)


def _limit_detail(refused: Refused) -> str:
    """Which limit, how wide, when it opens: what an opaque 429 never says."""
    wait_s = retry_after_s(refused.retry_in_ms)
    for limit in refused.limits:
        if limit.name == refused.limit_name:
            window_s = f"{limit.window_ms / 1000:g}"
            return f"Rate limit '{limit.name}' of {limit.calls} per {window_s} s is reached. Try again in {wait_s} s."
    return f"{PROBLEMS[refused.code].detail} Try again in {wait_s} s."


def _instant(epoch_ms: int) -> str:
    return from_epoch_ms(epoch_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
