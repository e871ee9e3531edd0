"""The upstream leg of one admitted call: the answer is streamed, metered, and settled before its end is let go.

The last bytes of a body of known length, and the end of one of unknown length, wait until Redis has acknowledged the
charge or the job's hold. Decides neither admission nor price. What an end costs is `domain.outcome`'s rule.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Final, NamedTuple, Protocol, TypeAlias

from gateway.domain.admission import Refused
from gateway.domain.credits import credits_text
from gateway.domain.outcome import CallEnd, End, Release, outcome
from gateway.domain.quote import Quote
from gateway.edges.proxy.asgi import Headers, Receive, Send
from gateway.edges.proxy.call import Call
from gateway.edges.proxy.metered_stream import MeteredStream
from gateway.edges.proxy.request_body import RequestBody
from gateway.flows.settle import Held, NotAcknowledged, Settler
from gateway.ledger.faults import StoreUnavailable
from gateway.upstream.answer import Upstream, UpstreamAnswer
from gateway.upstream.faults import UpstreamFault
from gateway.wire.headers import caller_response_headers
from gateway.wire.job_reply import read_job_id, valid_job_id
from gateway.wire.meter import Meter, NotRead
from gateway.wire.problems import Fault, as_event, problem, refusal
from gateway.wire.route import AtEnd, JobKind, Metered, OnDisconnect, Overrun, Stream
from gateway.wire.stream_meter import is_event_stream, stream_meter

RequestBytes: TypeAlias = bytes | AsyncIterator[bytes] | None

_NOT_CHECKED: Final = "Credits could not be checked any more, so the answer ends here. What came is charged."
# A caller who leaves is noticed at the latest so much later, where the route stops the upstream for it.
WATCH_AFTER_S: Final = 0.05


class ReplyCut(Exception):
    """The reply was begun and cannot be ended honestly: the connection to the caller must be cut."""


class PollSeen(Protocol):
    """Shown the complete document of a job's poll, before its end is let go."""

    async def __call__(self, document: object) -> None:
        """Settle the job where the document tells its end."""


class Charge(NamedTuple):
    """The metered side of a call: its hold and how its end is priced.

    `job_id` where the path names the job that a 2xx reply starts, else None: the reply does.
    """

    held: Held
    quote: Quote
    metered: Metered
    kind: JobKind | None
    remaining_millicredits: int
    job_id: str | None = None


class Exchange:
    """Runs one upstream leg. `charge` None: the call is free."""

    # Defaults live on the class, so that a call only pays for what it sets.
    started = False
    _settled = False
    _gone = False
    _meter: Meter | None = None
    _stream: MeteredStream | None = None
    _watch: asyncio.TimerHandle | None = None
    _watching: asyncio.Task[None] | None = None

    def __init__(
        self,
        call: Call,
        settler: Settler,
        *,
        charge: Charge | None,
        own_headers: Headers,
        poll_seen: PollSeen | None,
        body: RequestBody,
        receive: Receive,
        send: Send,
        upgrade_url: str,
    ) -> None:
        self._upgrade_url = upgrade_url
        self._call = call
        self._settler = settler
        self._charge = charge
        self._own_headers = own_headers
        self._poll_seen = poll_seen
        self._body = body
        self._receive = receive
        self._send = send
        if poll_seen is not None or (charge is not None and charge.kind is not None):
            self._meter = Meter()

    @property
    def reads_answer(self) -> bool:
        """Whether the answer's document decides something, so that it must come uncompressed."""
        return self._meter is not None or (self._charge is not None and self._charge.metered.stream is not None)

    async def run(self, upstream: Upstream, method: bytes, target: bytes, headers: Headers, body: RequestBytes) -> None:
        """Sends the request, passes the answer on. UpstreamFault, NotAcknowledged and what the body raises where
        nothing has been sent to the caller yet; ReplyCut where something has.
        """
        if self._charge is None or self._charge.metered.on_disconnect is not OnDisconnect.FOLLOW:
            self._watch = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._watch_caller, _this_task())
        answer: UpstreamAnswer | None = None
        try:
            try:
                answer = await upstream.send(method, target, headers, body)
                self._call.status = answer.status
                if self._meter is not None:
                    self._meter.on_start(answer.status, answer.headers)
                if self._charge is not None and self._charge.metered.stream is not None:
                    self._stream = self._metered(answer, self._charge, self._charge.metered.stream)
                if self._stream is not None:
                    await self._pass_metered(answer, self._stream)
                else:
                    await (self._pass_whole(answer) if answer.complete else self._pass_streaming(answer))
            finally:
                if answer is not None:
                    await answer.close()
        except asyncio.CancelledError:
            if not self._gone:
                await self._end(End.BROKEN)
                raise
            _this_task().uncancel()
            await self._end(End.STOPPED)
        except Exception:
            # Whatever it was, also what the caller's own body raised while the answer was under way: the hold ends.
            await self._end(End.UNREACHED if answer is None else End.BROKEN)
            raise
        finally:
            if self._watch is not None:
                self._watch.cancel()
            if self._watching is not None:
                self._watching.cancel()

    async def abandon(self) -> None:
        """Ends the call before anything was sent upstream."""
        await self._end(End.UNREACHED)

    async def _pass_whole(self, answer: UpstreamAnswer) -> None:
        """An answer that is here already: settled first, so that its head can tell what it cost."""
        body = await answer.read()
        if self._meter is not None:
            self._meter.on_body(body)
            self._meter.finish()
        await self._end(End.COMPLETE)
        await self._start(answer)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _pass_streaming(self, answer: UpstreamAnswer) -> None:
        await self._start(answer)
        meter, left_bytes = self._meter, answer.content_length
        try:
            while chunk := await answer.read():
                if meter is not None:
                    meter.on_body(chunk)
                if left_bytes is not None:
                    left_bytes -= len(chunk)
                if answer.complete or left_bytes == 0:
                    await self._finish(chunk)
                    return
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except UpstreamFault as fault:
            await self._end(End.BROKEN)
            raise ReplyCut from fault
        await self._finish(b"")

    def _metered(self, answer: UpstreamAnswer, charge: Charge, stream: Stream) -> MeteredStream | None:
        """What pays for the answer while it passes; None where it is not charged, or nothing in it can be counted."""
        meter = stream_meter(stream.units, answer.headers)
        if meter is None or answer.status // 100 not in charge.metered.charged_classes:
            return None
        per_unit = charge.quote.millicredits_per_unit
        return MeteredStream(meter, stream, self._settler, charge.held, millicredits_per_unit=per_unit)

    async def _pass_metered(self, answer: UpstreamAnswer, stream: MeteredStream) -> None:
        await self._start(answer)
        left_bytes = answer.content_length
        try:
            while chunk := await answer.read():
                data, ended = await stream.pay(chunk)
                if ended is not None:
                    await self._spent(data, ended, answer)
                    return
                if left_bytes is not None:
                    left_bytes -= len(data)
                    if left_bytes == 0:
                        await self._finish(data)
                        return
                if data:
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except UpstreamFault as fault:
            await self._end(End.BROKEN)
            raise ReplyCut from fault
        await self._finish((await stream.pay_rest()).data)

    async def _spent(self, data: bytes, why: Refused | StoreUnavailable, answer: UpstreamAnswer) -> None:
        """The credits have ended within the answer: says so, where it is a stream that can, or cuts it."""
        metered = None if self._charge is None else self._charge.metered.stream
        request_id = self._call.request_id
        if isinstance(why, Refused):
            told = refusal(why, request_id=request_id, upgrade_url=self._upgrade_url)
            self._call.code = str(why.code)
        else:
            told = problem(Fault.CREDIT_STORE_UNAVAILABLE, request_id=request_id, detail=_NOT_CHECKED)
            self._call.code = str(Fault.CREDIT_STORE_UNAVAILABLE)
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        try:
            await self._end(End.SPENT)
        except NotAcknowledged as error:
            raise ReplyCut from error
        said = metered is not None and metered.at_end is AtEnd.EVENT and is_event_stream(answer.headers)
        if not said or answer.content_length is not None:
            raise ReplyCut
        await self._send({"type": "http.response.body", "body": as_event(told), "more_body": False})

    async def _finish(self, last: bytes) -> None:
        """Settles, and only then lets the end of the reply go."""
        if self._meter is not None:
            self._meter.finish()
        try:
            await self._end(End.COMPLETE)
        except NotAcknowledged as error:
            raise ReplyCut from error
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    def _start(self, answer: UpstreamAnswer) -> Awaitable[None]:
        """Sends the head."""
        status = answer.status
        headers = caller_response_headers(answer.headers, self._own_headers, status=status)
        if self._charge is not None:
            headers += self._credit_headers(self._charge, status)
        self.started = True
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _credit_headers(self, charge: Charge, status: int) -> Headers:
        """X-Credits-*: the charge where it is known, else the hold where one is still open."""
        charged = self._call.charged_millicredits
        remaining, held = charge.remaining_millicredits, charge.held.held_millicredits
        fields: Headers = []
        if charged is not None:
            remaining += held - charged
            fields.append((b"x-credits-charged", credits_text(charged).encode()))
        elif status // 100 in charge.metered.charged_classes:
            exact = charge.kind is None and charge.quote.exact and self._stream is None
            fields.append((b"x-credits-charged" if exact else b"x-credits-held", credits_text(held).encode()))
        else:
            remaining += held
        fields.append((b"x-credits-remaining", credits_text(max(0, remaining)).encode()))
        return fields

    async def _end(self, end: End) -> None:
        """Settles the call's hold, or shows a poll's document, once. NotAcknowledged where Redis stays silent."""
        if self._settled:
            return
        self._settled = True
        self._call.end = end
        charge = self._charge
        if charge is None:
            if self._poll_seen is not None and end is End.COMPLETE and self._meter is not None:
                document = self._meter.json()
                if not isinstance(document, NotRead) and self._meter.succeeded:
                    await self._poll_seen(document)
            return
        decided = outcome(self._call_end(charge, end))
        cap = charge.metered.overrun is Overrun.CAP
        try:
            held = charge.held if self._stream is None else self._stream.held
            settled = await self._settler.settle(held, decided, cap=cap, kind=charge.kind)
        except NotAcknowledged:
            if isinstance(decided, Release):
                return  # nothing is owed to Redis before the caller may hear of an error
            raise
        if settled is None:
            self._call.end = "job"
        else:
            self._call.charged_millicredits = settled.captured_millicredits

    def _call_end(self, charge: Charge, end: End) -> CallEnd:
        job_id = charge.job_id if charge.job_id is not None and valid_job_id(charge.job_id) else None
        if charge.kind is not None and charge.job_id is None and self._meter is not None and end is not End.UNREACHED:
            if end is not End.COMPLETE:
                self._meter.finish()  # a reply that was cut may still have named its job
            document = self._meter.json()
            if not isinstance(document, NotRead):
                job_id = read_job_id(document, charge.kind)
        exact = charge.quote.exact
        return CallEnd(
            end=end,
            status=self._call.status,
            charged=self._call.status // 100 in charge.metered.charged_classes,
            starts_job=charge.kind is not None,
            job_id=job_id,
            exact_cost_millicredits=charge.quote.expected_millicredits if exact else None,
            exact_units=charge.quote.expected_units if exact else None,
            stopped_is_free=charge.metered.on_disconnect is OnDisconnect.FREE,
            delivered=None if self._stream is None else self._stream.delivered,
        )

    def _watch_caller(self, running: asyncio.Task[object]) -> None:
        """Begins to listen for the caller's leaving; while a request body is under way, reading it tells that."""
        if not self._body.ended:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(WATCH_AFTER_S, self._watch_caller, running)
            return
        self._watching = asyncio.create_task(self._until_gone(running))

    async def _until_gone(self, running: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        running.cancel()


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None, "an exchange runs in a task"  # noqa: S101
    return task
