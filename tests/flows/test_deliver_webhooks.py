"""What is written down for an endpoint arrives there, signed, or fails for good after days; over real connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.books import audit, webhook_endpoints, webhooks
from gateway.books.books import Books
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.webhook import PAUSES_MS, DeliveryStatus, EventType, TryOutcome
from gateway.flows.accounts import Accounts
from gateway.flows.deliver_webhooks import AT_ONCE_EACH, Deliverer
from gateway.flows.tell_account import emit
from gateway.flows.webhooks import ShownEndpoint, Webhooks
from gateway.sinks.webhook import Posted, WebhookSender
from tests.made_up import Clock
from tests.webhook_receiver import Receiver, receiving, reply

PEPPER = b"a pepper for tests"


class Answers:
    """A sink in memory."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.posted: list[str] = []

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Posted:
        self.posted.append(dict(headers)["webhook-id"])
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Posted(status, b"", "" if status else "ConnectError", 0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    opened = WebhookSender(allow_private=True)
    yield opened
    await opened.close()


@pytest.fixture
def hooks(books: Books, clock: Clock) -> Webhooks:
    return Webhooks(books=books, pepper=PEPPER, clock=clock, allow_private=True)


@pytest.fixture
async def endpoint(hooks: Webhooks, accounts: Accounts, receiver: Receiver) -> ShownEndpoint:
    return await hooks.create((await accounts.create("Acme", "free")).id, receiver.url)


class Counted:
    """What is told of tries."""

    def __init__(self, outcomes: list[TryOutcome]) -> None:
        self.outcomes = outcomes

    def webhook_tried(self, outcome: TryOutcome) -> None:
        self.outcomes.append(outcome)


def deliverer(
    books: Books,
    clock: Clock,
    sender: WebhookSender | Answers,
    disable_after_days: int = 5,
    counted: list[TryOutcome] | None = None,
) -> Deliverer:
    return Deliverer(
        books=books,
        sender=sender,
        pepper=PEPPER,
        clock=clock,
        jitter=lambda _: 0,
        disable_after_ms=disable_after_days * DAY_MS,
        tell=Counted([] if counted is None else counted),
    )


async def happened(books: Books, clock: Clock, endpoint: ShownEndpoint, number: int = 1) -> None:
    async with books.begin() as conn:
        data = {"number": number}
        assert await emit(conn, endpoint.endpoint.account_id, EventType.INVOICE_PAID, data, epoch_ms(clock()))


async def test_an_event_arrives_signed_in_the_standards_way(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver, hooks: Webhooks
) -> None:
    await happened(books, clock, endpoint)
    receiver.answers = [reply(200, b"thanks")]
    assert await deliverer(books, clock, sender).deliver_due() == 1
    (got,) = receiver.received
    told = Webhook(endpoint.secret).verify(got.body, got.headers)
    assert told["type"] == "invoice.paid"
    assert told["data"] == {"account_id": endpoint.endpoint.account_id, "number": 1}
    assert got.headers["content-type"] == "application/json"
    (logged,) = await hooks.deliveries(endpoint.endpoint.id)
    assert (logged.status, logged.attempts, logged.next_ms) == (DeliveryStatus.DELIVERED, 1, None)
    (attempt,) = (await hooks.delivery(logged.id)).attempts
    assert (attempt.status, attempt.reply, attempt.fault) == (200, "thanks", "")
    assert await deliverer(books, clock, sender).deliver_due() == 0


async def test_an_endpoint_that_fails_some_times_and_then_recovers_gets_the_event_once_more_each_time(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver, hooks: Webhooks
) -> None:
    await happened(books, clock, endpoint)
    receiver.answers = [reply(500, b"oops"), reply(302, b"", f"Location: {receiver.url}"), reply(200)]
    running = deliverer(books, clock, sender)
    assert await running.deliver_due() == 1
    assert await running.deliver_due() == 0
    clock.forward(seconds=6)
    assert await running.deliver_due() == 1
    clock.forward(minutes=4)
    assert await running.deliver_due() == 0
    clock.forward(minutes=2)
    assert await running.deliver_due() == 1
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    assert len({got.body for got in receiver.received}) == 1
    (logged,) = await hooks.deliveries(endpoint.endpoint.id)
    view = await hooks.delivery(logged.id)
    assert [(one.number, one.status) for one in view.attempts] == [(3, 200), (2, 302), (1, 500)]
    assert view.attempts[1].fault == "a redirect, which is not followed"
    assert view.attempts[2].reply == "oops"
    assert (await hooks.show(endpoint.endpoint.id)).failing_since_ms is None


async def test_after_days_of_failures_a_delivery_has_failed_and_can_be_replayed(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    sink = Answers(None)
    running = deliverer(books, clock, sink)
    began_ms = epoch_ms(clock())
    await happened(books, clock, endpoint)
    for pause in (0, *PAUSES_MS):
        clock.forward(milliseconds=pause)
        assert await running.deliver_due() == 1
    clock.forward(days=1)
    assert await running.deliver_due() == 0
    (logged,) = await hooks.deliveries(endpoint.endpoint.id, status="failed")
    assert (logged.attempts, logged.last_fault) == (len(PAUSES_MS) + 1, "ConnectError")
    assert (logged.ended_ms or 0) - began_ms > 3 * DAY_MS
    sink.statuses = [200]
    assert (await hooks.replay(logged.id)).status is DeliveryStatus.WAITING
    assert await running.deliver_due() == 1
    (logged,) = await hooks.deliveries(endpoint.endpoint.id)
    assert (logged.status, logged.attempts) == (DeliveryStatus.DELIVERED, len(PAUSES_MS) + 2)
    assert len(set(sink.posted)) == 1


async def test_an_endpoint_that_asks_to_be_left_alone_is_for_as_long_as_a_day(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver
) -> None:
    await happened(books, clock, endpoint)
    receiver.answers = [reply(503, b"", "Retry-After: 3600"), reply(503, b"", "Retry-After: 999999999"), reply(204)]
    counted: list[TryOutcome] = []
    running = deliverer(books, clock, sender, counted=counted)
    assert await running.deliver_due() == 1
    for not_yet_min in (59, 23 * 60):
        clock.forward(minutes=not_yet_min)
        assert await running.deliver_due() == 0
        clock.forward(hours=2)
        assert await running.deliver_due() == 1
    assert counted == [TryOutcome.FAILED, TryOutcome.FAILED, TryOutcome.DELIVERED]


async def test_all_that_failed_since_an_hour_is_replayed_together(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    for number in range(3):
        await happened(books, clock, endpoint, number)
        clock.forward(hours=1)
    await hooks.disable(endpoint.endpoint.id)
    assert len(await hooks.deliveries(endpoint.endpoint.id, status="failed")) == 3
    await hooks.enable(endpoint.endpoint.id)
    assert await hooks.replay_failed(endpoint.endpoint.id, since_ms=epoch_ms(clock()) - 2 * 3_600_000) == 2
    assert await deliverer(books, clock, Answers(204)).deliver_due() == 2


async def test_410_gone_ends_it_at_once(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver, hooks: Webhooks
) -> None:
    await happened(books, clock, endpoint)
    receiver.answers = [reply(410)]
    await deliverer(books, clock, sender).deliver_due()
    found = await hooks.show(endpoint.endpoint.id)
    assert found.disabled_reason == "it answered 410 Gone"
    (logged,) = await hooks.deliveries(endpoint.endpoint.id)
    assert logged.status is DeliveryStatus.FAILED
    async with books.begin() as conn:
        (last, *_) = await audit.of_account(conn, found.account_id)
        assert (last.action, last.actor, last.subject_id) == ("webhook.disable", "gateway", found.id)
        assert await emit(conn, found.account_id, EventType.INVOICE_PAID, {}, epoch_ms(clock())) is None


async def test_an_endpoint_that_took_nothing_for_days_is_put_out_of_use(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    running = deliverer(books, clock, Answers(500), disable_after_days=5)
    for _ in range(6):
        await happened(books, clock, endpoint)
        await running.deliver_due()
        clock.forward(days=1)
    found = await hooks.show(endpoint.endpoint.id)
    assert found.disabled_reason == "it took no delivery for 5 days"
    waiting = await hooks.deliveries(endpoint.endpoint.id, status="waiting")
    assert waiting == []


async def test_one_success_forgives_the_failures_before(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    sink = Answers(500)
    running = deliverer(books, clock, sink, disable_after_days=2)
    for day, status in enumerate((500, 204, 500, 500)):
        sink.statuses = [status]
        await happened(books, clock, endpoint, day)
        await running.deliver_due()
        clock.forward(days=1)
    assert (await hooks.show(endpoint.endpoint.id)).disabled_ms is None


async def test_during_a_rotation_receivers_with_either_secret_verify_and_afterwards_only_the_new_one(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver, hooks: Webhooks
) -> None:
    rotated = await hooks.rotate(endpoint.endpoint.id)
    assert rotated.secret != endpoint.secret
    await happened(books, clock, endpoint)
    running = deliverer(books, clock, sender)
    await running.deliver_due()
    (got,) = receiver.received
    for secret in (endpoint.secret, rotated.secret):
        Webhook(secret).verify(got.body, got.headers)
    async with books.read() as conn:
        kept = await webhook_endpoints.get(conn, endpoint.endpoint.id)
    assert kept is not None
    assert len(kept.seeds_at(epoch_ms(clock()) + 24 * 3_600_000 - 1)) == 2
    assert len(kept.seeds_at(epoch_ms(clock()) + 24 * 3_600_000)) == 1
    at_once = await hooks.rotate(endpoint.endpoint.id, overlap_ms=0)
    await happened(books, clock, endpoint)
    await running.deliver_due()
    got = receiver.received[-1]
    Webhook(at_once.secret).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(rotated.secret).verify(got.body, got.headers)


async def test_several_deliverers_at_once_send_each_event_once(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    for number in range(10):
        await happened(books, clock, endpoint, number)
    sink = Answers(204)
    running = [deliverer(books, clock, sink) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(one.deliver_due() for one in running))
    assert len(sink.posted) == len(set(sink.posted)) == 10
    assert {one.status for one in await hooks.deliveries(endpoint.endpoint.id)} == {DeliveryStatus.DELIVERED}


async def test_what_a_process_died_with_is_sent_by_another_a_minute_later(
    books: Books, clock: Clock, endpoint: ShownEndpoint
) -> None:
    await happened(books, clock, endpoint)
    async with books.begin() as conn:
        (lost,) = await webhooks.lease(conn, endpoint.endpoint.id, epoch_ms(clock()), limit=4)
    running = deliverer(books, clock, sink := Answers(204))
    assert await running.deliver_due() == 0
    clock.forward(seconds=61)
    assert await running.deliver_due() == 1
    assert sink.posted == [lost.message_id]
    attempt = webhooks.Attempt(1, 0, 500, 0, "", "")
    async with books.begin() as conn:
        assert not await webhooks.finish(conn, lost, attempt, DeliveryStatus.FAILED, next_ms=None)


async def test_an_endpoint_that_hangs_holds_up_a_few_of_its_own_and_nobody_elses(
    books: Books,
    clock: Clock,
    sender: WebhookSender,
    endpoint: ShownEndpoint,
    receiver: Receiver,
    hooks: Webhooks,
) -> None:
    receiver.answers = [None] * 20
    for number in range(10):
        await happened(books, clock, endpoint, number)
    running = deliverer(books, clock, sender)
    stuck = await running._start_due()
    assert len(stuck) == AT_ONCE_EACH
    async with receiving() as healthy:
        other = await hooks.create(endpoint.endpoint.account_id, healthy.url, event_types=["webhook.test"])
        await hooks.send_test(other.endpoint.id)
        (started,) = await running._start_due()
        await started
        assert orjson.loads(healthy.received[0].body)["type"] == "webhook.test"
    receiver.let_go.set()
    await asyncio.gather(*stuck)


async def test_events_are_forgotten_after_the_time_they_are_kept(
    books: Books, clock: Clock, endpoint: ShownEndpoint, hooks: Webhooks
) -> None:
    running = deliverer(books, clock, Answers(204))
    await happened(books, clock, endpoint)
    await running.deliver_due()
    clock.forward(days=29)
    await happened(books, clock, endpoint)
    assert await running.trim() == 0
    clock.forward(days=2)
    assert await running.trim() == 1
    assert len(await hooks.deliveries(endpoint.endpoint.id)) == 1


async def test_a_deliverer_that_is_stopped_lets_go_of_what_it_was_sending(
    books: Books, clock: Clock, sender: WebhookSender, endpoint: ShownEndpoint, receiver: Receiver
) -> None:
    receiver.answers = [None]
    await happened(books, clock, endpoint)
    running = asyncio.create_task(deliverer(books, clock, sender).run())
    await receiver.arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    clock.forward(seconds=61)
    assert await deliverer(books, clock, Answers(204)).deliver_due() == 1
