"""Making, rotating and revoking API keys. The books first, then Redis is told, which is how every process finds out.

With Redis away the change holds all the same: it is told at the account's next admission, at the latest after the
minute that a process remembers a key for. A secret is returned once and kept nowhere.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, keys, limits
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.books.keys import KeyRecord
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.limits import Budget
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.known_account import known_account, open_account
from gateway.flows.tell_ledger import TellLedger
from gateway.wire import api_key

# Of one account at a time: more is a program that makes keys by mistake.
MOST_USABLE: Final = 1_000
_LONGEST_NAME: Final = 200
# Far enough for any key, near enough that everything that shows the instant later can.
END_OF_EXPIRIES_MS: Final = epoch_ms(datetime(2200, 1, 1, tzinfo=UTC))
LONGEST_OVERLAP_MS: Final = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. The secret is shown once and stays out of every repr."""

    id: str
    secret: str = field(repr=False)
    account_id: str
    project_id: str


class Keys:
    """The keys of all accounts. `tell` brings the ledger up to date, as far as it can be reached."""

    def __init__(self, *, books: Books, tell: TellLedger, pepper: bytes, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._tell = tell
        self._pepper = pepper
        self._clock = clock

    async def create(
        self,
        account_id: str,
        *,
        project_id: str | None = None,
        name: str = "",
        products: frozenset[str] | None = None,
        expires_ms: int | None = None,
        actor: str = "cli",
    ) -> CreatedKey:
        """A key for a project (None: the account's first), for some products (None: all). CallerFault."""
        at_ms = epoch_ms(self._clock())
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise CallerFault(f"a key's name has at most {_LONGEST_NAME} printable characters")
        if products is not None and not products:
            raise CallerFault("a key for no product at all could call nothing; leave products out for all of them")
        if expires_ms is not None and expires_ms <= at_ms:
            raise CallerFault("the key would have expired before it was made")
        if expires_ms is not None and expires_ms >= END_OF_EXPIRIES_MS:
            raise CallerFault("a key expires before the year 2200; leave the expiry out for one that never does")
        async with self._books.begin() as conn:
            await open_account(conn, account_id)
            await _room_for_one(conn, account_id, at_ms)
            project = await _project(conn, account_id, project_id)
            created = await self._add(conn, account_id, project, name, products, expires_ms, at_ms)
            chosen = None if products is None else sorted(products)
            detail: dict[str, Any] = {"name": name, "products": chosen, "project": project}
            if expires_ms is not None:
                detail["expires_ms"] = expires_ms
            await _changed(conn, account_id, AuditEntry(at_ms, actor, "key.create", account_id, created.id, detail))
        await self._tell(account_id)
        return created

    async def of_account(self, account_id: str) -> list[KeyRecord]:
        """All keys of the account, oldest first, without their secrets."""
        async with self._books.read() as conn:
            await known_account(conn, account_id)
            return await keys.of_account(conn, account_id)

    async def page(
        self, account_id: str, *, after: tuple[int, str] | None, size: int
    ) -> tuple[list[KeyRecord], tuple[int, str] | None]:
        """Some keys of the account, oldest first, and where to go on. NoSuchThing."""
        async with self._books.read() as conn:
            await known_account(conn, account_id)
            found = await keys.page(conn, account_id, after=after, limit=size + 1)
        shown = found[:size]
        return shown, (shown[-1].created_ms, shown[-1].id) if len(found) > size else None

    async def find(self, key_id: str, *, owner: str) -> KeyRecord:
        """The key, if it is the owner's. NoSuchThing."""
        async with self._books.read() as conn:
            found = await keys.get(conn, key_id)
        if found is None or found.account_id != owner:
            raise NoSuchThing("key", key_id)
        return found

    async def rotate(self, key_id: str, *, overlap_ms: int, actor: str = "cli") -> CreatedKey:
        """A new key like the old one, which goes on for `overlap_ms`, never beyond its own expiry. CallerFault.

        A budget is given to the new key too, and each then has its own.
        """
        at_ms = epoch_ms(self._clock())
        if not 0 <= overlap_ms <= LONGEST_OVERLAP_MS:
            raise CallerFault("the overlap must be from 0 to 30 days")
        async with self._books.begin() as conn:
            old = await _locked(conn, key_id)
            if not old.usable(at_ms):
                raise CallerFault(f"key {key_id} is revoked or expired; create a new one")
            if old.replaced_by is not None:
                raise CallerFault(f"key {key_id} was already replaced by {old.replaced_by}; rotate that one")
            if overlap_ms:
                await _room_for_one(conn, old.account_id, at_ms)
            created = await self._add(
                conn, old.account_id, old.project_id, old.name, old.products, old.expires_ms, at_ms
            )
            ends_ms = at_ms + overlap_ms if old.expires_ms is None else min(at_ms + overlap_ms, old.expires_ms)
            if (limit := dict(await limits.budgets_of(conn, old.account_id)).get(key_id)) is not None:
                await limits.set_budget(conn, old.account_id, Budget(created.id, limit), at_ms)
            await keys.replace(conn, key_id, replaced_by=created.id, expires_ms=ends_ms)
            detail = {"replaced_by": created.id, "expires_ms": ends_ms}
            await _changed(conn, old.account_id, AuditEntry(at_ms, actor, "key.rotate", old.account_id, key_id, detail))
        await self._tell(old.account_id)
        return created

    async def revoke(self, key_id: str, *, actor: str = "cli") -> KeyRecord:
        """End the key now; again changes nothing. CallerFault for an unknown one."""
        at_ms = epoch_ms(self._clock())
        async with self._books.begin() as conn:
            old = await _locked(conn, key_id)
            if old.revoked_ms is None:
                await keys.revoke(conn, key_id, at_ms)
                await _changed(conn, old.account_id, AuditEntry(at_ms, actor, "key.revoke", old.account_id, key_id, {}))
            revoked = await keys.get(conn, key_id)
        # Told also where nothing changed: the first time Redis may have been away.
        await self._tell(old.account_id)
        return revoked or old

    async def _add(self, conn: AsyncConnection, account_id: str, project_id: str, *rest: Any) -> CreatedKey:
        name, products, expires_ms, at_ms = rest
        secret = api_key.make(secrets.token_bytes(api_key.RANDOM_BYTES))
        key_id = await keys.add(
            conn,
            account_id=account_id,
            project_id=project_id,
            digest=api_key.digest(secret.encode(), self._pepper),
            name=name,
            products=products,
            expires_ms=expires_ms,
            at_ms=at_ms,
        )
        return CreatedKey(key_id, secret, account_id, project_id)


async def _project(conn: AsyncConnection, account_id: str, project_id: str | None) -> str:
    known = [project.id for project in await accounts.projects_of(conn, account_id)]
    if project_id is None and known:
        return known[0]
    if project_id in known:
        return str(project_id)
    raise NoSuchThing("project", project_id or accounts.DEFAULT_PROJECT)


async def _room_for_one(conn: AsyncConnection, account_id: str, at_ms: int) -> None:
    if await keys.count_usable(conn, account_id, at_ms) >= MOST_USABLE:
        raise CallerFault(f"account {account_id} has {MOST_USABLE} keys in use; revoke some first")


async def _locked(conn: AsyncConnection, key_id: str) -> KeyRecord:
    """The key, read once its account is locked: two rotations at once must not both succeed."""
    found = await keys.get(conn, key_id)
    if found is None:
        raise NoSuchThing("key", key_id)
    await accounts.get(conn, found.account_id, lock=True)
    return await keys.get(conn, key_id) or found


async def _changed(conn: AsyncConnection, account_id: str, entry: AuditEntry) -> None:
    await accounts.raise_terms_version(conn, account_id)
    await audit.write(conn, entry)
