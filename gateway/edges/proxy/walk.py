"""One call's way down: authenticate, route, price, admit in one atomic step, then the upstream.

Every refusal is a problem document and leaves no trace. The rules are on the floors below; here is only the order they
are asked in.
"""

import asyncio
from collections.abc import Awaitable
from time import perf_counter
from typing import Final

import structlog

from gateway.books.faults import BooksUnavailable
from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.credits import credits_text
from gateway.domain.hold import HoldState
from gateway.domain.quote import Quote, UnknownMode
from gateway.edges.proxy.asgi import Headers, Receive, Scope, Send
from gateway.edges.proxy.call import Call
from gateway.edges.proxy.changing import Changing
from gateway.edges.proxy.exchange import Charge, Exchange, PollSeen, ReplyCut
from gateway.edges.proxy.keeping import Keeping, request_digest
from gateway.edges.proxy.parts import Parts, Target
from gateway.edges.proxy.priced_request import ForeignOwner, Readable, UnreadableForm, read
from gateway.edges.proxy.request_body import BodyTooLarge, CallerGone, RequestBody, SpoolFull
from gateway.flows.admit import Allowed, Asked, KeyRevoked
from gateway.flows.authenticate import Caller
from gateway.flows.first_call import Repeat
from gateway.flows.settle import Held, NotAcknowledged
from gateway.ledger.faults import StoreUnavailable
from gateway.upstream.faults import BodyMismatch, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from gateway.wire.headers import LoopDetected, forwarded_scheme, upstream_request_headers
from gateway.wire.kept_reply import unpack
from gateway.wire.problems import Fault, ProblemReply, problem, refusal, unknown_mode, unreadable
from gateway.wire.rate_limit_fields import rate_limit_headers
from gateway.wire.request_head import BadHead, RequestHead, read_head
from gateway.wire.route import JobUse, Match, Route, bad_path
from gateway.wire.unreadable import Unreadable

log = structlog.get_logger()
CLOSE: Final = (b"connection", b"close")
REPEATS: Final = {
    Repeat.IN_PROGRESS: Fault.IDEMPOTENCY_IN_PROGRESS,
    Repeat.MISMATCH: Fault.IDEMPOTENCY_MISMATCH,
    Repeat.NOT_KEPT: Fault.IDEMPOTENCY_REPLY_GONE,
}
# What is raised on the way, as what the caller is told, and whether the connection is fit for another call after it.
FAULTS: Final[tuple[tuple[type[Exception], Fault, bool], ...]] = (
    (StoreUnavailable, Fault.CREDIT_STORE_UNAVAILABLE, False),
    (NotAcknowledged, Fault.CHARGE_UNCONFIRMED, False),
    (BooksUnavailable, Fault.BOOKS_UNAVAILABLE, False),
    (KeyRevoked, Fault.INVALID_API_KEY, False),
    (ForeignOwner, Fault.NO_SUCH_PROJECT, True),
    (BodyTooLarge, Fault.BODY_TOO_LARGE, True),
    (SpoolFull, Fault.TOO_MANY_UPLOADS, True),
    (BodyMismatch, Fault.BAD_REQUEST, True),
    (UpstreamUnreachable, Fault.UPSTREAM_UNREACHABLE, False),
    (UpstreamTimeout, Fault.UPSTREAM_TIMEOUT, False),
    (UpstreamFault, Fault.UPSTREAM_BROKEN, False),
)


class Walk:
    """One call's way down to the upstream."""

    # Defaults live on the class, so that a call only pays for what it sets.
    _body: RequestBody | None = None
    _exchange: Exchange | None = None
    _keeping: Keeping | None = None
    _changing: Changing | None = None
    # What the limits that counted the call say of themselves; replaced, never changed.
    _counted: Headers = []  # noqa: RUF012

    def __init__(self, parts: Parts, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        self._parts = parts
        self._call = call
        self._scope = scope
        self._receive = receive
        self._caller = self._send = send
        self._offer = parts.offer()

    async def down(self) -> None:
        """Answers the call, whatever becomes of it on its way, and has it recorded."""
        call = self._call
        try:
            try:
                reply = await self._walked()
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told or cut
                reply = self._fault(error)
            finally:
                # What was taken for the call is given back before its caller is told of a problem.
                if self._body is not None:
                    self._body.close()
                if self._changing is not None:
                    self._changing.forget()
                if self._keeping is not None:
                    await self._keeping.close()
            if reply is not None:
                call.status = reply.status
                await self._caller({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
                await self._caller({"type": "http.response.body", "body": reply.body, "more_body": False})
        except CallerGone:
            call.end = "caller_gone"
        except ReplyCut:
            call.end = "cut"  # returning without the end of a reply makes the server cut the connection
        finally:
            call.took_s = perf_counter() - call.started_s
            self._parts.record(call)

    def _fault(self, error: Exception) -> ProblemReply:
        """The problem for what was raised before anything was sent; our own mistakes are logged with their trace.

        CallerGone, and ReplyCut where something was sent: there is nobody to tell, or no way to tell it.
        """
        if isinstance(error, CallerGone | ReplyCut):
            raise error
        if self._exchange is not None and self._exchange.started:
            log.error("a call failed within its reply", request_id=self._call.request_id, exc_info=error)
            raise ReplyCut from error
        if isinstance(error, UnreadableForm):
            self._call.code = str(Fault.UNREADABLE_MODE)
            return unreadable(error.fault, request_id=self._call.request_id)
        if isinstance(error, NotAcknowledged):
            self._keeping = None  # the claim stays: the charge will come, so a repeat must not start a second one
            if not self._call.held_millicredits:
                error = StoreUnavailable("timeout")  # a job's poll: free, and safe to send again
        for kind, fault, close in FAULTS:
            if isinstance(error, kind):
                if isinstance(error, UpstreamFault):
                    log.warning("upstream fault", request_id=self._call.request_id, fault=repr(error))
                return self._problem(fault, close=close)
        log.error("a call failed", request_id=self._call.request_id, exc_info=error)
        return self._problem(Fault.INTERNAL_ERROR, close=True)

    def _problem(self, code: RefusalCode | Fault, *, detail: str | None = None, close: bool = False) -> ProblemReply:
        self._call.code = str(code)
        headers = [*self._counted, CLOSE] if close else self._counted
        return problem(code, request_id=self._call.request_id, detail=detail, headers=headers)

    async def _walked(self) -> ProblemReply | None:
        """The questions in their order; a reply to the caller wherever one is answered with no."""
        head = self._head()
        if isinstance(head, ProblemReply):
            return head
        directory, key = self._parts.directory, bearer(head.authorization)
        caller = directory.remembered(key) or await directory.find(key)
        if caller is None:
            return self._problem(Fault.INVALID_API_KEY)
        match = self._routed(head, caller)
        if isinstance(match, ProblemReply):
            return match
        readable = await self._read(head, caller, match.route)
        if not isinstance(readable, Readable):
            return self._unpriced(readable, match.route)
        if head.idempotency_key is not None and readable.quote is not None:
            repeated = await self._repeated(head.idempotency_key, caller, readable)
            if repeated is not None:
                return repeated
        allowed = await self._admitted(caller, match, readable.quote)
        if isinstance(allowed, ProblemReply):
            return allowed
        return await self._forwarded(match, readable, allowed)

    def _head(self) -> RequestHead | ProblemReply:
        """The head, if it can be read in one way only and names a path that can."""
        scope = self._scope
        head = read_head(scope["method"], scope["http_version"], scope["headers"])
        if isinstance(head, BadHead):
            return self._problem(Fault.BAD_REQUEST, detail=head.reason, close=True)
        if (bad := bad_path(scope["raw_path"])) is not None:
            return self._problem(Fault.BAD_PATH, detail=bad.reason)
        return head

    def _routed(self, head: RequestHead, caller: Caller) -> Match | ProblemReply:
        """The call's route, if the caller may take it with such a head."""
        scope, call = self._scope, self._call
        call.account_id, call.project_id, call.key_id = caller.account_id, caller.project_id, caller.key_id
        match = self._offer.routes.match(scope["method"], scope["raw_path"].decode("ascii"))
        if match is None:
            return self._problem(Fault.NO_SUCH_ROUTE)
        route = match.route
        call.route = route.name
        if head.upgrade is not None:
            return self._problem(Fault.UPGRADE_REFUSED)
        if route.metered is not None and caller.products is not None and route.metered.product not in caller.products:
            return self._problem(Fault.KEY_NOT_ALLOWED)
        if route.resource and not self._parts.targets[route.upstream].isolates:
            return self._problem(
                Fault.NO_SUCH_ROUTE, detail="This service does not keep accounts apart, so its resources are off."
            )
        if head.content_length is not None and head.content_length > route.max_body_bytes:
            return self._problem(Fault.BODY_TOO_LARGE, close=True)
        return match

    def _read(self, head: RequestHead, caller: Caller, route: Route) -> Awaitable[Readable | UnknownMode | Unreadable]:
        """The request with its quote, as far as that must be read before it may start."""
        scope, offer = self._scope, self._offer
        body = self._body = RequestBody(
            self._receive, max_bytes=route.max_body_bytes, spool=self._parts.spool, empty=not head.has_body
        )
        return read(
            route,
            offer.needs[route.name],
            head,
            headers=scope["headers"],
            query=scope["query_string"],
            body=body,
            caller=caller,
            prices=offer.prices,
            saved=self._parts.saved_modes,
            counter=self._parts.counter,
            request_id=self._call.request_id,
        )

    def _unpriced(self, why: UnknownMode | Unreadable, route: Route) -> ProblemReply:
        """What a caller is told whose call has no price."""
        call = self._call
        if isinstance(why, Unreadable):
            call.code = str(Fault.UNREADABLE_MODE)
            return unreadable(why, request_id=call.request_id)
        call.code = str(Fault.UNKNOWN_MODE)
        return unknown_mode(why, request_id=call.request_id, loc=place_of_mode(route))

    async def _repeated(self, key: str, caller: Caller, readable: Readable) -> ProblemReply | None:
        """The answer to a call whose Idempotency-Key was used before; None where this is its first call."""
        call = self._call
        # A few megabytes of JSON at most, but the event loop is not where to hash them.
        digest = await asyncio.to_thread(request_digest, self._scope, readable.priced_by)
        claim = await self._parts.first_calls.claim(caller.account_id, key, hold_id=call.request_id, digest=digest)
        match claim:
            case None:
                self._keeping = Keeping(
                    self._parts.first_calls,
                    account_id=caller.account_id,
                    key=key,
                    hold_id=call.request_id,
                    send=self._send,
                )
                self._send = self._keeping.send
                return None
            case bytes():
                call.end = "replayed"
                return unpack(claim)
            case Repeat():
                return self._problem(REPEATS[claim])

    async def _admitted(self, caller: Caller, match: Match, quote: Quote | None) -> Allowed | ProblemReply:
        """The ledger's yes, with the hold it made. One whose fate is unknown is released: a late one is refused."""
        call, route = self._call, match.route
        job = None
        if route.job is not None:
            job = (self._offer.job_kinds[route.job.kind].upstream, match.parameters[route.job.parameter])
        if quote is not None:
            call.product, call.mode = quote.product, quote.mode
        asked = Asked(call.request_id, route, quote, job)
        while True:
            try:
                answer = await self._parts.admission.admit(caller, asked)
            except (StoreUnavailable, asyncio.CancelledError) as error:
                if quote is not None and getattr(error, "outcome_unknown", True):
                    self._parts.settler.abandon(call.request_id, caller.account_id)
                raise
            if isinstance(answer, Allowed):
                return answer
            if not _left_to_upstream(answer, route, self._parts.targets[route.upstream]):
                call.code, call.refused = str(answer.code), (answer, quote)
                call.plan_id = caller.terms.periods[0].plan_id if caller.terms.periods else ""
                return refusal(answer, request_id=call.request_id, upgrade_url=self._parts.upgrade_url)
            asked = asked._replace(job=None)

    def _charge(self, allowed: Allowed, quote: Quote | None, match: Match) -> Charge | None:
        """The hold that was made, kept alive from here on; None of a free call."""
        metered, call = match.route.metered, self._call
        if quote is None or metered is None:
            return None
        admitted, account_id = allowed.admitted, allowed.caller.account_id
        call.held_millicredits = admitted.held_millicredits
        call.plan_id = allowed.plan_id
        self._parts.live.add(call.request_id, account_id)
        held = Held(
            call.request_id, account_id, admitted.held_millicredits, admitted.period_start_ms, facts=allowed.facts
        )
        kind = None if metered.starts_job is None else self._offer.job_kinds[metered.starts_job]
        job_id = None if metered.job_parameter is None else match.parameters[metered.job_parameter]
        return Charge(held, quote, metered, kind, allowed.remaining_millicredits, job_id)

    def _forwarded(self, match: Match, readable: Readable, allowed: Allowed) -> Awaitable[ProblemReply | None]:
        """The upstream leg."""
        call, scope, parts = self._call, self._scope, self._parts
        assert self._body is not None, "a call is priced by its body"  # noqa: S101
        if match.route.name in self._offer.changing:
            self._changing = Changing(parts.saved_modes, call.account_id, scope["raw_path"].decode("ascii"), self._send)
            self._send = self._changing.send
        self._counted = rate_limit_headers(allowed.admitted.limits)
        charge = self._charge(allowed, readable.quote, match)
        exchange = self._exchange = Exchange(
            call,
            parts.settler,
            charge=charge,
            own_headers=[(b"x-request-id", call.request_id.encode()), *self._counted],
            poll_seen=self._poll_seen(match, allowed),
            body=self._body,
            receive=self._receive,
            send=self._send,
            upgrade_url=parts.upgrade_url,
        )
        target = parts.targets[match.route.upstream]
        headers = self._upstream_headers(target, charge, readable=exchange.reads_answer)
        if isinstance(headers, LoopDetected):
            return self._looped(exchange)
        query: bytes = scope["query_string"]
        path: bytes = b"%b?%b" % (scope["raw_path"], query) if query else scope["raw_path"]
        return exchange.run(target.upstream, scope["method"].encode(), path, headers, readable.body)

    async def _looped(self, exchange: Exchange) -> ProblemReply:
        """The call has come back to us."""
        await exchange.abandon()
        return self._problem(Fault.LOOP_DETECTED)

    def _upstream_headers(self, target: Target, charge: Charge | None, *, readable: bool) -> Headers | LoopDetected:
        """What the upstream is told; `readable` where a meter must be able to read the answer."""
        call, scope = self._call, self._scope
        request_id = call.request_id.encode()
        identity: Headers = [
            (b"x-account-id", call.account_id.encode()),
            (b"x-project-id", call.project_id.encode()),
            (b"x-request-id", request_id),
        ]
        if charge is not None:
            identity.append((b"x-credits-limit", credits_text(charge.held.held_millicredits).encode()))
        client = scope.get("client")
        trusted = client is not None and self._parts.peers.trusted(client[0])
        scheme: bytes = scope.get("scheme", "http").encode()
        return upstream_request_headers(
            scope["headers"],
            credential=target.credential,
            identity=identity,
            trace=request_id[4:],
            peer=client[0].encode() if client else None,
            scheme=forwarded_scheme(scope["headers"], scheme) if trusted else scheme,
            trusted_peer=trusted,
            http_version=scope["http_version"].encode(),
            accept_encoding_identity=readable,
        )

    def _poll_seen(self, match: Match, allowed: Allowed) -> PollSeen | None:
        """What to do with a poll's document: settle the job where its hold is still open."""
        route, job = match.route, allowed.admitted.job
        if route.job is None or route.job.use is not JobUse.POLL or job is None or job.state is not HoldState.OPEN:
            return None
        kind, caller, follower = self._offer.job_kinds[route.job.kind], allowed.caller, self._parts.follower
        return lambda document: follower.seen(kind, job, caller.account_id, document)


def _left_to_upstream(refused: Refused, route: Route, target: Target) -> bool:
    """Whether a job that the ledger does not know is one of the upstream's own, such as a batch makes."""
    job = route.job
    return job is not None and job.unknown_forwarded and target.isolates and refused.code is RefusalCode.NO_SUCH_JOB


def place_of_mode(route: Route) -> tuple[str, ...]:
    """Where a caller finds the mode it sent, for the error that says it is unknown."""
    if route.metered is None:
        return ("body",)
    where = route.metered.mode
    return ("body", *(part for part in (where.name, *where.pointer) if part))


def bearer(authorization: bytes | None) -> bytes:
    """The key in an Authorization header; empty where there is none or it is of another scheme."""
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return b""
    return authorization[7:].strip(b" ")
