"""Signing in to the dashboard with an API key or the admin token, and who a session belongs to from then on.

What a browser holds is 256 random bits that change at sign-in and every quarter of an hour; the books keep their hash.
A session ends after half a day without use, after a week in any case, when it is signed out, and at once when its key
is revoked or expires, or the admin token is another one. A key for some products only signs in as a member, who reads
and changes nothing. Counts no attempts: the door that hears them does.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.books import accounts, audit, keys, sessions
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.books.keys import KeyRecord
from gateway.books.sessions import SessionRecord
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.wire import api_key

IDLE_MS: Final = 12 * HOUR_MS
LONGEST_MS: Final = 7 * DAY_MS
RENEW_AFTER_MS: Final = 15 * 60_000
# A page's requests run side by side: those that still carry the cookie from before pass.
PREVIOUS_FOR_MS: Final = 60_000
NOTE_USE_AFTER_MS: Final = 60_000
MOST_SESSIONS: Final = 50
_SECRET_BYTES: Final = 32


class Role(StrEnum):
    """What somebody signed in may do: an owner everything of the account, a member read it, an admin operate."""

    OWNER = "owner"
    MEMBER = "member"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in. `account_id` is empty for an admin. `form_token` must come back with each form.

    `key_id` is what they signed in with; `session_id` is empty where a proxy vouches for them on each request.
    """

    role: Role
    account_id: str
    account_name: str
    key_id: str
    session_id: str
    form_token: str = field(repr=False)

    @property
    def actor(self) -> str:
        """Who stands in the audit log."""
        return f"dashboard:{self.key_id}"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`secret` is for the browser's cookie; None where the one it holds goes on."""

    visitor: Visitor
    secret: str | None = field(default=None, repr=False)


class SignIns:
    """All sessions. `admin_token` None: nobody signs in as an admin."""

    def __init__(
        self, *, books: Books, pepper: bytes, clock: Callable[[], datetime], admin_token: str | None = None
    ) -> None:
        self._books = books
        self._pepper = pepper
        self._clock = clock
        self._admin_token = admin_token or None

    async def with_key(self, secret: str) -> SignedIn | None:
        """A new session of the key's account; None where the key is none, unknown, revoked or expired."""
        sent = secret.strip().encode()
        if api_key.parse(sent) is None:
            return None
        at_ms = self._now_ms()
        digest = api_key.digest(sent, self._pepper)
        async with self._books.read() as conn:
            key = await keys.find(conn, digest)
            account = None if key is None else await accounts.get(conn, key.account_id)
        if key is None or account is None or not key.usable(at_ms):
            return None
        role = _role_of(key)
        made, record = await self._begin(role, key.account_id, key.id, at_ms)
        return SignedIn(self._visitor(record, account.name), made)

    async def with_admin_token(self, token: str) -> SignedIn | None:
        """A new operator's session; None where there is no admin token, or it is another one."""
        if self._admin_token is None or not hmac.compare_digest(token.strip().encode(), self._admin_token.encode()):
            return None
        made, record = await self._begin(Role.ADMIN, None, self._admin_mark(), self._now_ms())
        return SignedIn(self._visitor(record, ""), made)

    async def vouched_for(self, account_id: str) -> Visitor | None:
        """The owner of this account, as a trusted proxy says on each request; None for no such account."""
        async with self._books.read() as conn:
            account = await accounts.get(conn, account_id)
        if account is None:
            return None
        return Visitor(Role.OWNER, account.id, account.name, "proxy", "", self._form_token(f"proxy:{account.id}"))

    async def find(self, secret: str) -> SignedIn | None:
        """Who holds this; None where the session is unknown or has ended. With a new secret when it was time."""
        at_ms, digest = self._now_ms(), _digest(secret)
        async with self._books.read() as conn:
            record = await sessions.find(conn, digest)
            if record is None or not _lasts(record, at_ms):
                return None
            key = None if record.account_id is None else await keys.get(conn, record.bound_to)
            account = None if record.account_id is None else await accounts.get(conn, record.account_id)
        if record.account_id is None:
            if self._admin_token is None or record.bound_to != self._admin_mark():
                return None
        elif key is None or account is None or not key.usable(at_ms) or record.role != _role_of(key):
            return None
        visitor = self._visitor(record, "" if account is None else account.name)
        return SignedIn(visitor, await self._kept_up(record, digest, at_ms))

    async def end(self, visitor: Visitor) -> None:
        """Sign out of this session."""
        if not visitor.session_id:
            return
        async with self._books.begin() as conn:
            await sessions.end(conn, visitor.session_id)

    async def end_all(self, visitor: Visitor) -> int:
        """Sign out everywhere: every session of the account, or every operator's. How many they were.

        A member ends those of the same key: whoever may change nothing does not sign out the owner.
        """
        account_id = visitor.account_id or None
        bound_to = visitor.key_id if visitor.role is Role.MEMBER else None
        async with self._books.begin() as conn:
            ended = await sessions.end_all(conn, account_id, bound_to=bound_to)
            entry = AuditEntry(
                self._now_ms(), visitor.actor, "session.end_all", visitor.account_id, visitor.key_id, {"ended": ended}
            )
            await audit.write(conn, entry)
        return ended

    def sign(self, text: str) -> str:
        """A mark that only this installation can make, for what a browser keeps for us."""
        return hmac.new(self._pepper, f"dashboard:{text}".encode(), "sha256").hexdigest()

    async def _begin(self, role: Role, account_id: str | None, bound_to: str, at_ms: int) -> tuple[str, SessionRecord]:
        made = secrets.token_urlsafe(_SECRET_BYTES)
        async with self._books.begin() as conn:
            await sessions.end_old(conn, unseen_since_ms=at_ms - IDLE_MS, created_before_ms=at_ms - LONGEST_MS)
            record = await sessions.add(
                conn, digest=_digest(made), role=role, account_id=account_id, bound_to=bound_to, at_ms=at_ms
            )
            await sessions.keep_newest(conn, bound_to, MOST_SESSIONS)
            actor = f"dashboard:{bound_to if account_id else 'admin'}"
            entry = AuditEntry(at_ms, actor, "session.begin", account_id or "", record.id, {"role": role})
            await audit.write(conn, entry)
        return made, record

    async def _kept_up(self, record: SessionRecord, digest: bytes, at_ms: int) -> str | None:
        """Renews a session or notes its use, each no oftener than it must be."""
        if record.is_previous:
            return None
        if at_ms - record.renewed_ms >= RENEW_AFTER_MS:
            made = secrets.token_urlsafe(_SECRET_BYTES)
            async with self._books.begin() as conn:
                won = await sessions.renew(conn, record.id, old=digest, new=_digest(made), at_ms=at_ms)
            return made if won else None
        if at_ms - record.seen_ms >= NOTE_USE_AFTER_MS:
            async with self._books.begin() as conn:
                await sessions.seen(conn, record.id, at_ms)
        return None

    def _visitor(self, record: SessionRecord, name: str) -> Visitor:
        key_id = record.bound_to if record.account_id is not None else "admin"
        token = self._form_token(record.id)
        return Visitor(Role(record.role), record.account_id or "", name, key_id, record.id, token)

    def _form_token(self, of: str) -> str:
        return self.sign(f"form:{of}")

    def _admin_mark(self) -> str:
        return self.sign(f"admin:{self._admin_token}")

    def _now_ms(self) -> int:
        return epoch_ms(self._clock())


def _role_of(key: KeyRecord) -> Role:
    return Role.OWNER if key.products is None else Role.MEMBER


def _lasts(record: SessionRecord, at_ms: int) -> bool:
    if record.is_previous and at_ms - record.renewed_ms > PREVIOUS_FOR_MS:
        return False
    return at_ms - record.seen_ms < IDLE_MS and at_ms - record.created_ms < LONGEST_MS


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
