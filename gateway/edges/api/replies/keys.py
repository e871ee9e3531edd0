"""API keys, as their account and the operator see them."""

from typing_extensions import TypedDict

from gateway.edges.api.replies.amounts import Instant


class Key(TypedDict):
    """A key without its secret. `products` null: all."""

    id: str
    account_id: str
    project_id: str
    name: str
    products: list[str] | None
    usable: bool
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    replaced_by: str | None


class Keys(TypedDict):
    """A page, used up keys too, oldest first."""

    items: list[Key]
    next_page_token: str | None


class NewKey(TypedDict):
    """A new key. Its secret is shown this once and kept nowhere."""

    id: str
    secret: str
    account_id: str
    project_id: str
