"""API keys and projects: what there is, making keys, replacing one by another for a while, ending one.

A secret is on the page that answers the form that made it, and nowhere after: not in an address, a cookie or the books.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.accounts import Project
from gateway.books.keys import KeyRecord
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.edges.dashboard.confirm import Question, ask
from gateway.edges.dashboard.door import OWNERS
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import ago, name, sentence, short_id
from gateway.edges.dashboard.key_form import KeyForm, NewKey
from gateway.edges.dashboard.once import SentAlready, fresh_word, once
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.rotate import Rotation, ask_overlap
from gateway.edges.dashboard.secret import Secret, show
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.usage_metrics import Wanted

SECTION: Final = "keys"
MOST_ENDED: Final = 100
# How long the old key goes on, as it is sent and as it is said.
OVERLAPS: Final[Mapping[str, tuple[int, str]]] = {
    "0": (0, "Not at all: it ends now"),
    "1h": (HOUR_MS, "1 hour"),
    "24h": (DAY_MS, "24 hours"),
    "7d": (7 * DAY_MS, "7 days"),
}
OWN: Final = "You are signed in with this key. When it ends you are signed out: sign in again with the new one."
ALREADY: Final = (
    "That form was sent already, and a secret is shown once. If you did not keep it, revoke that key and make another."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A key as it stands at a moment. `own`: the visitor is signed in with it."""

    key: KeyRecord
    project: str
    own: bool
    now_ms: int

    @property
    def label(self) -> str:
        """Its name, else its id."""
        return self.key.name or short_id(self.key.id)

    @property
    def usable(self) -> bool:
        """Whether calls are made with it."""
        return self.key.usable(self.now_ms)

    @property
    def said(self) -> tuple[str, str]:
        """How it stands in a word, and its tone."""
        if self.key.revoked_ms is not None:
            return ("Revoked", "bad")
        if not self.usable:
            return ("Replaced" if self.key.replaced_by else "Expired", "plain")
        return ("Being replaced", "warn") if self.key.replaced_by else ("Active", "good")

    @property
    def products(self) -> str:
        """What it is good for."""
        return "All" if self.key.products is None else ", ".join(name(one) for one in sorted(self.key.products))


def key_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/keys` and what is below it."""
    answers = _Answers(pages.parts.desk, f"{pages.door.home}/keys")
    home, one = answers.home, f"{answers.home}/{{key_id}}"
    return [
        pages.get(home, answers.listed),
        pages.post(home, answers.create),
        pages.get(f"{home}/new", answers.new, roles=OWNERS),
        pages.post(f"{home}/projects", answers.create_project),
        pages.get(f"{one}/rotate", answers.ask_rotate, roles=OWNERS),
        pages.post(f"{one}/rotate", answers.rotate),
        pages.get(f"{one}/revoke", answers.ask_revoke, roles=OWNERS),
        pages.post(f"{one}/revoke", answers.revoke),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """`home` is where the pages begin."""

    desk: Desk
    home: str

    async def listed(self, visit: Visit, wrong: str = "") -> Response:
        projects = await self.desk.accounts.projects(visit.account_id)
        keys = _shown(visit, projects, await self.desk.keys.of_account(visit.account_id))
        ended = [one for one in reversed(keys) if not one.usable]
        return visit.page(
            "keys.html",
            title="API keys",
            section=SECTION,
            now_ms=visit.now_ms,  # keys live by the world's clock, a sandbox's too
            status=422 if wrong else 200,
            keys=[one for one in keys if one.usable],
            ended=ended[:MOST_ENDED],
            ended_count=len(ended),
            projects=[(one, sum(key.usable and key.key.project_id == one.id for key in keys)) for one in projects],
            typed=visit.form.get("project_name"),
            wrong=wrong,
        )

    async def new(self, visit: Visit) -> Response:
        return await self._form(visit, KeyForm())

    async def create(self, visit: Visit) -> Response:
        form = KeyForm.sent(visit.form)
        wish = form.read(self.desk.rate_card().products, visit.now_ms)
        if not isinstance(wish, NewKey):
            return await self._form(visit, form, wish)
        try:
            async with once(visit):
                made = await self.desk.keys.create(
                    visit.account_id,
                    project_id=wish.project_id,
                    name=wish.name,
                    products=wish.products,
                    expires_ms=wish.expires_ms,
                    actor=visit.visitor.actor,
                )
        except SentAlready:
            return visit.go(self.home, ALREADY, Tone.PLAIN)
        except NoSuchThing as missing:
            return await self._form(visit, form, {"project": sentence(str(missing))})
        except CallerFault as fault:
            return await self._form(visit, form, {"": sentence(str(fault))})
        return self._secret(visit, "Key made", made.secret, [f"It is {wish.name or short_id(made.id)} in the list."])

    async def create_project(self, visit: Visit) -> Response:
        typed = visit.form["project_name"]
        try:
            made = await self.desk.accounts.create_project(visit.account_id, typed, actor=visit.visitor.actor)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            known = await self.desk.accounts.projects(visit.account_id)
            taken = any(one.name == typed for one in known)
            return await self.listed(visit, "There is a project of this name." if taken else sentence(str(fault)))
        return visit.go(self.home, f"Project {made.name} is there. Make a key for it next.")

    async def ask_rotate(self, visit: Visit, wrong: str = "") -> Response:
        one = await self._usable(visit)
        if one.key.replaced_by is not None:
            return visit.go(self.home, f"{one.label} is being replaced already; rotate the new key.", Tone.PLAIN)
        rotation = Rotation(
            title=f"Rotate {one.label}",
            about="A new key with the same project, products and expiry. Both work until the old one ends.",
            section=SECTION,
            crumb=("API keys", self.home),
            legend="How long the old key goes on",
            overlaps={value: said for value, (_, said) in OVERLAPS.items()},
            note="After a leak: not at all. A budget of the key is given to the new one too.",
            action=f"{self.home}/{one.key.id}/rotate",
            button="Make the new key",
            warns=OWN if one.own else "",
        )
        return ask_overlap(visit, rotation, wrong)

    async def rotate(self, visit: Visit) -> Response:
        one = await self._mine(visit)
        overlap = OVERLAPS.get(visit.form.get("overlap"))
        if overlap is None:
            return await self.ask_rotate(visit, "Choose how long the old key goes on.")
        try:
            async with once(visit):
                made = await self.desk.keys.rotate(one.key.id, overlap_ms=overlap[0], actor=visit.visitor.actor)
        except SentAlready:
            return visit.go(self.home, ALREADY, Tone.PLAIN)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return visit.go(self.home, sentence(str(fault)), Tone.BAD)
        says = [f"The old key goes on for {overlap[1]}." if overlap[0] else "The old key has ended."]
        if one.own:
            says.append("You are signed in with the old one: sign in again with this one.")
        return self._secret(visit, "Key replaced", made.secret, says)

    async def ask_revoke(self, visit: Visit) -> Response:
        one = await self._usable(visit)
        last = (await self.desk.metrics.page(visit.account_id, Wanted(key_id=one.key.id), size=1)).events
        return ask(visit, _revoking(one, self.home, last[0].admitted_at_ms if last else None))

    async def revoke(self, visit: Visit) -> Response:
        one = await self._mine(visit)
        await self.desk.keys.revoke(one.key.id, actor=visit.visitor.actor)
        return visit.go(self.home, f"{one.label} is revoked: calls with it are refused from now on.")

    async def _form(self, visit: Visit, form: KeyForm, wrong: Mapping[str, str] | None = None) -> Response:
        return visit.page(
            "key_new.html",
            title="New API key",
            section=SECTION,
            status=422 if wrong else 200,
            it=form,
            projects=[(one.id, one.name) for one in await self.desk.accounts.projects(visit.account_id)],
            products=list(self.desk.rate_card().products),
            wrong=wrong or {},
            once=fresh_word(),
        )

    def _secret(self, visit: Visit, title: str, secret: str, says: Sequence[str]) -> Response:
        address = visit.pages.browsers.origin(visit.request)
        return show(
            visit,
            Secret(
                title=title,
                section=SECTION,
                crumb=("API keys", self.home),
                label="API key",
                secret=secret,
                says=says,
                snippet_label="For the official clients",
                snippet=f"export LLAMA_CLOUD_BASE_URL={address}\nexport LLAMA_CLOUD_API_KEY={secret}",
            ),
        )

    async def _mine(self, visit: Visit) -> Shown:
        """The key of the path, if it is the visitor's account's: the flows take any. NoSuchThing."""
        key_id = visit.request.path_params["key_id"]
        projects = await self.desk.accounts.projects(visit.account_id)
        for one in _shown(visit, projects, await self.desk.keys.of_account(visit.account_id)):
            if one.key.id == key_id:
                return one
        raise NoSuchThing("key", key_id)

    async def _usable(self, visit: Visit) -> Shown:
        one = await self._mine(visit)
        if not one.usable:
            raise WrongParameter("key_id", f"{one.label} has ended already; nothing is left to change")
        return one


def _shown(visit: Visit, projects: Sequence[Project], keys: Sequence[KeyRecord]) -> list[Shown]:
    names = {one.id: one.name for one in projects}
    return [
        Shown(one, names.get(one.project_id, one.project_id), one.id == visit.visitor.key_id, visit.now_ms)
        for one in keys
    ]


def _revoking(one: Shown, home: str, last_ms: int | None) -> Question:
    what = "any product" if one.key.products is None else one.products
    says = [
        f"Calls with it to {what} are refused at once. Whatever uses it stops working until it has another key.",
        "Jobs that run already go on and are charged.",
        "Nobody can undo it. To change over without a gap, rotate the key instead.",
        "It has been charged for nothing so far."
        if last_ms is None
        else f"It was last used {ago(last_ms, one.now_ms)}.",
    ]
    own = "You are signed in with this key. Revoking it signs you out: have another one at hand." if one.own else ""
    return Question(
        title=f"Revoke {one.label}?",
        section=SECTION,
        crumb=("API keys", home),
        says=says,
        warns=own,
        action=f"{home}/{one.key.id}/revoke",
        button="Revoke this key",
    )
