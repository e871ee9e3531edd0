"""Webhook endpoints: what there is, making, changing and removing them, new secrets, on and off, and a test event.

A secret is on the page that answers the form that made it, and nowhere after. What was sent is webhook_log's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.webhook_endpoints import Endpoint
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.edges.dashboard.confirm import Question, ask
from gateway.edges.dashboard.door import OWNERS
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import sentence
from gateway.edges.dashboard.once import SentAlready, fresh_word, once
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.rotate import Rotation, ask_overlap
from gateway.edges.dashboard.secret import Secret, show
from gateway.edges.dashboard.webhook_form import EVENTS, WebhookForm
from gateway.edges.dashboard.webhook_log import DELIVERY_SAID, VERIFY
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.webhooks import MOST_ENDPOINTS

SECTION: Final = "webhooks"
OVERLAPS: Final[Mapping[str, tuple[int, str]]] = {
    "0": (0, "Not at all: only the new one signs"),
    "1h": (HOUR_MS, "1 hour"),
    "24h": (DAY_MS, "24 hours"),
    "7d": (7 * DAY_MS, "7 days"),
}
ALREADY: Final = "That form was sent already, and a secret is shown once. If you did not keep it, rotate the secret."


def webhook_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/webhooks` and what is below it, but for the delivery log."""
    answers = _Answers(pages.parts.desk, f"{pages.door.home}/webhooks")
    home, one = answers.home, f"{answers.home}/{{endpoint_id}}"
    return [
        pages.get(home, answers.listed),
        pages.post(home, answers.create),
        pages.get(f"{home}/new", answers.new, roles=OWNERS),
        pages.get(f"{one}/edit", answers.edit, roles=OWNERS),
        pages.post(f"{one}/edit", answers.change),
        pages.get(f"{one}/rotate", answers.ask_rotate, roles=OWNERS),
        pages.post(f"{one}/rotate", answers.rotate),
        pages.post(f"{one}/enable", answers.enable),
        pages.post(f"{one}/disable", answers.disable),
        pages.get(f"{one}/remove", answers.ask_remove, roles=OWNERS),
        pages.post(f"{one}/remove", answers.remove),
        pages.post(f"{one}/test", answers.test),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """`home` is where the pages begin."""

    desk: Desk
    home: str

    async def listed(self, visit: Visit) -> Response:
        found = []
        for endpoint in await self.desk.webhooks.of_account(visit.account_id):
            last = await self.desk.webhooks.deliveries(endpoint.id, limit=1, account_id=visit.account_id)
            found.append((endpoint, last[0] if last else None))
        return visit.page(
            "webhooks.html",
            title="Webhooks",
            section=SECTION,
            now_ms=visit.now_ms,  # deliveries live by the world's clock, a sandbox's too
            endpoints=found,
            most=MOST_ENDPOINTS,
            said=DELIVERY_SAID,
            events=EVENTS,
        )

    async def new(self, visit: Visit) -> Response:
        return self._form(visit, WebhookForm(), None)

    async def create(self, visit: Visit) -> Response:
        form = WebhookForm.sent(visit.form)
        if form.wrong:
            return self._form(visit, form, None, form.wrong)
        try:
            async with once(visit):
                made = await self.desk.webhooks.create(
                    visit.account_id,
                    form.url,
                    event_types=form.event_types,
                    description=form.description,
                    actor=visit.visitor.actor,
                )
        except SentAlready:
            return visit.go(self.home, ALREADY, Tone.PLAIN)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return self._form(visit, form, None, _by_field(fault))
        says = ["Keep it with the program that listens there; it proves that an event is ours."]
        return self._secret(visit, "Endpoint made", made.secret, says)

    async def edit(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        return self._form(visit, WebhookForm.of(endpoint), endpoint)

    async def change(self, visit: Visit) -> Response:
        endpoint, form = await self._mine(visit), WebhookForm.sent(visit.form)
        if form.wrong:
            return self._form(visit, form, endpoint, form.wrong)
        try:
            await self.desk.webhooks.update(
                endpoint.id,
                url=form.url,
                event_types=form.event_types,
                all_events=form.every,
                description=form.description,
                account_id=visit.account_id,
                actor=visit.visitor.actor,
            )
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return self._form(visit, form, endpoint, _by_field(fault))
        return visit.go(self._page_of(endpoint), "Saved. What happens from now on goes there.")

    async def ask_rotate(self, visit: Visit, wrong: str = "") -> Response:
        endpoint = await self._mine(visit)
        rotation = Rotation(
            title="Rotate the signing secret",
            about="A new secret for this endpoint. Until the old one ends every event bears both signatures.",
            section=SECTION,
            crumb=(endpoint.description or endpoint.url, self._page_of(endpoint)),
            legend="How long the old secret signs too",
            overlaps={value: said for value, (_, said) in OVERLAPS.items()},
            note="After a leak: not at all.",
            action=f"{self._page_of(endpoint)}/rotate",
            button="Make the new secret",
        )
        return ask_overlap(visit, rotation, wrong)

    async def rotate(self, visit: Visit) -> Response:
        endpoint, overlap = await self._mine(visit), OVERLAPS.get(visit.form.get("overlap"))
        if overlap is None:
            return await self.ask_rotate(visit, "Choose how long the old secret signs too.")
        try:
            async with once(visit):
                made = await self.desk.webhooks.rotate(
                    endpoint.id, overlap_ms=overlap[0], account_id=visit.account_id, actor=visit.visitor.actor
                )
        except SentAlready:
            return visit.go(self._page_of(endpoint), ALREADY, Tone.PLAIN)
        says = [f"The old one signs too for {overlap[1]}." if overlap[0] else "The old one signs no more."]
        return self._secret(visit, "Secret replaced", made.secret, says, self._page_of(endpoint))

    async def enable(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        await self.desk.webhooks.enable(endpoint.id, account_id=visit.account_id, actor=visit.visitor.actor)
        return visit.go(self._page_of(endpoint), "It is on. What failed meanwhile can be sent again below.")

    async def disable(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        await self.desk.webhooks.disable(endpoint.id, account_id=visit.account_id, actor=visit.visitor.actor)
        return visit.go(self._page_of(endpoint), "It is off: nothing is sent to it.", Tone.PLAIN)

    async def ask_remove(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        question = Question(
            title="Remove this endpoint?",
            section=SECTION,
            crumb=(endpoint.description or endpoint.url, self._page_of(endpoint)),
            says=[
                f"Nothing is sent to {endpoint.url} any more, and what waits for it is dropped.",
                "Its secret and its delivery log are forgotten. To keep them, switch it off instead.",
            ],
            action=f"{self._page_of(endpoint)}/remove",
            button="Remove it",
        )
        return ask(visit, question)

    async def remove(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        await self.desk.webhooks.remove(endpoint.id, account_id=visit.account_id, actor=visit.visitor.actor)
        return visit.go(self.home, f"{endpoint.url} was removed.")

    async def test(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        try:
            async with once(visit):
                await self.desk.webhooks.send_test(endpoint.id, account_id=visit.account_id, actor=visit.visitor.actor)
        except SentAlready:
            return visit.go(self._page_of(endpoint), "That test was sent already; it is in the log.", Tone.PLAIN)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return visit.go(self._page_of(endpoint), sentence(str(fault)), Tone.BAD)
        return visit.go(
            self._page_of(endpoint), "A test event is on its way. Reload in a moment to see what came of it."
        )

    def _form(
        self, visit: Visit, form: WebhookForm, endpoint: Endpoint | None, wrong: Mapping[str, str] | None = None
    ) -> Response:
        return visit.page(
            "webhook_form.html",
            title="New webhook endpoint" if endpoint is None else "Edit the endpoint",
            section=SECTION,
            status=422 if wrong else 200,
            it=form,
            endpoint=endpoint,
            events=EVENTS,
            wrong=wrong or {},
            once=fresh_word(),
        )

    def _secret(self, visit: Visit, title: str, secret: str, says: Sequence[str], back: str = "") -> Response:
        return show(
            visit,
            Secret(
                title=title,
                section=SECTION,
                crumb=("Webhooks", back or self.home),
                label="Signing secret",
                secret=secret,
                says=says,
                snippet_label="Verifying an event",
                snippet=VERIFY,
            ),
        )

    async def _mine(self, visit: Visit) -> Endpoint:
        """The endpoint of the path, if it is the visitor's account's. NoSuchThing."""
        return await self.desk.webhooks.show(visit.request.path_params["endpoint_id"], account_id=visit.account_id)

    def _page_of(self, endpoint: Endpoint) -> str:
        return f"{self.home}/{endpoint.id}"


def _by_field(fault: CallerFault) -> dict[str, str]:
    return {fault.name if isinstance(fault, WrongParameter) else "": sentence(str(fault))}
