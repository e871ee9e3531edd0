"""One call's way down: authenticate, route, price, admit in one atomic step, then the upstream.

Every refusal is a problem document and leaves no trace. The rules are on the floors below; here is only the order they
are asked in.
"""

import asyncio
from typing import Final

import structlog

from gateway.books.faults import BooksUnavailable
from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.credits import credits_text
from gateway.domain.hold import HoldState
from gateway.domain.quote import Quote, UnknownMode
from gateway.domain.usage import CallFacts
from gateway.edges.proxy.asgi import Headers, Receive, Scope, Send
from gateway.edges.proxy.call import Call
from gateway.edges.proxy.exchange import Charge, Exchange, PollSeen, ReplyCut, UpstreamRequest
from gateway.edges.proxy.parts import Parts, Target
from gateway.edges.proxy.priced_request import ForeignOwner, Readable, UnreadableForm, read
from gateway.edges.proxy.request_body import BodyTooLarge, CallerGone, RequestBody, SpoolFull
from gateway.flows.admit import Allowed, Asked, KeyRevoked
from gateway.flows.authenticate import Caller
from gateway.flows.settle import Held, NotAcknowledged
from gateway.ledger.faults import StoreUnavailable
from gateway.upstream.faults import BodyMismatch, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from gateway.wire.headers import LoopDetected, upstream_request_headers
from gateway.wire.problems import Fault, ProblemReply, problem, refusal, unreadable
from gateway.wire.rate_limit_fields import rate_limit_headers
from gateway.wire.request_head import BadHead, RequestHead, read_head
from gateway.wire.route import JobUse, Match, Route, bad_path
from gateway.wire.unreadable import Unreadable

log = structlog.get_logger()
CLOSE: Final = (b"connection", b"close")


class Walk:
    """One call's way down to the upstream."""

    __slots__ = ("_body", "_call", "_exchange", "_offer", "_parts", "_receive", "_scope", "_send")

    def __init__(self, parts: Parts, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        self._parts = parts
        self._call = call
        self._scope = scope
        self._receive = receive
        self._send = send
        self._offer = parts.offer()
        self._body: RequestBody | None = None
        self._exchange: Exchange | None = None

    async def down(self) -> ProblemReply | None:
        """Answers the call; a problem is returned where nothing has been sent yet."""
        try:
            return await self._authenticated()
        except (StoreUnavailable, NotAcknowledged):
            return self._problem(Fault.CREDIT_STORE_UNAVAILABLE)
        except BooksUnavailable:
            return self._problem(Fault.BOOKS_UNAVAILABLE)
        except KeyRevoked:
            return self._problem(Fault.INVALID_API_KEY)
        except ForeignOwner:
            return self._problem(Fault.NO_SUCH_ROUTE, detail="Project or organization not found", close=True)
        except UnreadableForm as form:
            return unreadable(form.fault, request_id=self._call.request_id)
        except BodyTooLarge:
            return self._problem(Fault.BODY_TOO_LARGE, close=True)
        except SpoolFull:
            return self._problem(Fault.DRAINING, detail="Too many large uploads at this moment.", close=True)
        except BodyMismatch:
            return self._problem(Fault.BAD_REQUEST, detail="The body does not have its Content-Length.", close=True)
        except UpstreamFault as fault:
            return self._upstream_problem(fault)
        except (CallerGone, ReplyCut):
            raise
        except Exception:
            if self._exchange is not None and self._exchange.started:
                raise
            log.exception("a call failed", request_id=self._call.request_id)
            return self._problem(Fault.INTERNAL_ERROR, close=True)
        finally:
            if self._body is not None:
                self._body.close()

    def _problem(self, code: RefusalCode | Fault, *, detail: str | None = None, close: bool = False) -> ProblemReply:
        self._call.code = str(code)
        headers = (CLOSE,) if close else ()
        return problem(code, request_id=self._call.request_id, detail=detail, headers=headers)

    def _upstream_problem(self, fault: UpstreamFault) -> ProblemReply:
        log.warning("upstream fault", request_id=self._call.request_id, route=self._call.route, fault=repr(fault))
        match fault:
            case UpstreamUnreachable():
                return self._problem(Fault.UPSTREAM_UNREACHABLE)
            case UpstreamTimeout():
                return self._problem(Fault.UPSTREAM_TIMEOUT)
            case _:
                return self._problem(Fault.UPSTREAM_BROKEN)

    async def _authenticated(self) -> ProblemReply | None:
        scope, call = self._scope, self._call
        head = read_head(scope["method"], scope["http_version"], scope["headers"])
        if isinstance(head, BadHead):
            return self._problem(Fault.BAD_REQUEST, detail=head.reason, close=True)
        raw_path: bytes = scope["raw_path"]
        if (bad := bad_path(raw_path)) is not None:
            return self._problem(Fault.BAD_PATH, detail=bad.reason)
        caller = await self._parts.directory.find(bearer(head.authorization))
        if caller is None:
            return self._problem(Fault.INVALID_API_KEY)
        call.account_id, call.project_id, call.key_id = caller.account_id, caller.project_id, caller.key_id
        match = self._offer.routes.match(scope["method"], raw_path.decode("ascii"))
        if match is None:
            return self._problem(Fault.NO_SUCH_ROUTE)
        call.route = match.route.name
        return await self._routed(head, caller, match)

    async def _routed(self, head: RequestHead, caller: Caller, match: Match) -> ProblemReply | None:
        route, call, parts = match.route, self._call, self._parts
        target = parts.targets[route.upstream]
        if head.upgrade is not None:
            return self._problem(Fault.UPGRADE_REFUSED)
        if route.metered is not None and caller.products is not None and route.metered.product not in caller.products:
            return self._problem(Fault.KEY_NOT_ALLOWED)
        if route.resource and not target.isolates:
            return self._problem(
                Fault.NO_SUCH_ROUTE, detail="This service does not keep accounts apart, so its resources are off."
            )
        if head.content_length is not None and head.content_length > route.max_body_bytes:
            return self._problem(Fault.BODY_TOO_LARGE, close=True)
        body = RequestBody(
            self._receive,
            max_bytes=route.max_body_bytes,
            spool=parts.spool,
            empty=not head.has_body,
        )
        self._body = body
        readable = await read(
            route,
            self._offer.needs[route.name],
            head,
            headers=self._scope["headers"],
            query=self._scope["query_string"],
            body=body,
            caller=caller,
            prices=self._offer.prices,
        )
        match readable:
            case Unreadable():
                call.code = str(Fault.UNREADABLE_MODE)
                return unreadable(readable, request_id=call.request_id)
            case UnknownMode():
                return self._unknown_mode(route, readable)
            case Readable():
                return await self._priced(head, caller, match, target, readable, body)

    def _unknown_mode(self, route: Route, unknown: UnknownMode) -> ProblemReply:
        self._call.code = str(Fault.UNKNOWN_MODE)
        sent = "no mode was sent, and there is no default" if unknown.sent is None else f"{unknown.sent[:80]!r} is none"
        place = () if route.metered is None else (route.metered.mode.name, *route.metered.mode.pointer)
        return problem(
            Fault.UNKNOWN_MODE,
            request_id=self._call.request_id,
            detail=f"{sent} of the modes of {unknown.product}: {', '.join(unknown.known)}",
            loc=("body", *(part for part in place if part)),
        )

    async def _priced(
        self,
        head: RequestHead,
        caller: Caller,
        match: Match,
        target: Target,
        readable: Readable,
        body: RequestBody,
    ) -> ProblemReply | None:
        call, quote, route = self._call, readable.quote, match.route
        job = None
        if route.job is not None:
            job = (self._offer.job_kinds[route.job.kind].upstream, match.parameters[route.job.parameter])
        asked = Asked(
            hold_id=call.request_id,
            limit=route.limit,
            least_millicredits=0 if quote is None else quote.least_millicredits,
            facts=None if quote is None else self._facts(quote, caller, route),
            job=job,
        )
        allowed = await self._admitted(caller, asked)
        if isinstance(allowed, Refused):
            call.code = str(allowed.code)
            return refusal(allowed, request_id=call.request_id, upgrade_url=self._parts.upgrade_url)
        charge = self._charge(allowed, quote, route)
        if charge is not None:
            self._parts.live.add(call.request_id, caller.account_id)
        return await self._forwarded(head, match, target, readable, body, allowed, charge)

    async def _admitted(self, caller: Caller, asked: Asked) -> Allowed | Refused:
        """Asks the ledger; an admission whose fate is unknown is released, so that a late one is refused."""
        try:
            return await self._parts.admission.admit(caller, asked)
        except (StoreUnavailable, asyncio.CancelledError) as error:
            if asked.facts is not None and getattr(error, "outcome_unknown", True):
                self._parts.settler.abandon(asked.hold_id, caller.account_id)
            raise

    def _facts(self, quote: Quote, caller: Caller, route: Route) -> CallFacts:
        call = self._call
        call.product, call.mode = quote.product, quote.mode
        return CallFacts(
            request_id=call.request_id,
            account_id=caller.account_id,
            project_id=caller.project_id,
            key_id=caller.key_id,
            product=quote.product,
            mode=quote.mode,
            unit=quote.unit,
            route=route.name,
            upstream=route.upstream,
            plan_id="",
            rate_card_version=quote.rate_card_version,
            millicredits_per_unit=quote.millicredits_per_unit,
            expected_units=quote.expected_units,
            quote_millicredits=quote.expected_millicredits,
        )

    def _charge(self, allowed: Allowed, quote: Quote | None, route: Route) -> Charge | None:
        metered = route.metered
        if quote is None or metered is None or allowed.facts is None:
            return None
        admitted = allowed.admitted
        self._call.held_millicredits = admitted.held_millicredits
        self._call.plan_id = allowed.facts.plan_id
        held = Held(
            hold_id=self._call.request_id,
            account_id=allowed.caller.account_id,
            held_millicredits=admitted.held_millicredits,
            period_start_ms=admitted.period_start_ms,
            facts=allowed.facts,
        )
        kind = None if metered.starts_job is None else self._offer.job_kinds[metered.starts_job]
        return Charge(held, quote, metered, kind, admitted.available_millicredits)

    async def _forwarded(
        self,
        head: RequestHead,
        match: Match,
        target: Target,
        readable: Readable,
        body: RequestBody,
        allowed: Allowed,
        charge: Charge | None,
    ) -> ProblemReply | None:
        call, scope = self._call, self._scope
        poll_seen = self._poll_seen(match, allowed)
        exchange = Exchange(
            call,
            self._parts.settler,
            charge=charge,
            own_headers=[(b"x-request-id", call.request_id.encode()), *rate_limit_headers(allowed.admitted.limits)],
            poll_seen=poll_seen,
            body=body,
            receive=self._receive,
            send=self._send,
        )
        self._exchange = exchange
        request_id = call.request_id.encode()
        identity: Headers = [
            (b"x-account-id", call.account_id.encode()),
            (b"x-project-id", call.project_id.encode()),
            (b"x-request-id", request_id),
        ]
        if charge is not None:
            identity.append((b"x-credits-limit", credits_text(charge.held.held_millicredits).encode()))
        client = scope.get("client")
        headers = upstream_request_headers(
            scope["headers"],
            credential=target.credential,
            identity=identity,
            trace=request_id[4:],
            peer=client[0].encode() if client else None,
            scheme=scope.get("scheme", "http").encode(),
            http_version=scope["http_version"].encode(),
            accept_encoding_identity=poll_seen is not None or (charge is not None and charge.kind is not None),
        )
        if isinstance(headers, LoopDetected):
            await exchange.abandon()
            return self._problem(Fault.LOOP_DETECTED)
        query: bytes = scope["query_string"]
        raw_path: bytes = scope["raw_path"]
        await exchange.run(
            UpstreamRequest(
                target.upstream,
                scope["method"].encode(),
                b"%b?%b" % (raw_path, query) if query else raw_path,
                headers,
                readable.body,
            )
        )
        return None

    def _poll_seen(self, match: Match, allowed: Allowed) -> PollSeen | None:
        """What to do with a poll's document: settle the job where its hold is still open."""
        route, job = match.route, allowed.admitted.job
        if route.job is None or route.job.use is not JobUse.POLL or job is None or job.state is not HoldState.OPEN:
            return None
        kind, caller, follower = self._offer.job_kinds[route.job.kind], allowed.caller, self._parts.follower
        return lambda document: follower.seen(kind, job, caller.account_id, document)


def bearer(authorization: bytes | None) -> bytes:
    """The key in an Authorization header; empty where there is none or it is of another scheme."""
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return b""
    return authorization[7:].strip(b" ")
