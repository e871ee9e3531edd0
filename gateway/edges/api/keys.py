"""The account's API keys: list, make, rotate, revoke. For keys that are themselves good for all products.

A secret is told once, in the answer that made it (or, within a day, to the same Idempotency-Key).
"""

from typing import Any, Final

from pydantic import Field

from gateway.books.keys import KeyRecord
from gateway.domain.instant import epoch_ms
from gateway.edges.api.checked import did_you_mean
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict, wrong_member
from gateway.edges.api.instants import NearInstant
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.replies.keys import Key, Keys, NewKey
from gateway.edges.api.usage_document import instant
from gateway.edges.desk import Desk
from gateway.flows.keys import LONGEST_OVERLAP_MS, CreatedKey
from gateway.wire.problems import Fault

_DAY_S: Final = 86_400


class KeyWish(Strict):
    """What the new key is for."""

    name: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    project_id: str | None = Field(None, min_length=1, max_length=64, description="Left out: the first project")
    products: list[str] | None = Field(None, min_length=1, max_length=32, description="Left out: all products")
    expires_at: NearInstant | None = Field(None, description="Left out: never")

    def expires_ms(self) -> int | None:
        """In epoch milliseconds."""
        return None if self.expires_at is None else epoch_ms(self.expires_at)


class RotateWish(Strict):
    """How the old key ends."""

    overlap_s: int = Field(_DAY_S, ge=0, le=LONGEST_OVERLAP_MS // 1000, description="How long the old key goes on")


def key_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's keys. A key of another account is not there."""
    path = f"{area.base}/keys"

    async def mine(ask: Ask) -> str:
        """The key named in the path, if it is the account's. NoSuchThing."""
        key_id = ask.path("key_id")
        return (await desk.keys.find(key_id, owner=area.account_of(ask))).id

    async def listed(ask: Ask) -> Document:
        within = scope_of(ask)
        found, after = await desk.keys.page(area.account_of(ask), after=place(ask, within), size=ask.query.page_size)
        return page([key_document(desk, key) for key in found], after, within)

    async def created(ask: Ask) -> Document:
        return new_key_document(await create(desk, area.account_of(ask), ask.body, actor=ask.actor))

    async def rotated(ask: Ask) -> Document:
        wish: RotateWish = ask.body
        key_id = await mine(ask)
        return new_key_document(await desk.keys.rotate(key_id, overlap_ms=wish.overlap_s * 1000, actor=ask.actor))

    async def revoked(ask: Ask) -> Document:
        return key_document(desk, await desk.keys.revoke(await mine(ask), actor=ask.actor))

    def endpoint(method: str, path: str, answer: Answer, summary: str, reply: Any, **more: Any) -> Endpoint:
        return Endpoint(method, path, answer, summary, "keys", reply=reply, whole_key=area.whole_key, **more)

    missing = (Fault.NO_SUCH_RESOURCE,)
    new = {"status": 201}
    return [
        endpoint("GET", path, listed, "API keys, the oldest first", Keys, query=PageQuery, problems=missing),
        endpoint(
            "POST",
            path,
            created,
            "Make an API key",
            NewKey,
            body=KeyWish,
            problems=(Fault.NO_SUCH_PROJECT, *missing),
            **new,
        ),
        endpoint(
            "POST",
            f"{path}/{{key_id}}/rotate",
            rotated,
            "Replace an API key; the old one goes on for a while",
            NewKey,
            body=RotateWish,
            problems=missing,
            **new,
        ),
        endpoint("POST", f"{path}/{{key_id}}/revoke", revoked, "End an API key now", Key, problems=missing),
    ]


async def create(desk: Desk, account_id: str, wish: KeyWish, *, actor: str) -> CreatedKey:
    """A key for products that there are. Refuse, CallerFault."""
    known = list(desk.rate_card().products)
    for product in wish.products or ():
        if product not in known:
            raise wrong_member("products", f"{product[:64]!r} is no product{did_you_mean(product, known)}")
    return await desk.keys.create(
        account_id,
        project_id=wish.project_id,
        name=wish.name,
        products=None if wish.products is None else frozenset(wish.products),
        expires_ms=wish.expires_ms(),
        actor=actor,
    )


def key_document(desk: Desk, key: KeyRecord) -> dict[str, Any]:
    """Without its secret, which nobody has."""
    return {
        "id": key.id,
        "account_id": key.account_id,
        "project_id": key.project_id,
        "name": key.name,
        "products": None if key.products is None else sorted(key.products),
        "usable": key.usable(epoch_ms(desk.clock())),
        "created_at": instant(key.created_ms),
        "expires_at": None if key.expires_ms is None else instant(key.expires_ms),
        "revoked_at": None if key.revoked_ms is None else instant(key.revoked_ms),
        "replaced_by": key.replaced_by,
    }


def new_key_document(created: CreatedKey) -> dict[str, Any]:
    """With its secret, this once."""
    return {
        "id": created.id,
        "secret": created.secret,
        "account_id": created.account_id,
        "project_id": created.project_id,
    }
