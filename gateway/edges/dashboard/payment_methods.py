"""How the account pays: its methods, which one is charged, adding and removing them, and what was tried lately.

No card number comes here: cards are added on the payment provider's own page.
"""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.billing_details import SELLER
from gateway.domain.instant import DAY_MS, from_epoch_ms
from gateway.domain.payment import PaymentMethod
from gateway.edges.dashboard.confirm import Question, ask
from gateway.edges.dashboard.door import OWNERS
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import name, sentence
from gateway.edges.dashboard.invoices import ATTEMPTS
from gateway.edges.dashboard.once import SentAlready, fresh_word, once
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded

SECTION: Final = "invoices"
RECENT: Final = 8
SOON_MS: Final = 60 * DAY_MS
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """A method as it is shown at a moment."""

    method: PaymentMethod
    now_ms: int

    @property
    def label(self) -> str:
        """As in "Visa ending in 4242"."""
        what = name(self.method.brand or self.method.kind.value)
        return f"{what} ending in {self.method.last4}" if self.method.last4 else what

    @property
    def brand(self) -> str:
        """Of the card, else what it is."""
        return name(self.method.brand or self.method.kind.value)

    @property
    def expiry(self) -> str:
        """As in "12/2034"; empty for what does not expire."""
        if self.method.exp_month is None or self.method.exp_year is None:
            return ""
        return f"{self.method.exp_month:02d}/{self.method.exp_year}"

    @property
    def said(self) -> tuple[str, str] | None:
        """What is to be known of its expiry, and its tone: a card is good until its month is over."""
        if self.method.exp_month is None or self.method.exp_year is None:
            return None
        good_until = self.method.exp_year * _MONTHS + self.method.exp_month
        if _month(self.now_ms) > good_until:
            return ("Expired", "bad")
        return ("Expires soon", "warn") if _month(self.now_ms + SOON_MS) > good_until else None


def payment_method_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/payment-methods` and what is below it."""
    answers = _Answers(pages.parts.desk, f"{pages.door.home}/payment-methods")
    home, one = answers.home, f"{answers.home}/{{method_id}}"
    return [
        pages.get(home, answers.listed),
        pages.get(f"{home}/add", answers.adding, roles=OWNERS),
        pages.post(f"{home}/add", answers.add),
        pages.post(f"{one}/default", answers.make_default),
        pages.get(f"{one}/remove", answers.ask_remove, roles=OWNERS),
        pages.post(f"{one}/remove", answers.remove),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """`home` is where the pages begin."""

    desk: Desk
    home: str

    async def listed(self, visit: Visit) -> Response:
        payments = self.desk.payments
        return visit.page(
            "payment_methods.html",
            title="Payment methods",
            section=SECTION,
            charges=payments.charges,
            methods=await _methods(self.desk, visit),
            attempts=await payments.attempts(visit.account_id, limit=RECENT),
            attempt_said=ATTEMPTS,
            seller=await self.desk.invoices.details(SELLER),
        )

    async def adding(self, visit: Visit, wrong: str = "") -> Response:
        back = f"{visit.pages.browsers.origin(visit.request)}{self.home}"
        try:
            offered = await self.desk.payment_methods.begin_adding(visit.account_id, return_url=back)
        except PaymentNeeded as away:
            return visit.go(self.home, sentence(str(away)), Tone.BAD)
        return visit.page(
            "payment_method_add.html",
            title="Add a payment method",
            section=SECTION,
            status=422 if wrong else 200,
            offered=offered,
            url=offered.url if offered.url and offered.url.startswith("https://") else None,
            provider=name(self.desk.payments.provider),
            chosen=visit.form.get("test_card"),
            wrong=wrong,
            once=fresh_word(),
            seller=await self.desk.invoices.details(SELLER),
        )

    async def add(self, visit: Visit) -> Response:
        card = visit.form.get("test_card")
        if not card:
            return await self.adding(visit, "Choose a card.")
        try:
            async with once(visit):
                method = await self.desk.payment_methods.add_fake(visit.account_id, card, actor=visit.visitor.actor)
        except SentAlready:
            return visit.go(self.home, "That card was added already.", Tone.PLAIN)
        except CallerFault as wrong:
            return await self.adding(visit, sentence(str(wrong)))
        return visit.go(self.home, f"{Shown(method, visit.now_ms).label} was added and is charged from now on.")

    async def make_default(self, visit: Visit) -> Response:
        chosen = await _mine(self.desk, visit)
        try:
            await self.desk.payment_methods.set_default(visit.account_id, chosen.method.id, visit.visitor.actor)
        except PaymentNeeded as away:
            return visit.go(self.home, sentence(str(away)), Tone.BAD)
        return visit.go(self.home, f"{chosen.label} is charged from now on.")

    async def ask_remove(self, visit: Visit) -> Response:
        return ask(visit, _removal(await _mine(self.desk, visit), self.home))

    async def remove(self, visit: Visit) -> Response:
        chosen = await _mine(self.desk, visit)
        try:
            await self.desk.payment_methods.remove(visit.account_id, chosen.method.id, visit.visitor.actor)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return visit.go(self.home, f"Nothing was removed: {fault}.", Tone.BAD)
        return visit.go(self.home, f"{chosen.label} was removed.")


async def _methods(desk: Desk, visit: Visit) -> list[Shown]:
    return [Shown(one, visit.now_ms) for one in await desk.payment_methods.of_account(visit.account_id)]


async def _mine(desk: Desk, visit: Visit) -> Shown:
    """The method of the path, if it is the visitor's account's. NoSuchThing."""
    method_id = visit.request.path_params["method_id"]
    for shown in await _methods(desk, visit):
        if shown.method.id == method_id and desk.payments.charges:
            return shown
    raise NoSuchThing("payment method", method_id)


def _removal(chosen: Shown, home: str) -> Question:
    says = ["It is forgotten here and at the payment provider. Invoices that were paid with it stay paid."]
    if chosen.method.default:
        says.append(
            "It is the one that is charged. Another of yours takes its place; the last one of a paid plan stays."
        )
    return Question(
        title=f"Remove {chosen.label}?",
        section=SECTION,
        crumb=("Payment methods", home),
        says=says,
        action=f"{home}/{chosen.method.id}/remove",
        button="Remove it",
    )


def _month(at_ms: int) -> int:
    at = from_epoch_ms(at_ms)
    return at.year * _MONTHS + at.month
