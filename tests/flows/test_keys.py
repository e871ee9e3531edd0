"""Keys are made, rotated and revoked in the books, and every process finds out at its next admission."""

import asyncio

import pytest
from sqlalchemy import text

from gateway.books import audit
from gateway.books.books import Books
from gateway.domain.instant import epoch_ms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import Directory, TermsOf
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.keys import Keys
from gateway.flows.rebuild import rebuild
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.made_up import Clock


async def test_a_key_belongs_to_the_default_project_unless_another_is_named(accounts: Accounts, keys: Keys) -> None:
    opened = await accounts.create("Acme", "free")
    other = await accounts.create_project(opened.id, "invoices")
    assert (await keys.create(opened.id)).project_id == opened.project_id
    assert (await keys.create(opened.id, project_id=other.id)).project_id == other.id


async def test_the_secret_is_in_no_list_and_no_table(accounts: Accounts, keys: Keys, books: Books) -> None:
    opened = await accounts.create("Acme", "free")
    created = await keys.create(opened.id, name="ci")
    rotated = await keys.rotate(created.id, overlap_ms=1000)
    for secret in (created.secret, rotated.secret):
        assert secret not in repr(created) + repr(rotated)
        assert secret not in repr(await keys.of_account(opened.id))
        async with books.read() as conn:
            assert secret.encode() not in repr((await conn.execute(text("SELECT * FROM api_keys"))).all()).encode()
            assert secret not in repr(await audit.of_account(conn, opened.id))


async def test_rotation_lets_the_old_key_overlap_and_no_longer_than_its_own_life(
    accounts: Accounts, keys: Keys, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "free")
    now_ms = epoch_ms(clock())
    lasting = await keys.create(opened.id, name="ci", products=frozenset({"parse", "split"}))
    brief = await keys.create(opened.id, expires_ms=now_ms + 1000)
    next_lasting = await keys.rotate(lasting.id, overlap_ms=86_400_000)
    next_brief = await keys.rotate(brief.id, overlap_ms=86_400_000)
    known = {record.id: record for record in await keys.of_account(opened.id)}
    assert known[lasting.id].expires_ms == now_ms + 86_400_000
    assert known[lasting.id].replaced_by == next_lasting.id
    assert known[brief.id].expires_ms == now_ms + 1000
    assert known[next_brief.id].expires_ms == now_ms + 1000
    renewed = known[next_lasting.id]
    assert (renewed.name, renewed.products, renewed.expires_ms) == ("ci", frozenset({"parse", "split"}), None)


async def test_of_two_rotations_at_once_one_is_refused(accounts: Accounts, keys: Keys) -> None:
    opened = await accounts.create("Acme", "free")
    created = await keys.create(opened.id)
    both = await asyncio.gather(*(keys.rotate(created.id, overlap_ms=0) for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in both) == ["CallerFault", "CreatedKey"]
    assert len(await keys.of_account(opened.id)) == 2


async def test_revoking_again_changes_nothing(accounts: Accounts, keys: Keys, clock: Clock) -> None:
    opened = await accounts.create("Acme", "free")
    created = await keys.create(opened.id)
    first = await keys.revoke(created.id)
    clock.forward(hours=1)
    again = await keys.revoke(created.id)
    assert again.revoked_ms == first.revoked_ms is not None
    assert again.terms_version == first.terms_version
    with pytest.raises(CallerFault, match="revoked or expired"):
        await keys.rotate(created.id, overlap_ms=0)


async def test_keys_that_make_no_sense_are_refused(accounts: Accounts, keys: Keys, clock: Clock) -> None:
    opened = await accounts.create("Acme", "free")
    other = await accounts.create("Other", "free")
    created = await keys.create(opened.id)
    for asked in (
        keys.create(opened.id, products=frozenset()),
        keys.create(opened.id, expires_ms=epoch_ms(clock())),
        keys.create(opened.id, expires_ms=10**23),
        keys.create(opened.id, project_id=other.project_id),
        keys.create("acc_none"),
        keys.of_account("acc_none"),
        keys.rotate("key_none", overlap_ms=0),
        keys.rotate(created.id, overlap_ms=-1),
        keys.revoke("key_none"),
    ):
        with pytest.raises(CallerFault):
            await asked
    await accounts.close(other.id)
    with pytest.raises(CallerFault, match="closed"):
        await keys.create(other.id)
    with pytest.raises(NoSuchThing):
        await keys.revoke(created.secret)


async def test_a_revocation_reaches_redis_with_its_terms_version(
    accounts: Accounts,
    keys: Keys,
    ledger: Ledger,
    outbox: Outbox,
    books: Books,
    terms_of: TermsOf,
    clock: Clock,
    directory: Directory,
) -> None:
    opened = await accounts.create("Acme", "free")
    created = await keys.create(opened.id)
    caller = await directory.find(created.secret.encode())
    assert caller is not None
    await rebuild(books, ledger, outbox, caller.terms)
    await keys.revoke(created.id)
    assert (await ledger.counters(opened.id)).terms_version == caller.terms.version + 1
    # The next admission answers that the terms are stale, whereupon the caller is looked at again.
    assert await directory.refreshed(caller) is None
    assert await directory.find(created.secret.encode()) is None


@pytest.mark.parametrize("name", ["\u202egnp.eno", "a\nb", "\x1b[2J", "x" * 201])
async def test_a_key_is_called_nothing_that_reads_as_something_else(accounts: Accounts, keys: Keys, name: str) -> None:
    opened = await accounts.create("Acme", "free")
    with pytest.raises(CallerFault, match="printable"):
        await keys.create(opened.id, name=name)


async def test_an_account_has_so_many_keys_in_use_and_no_more(
    accounts: Accounts, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flows.keys.MOST_USABLE", 2)
    opened = await accounts.create("Acme", "free")
    first = await keys.create(opened.id)
    await keys.create(opened.id)
    with pytest.raises(CallerFault, match="revoke some first"):
        await keys.create(opened.id)
    with pytest.raises(CallerFault, match="revoke some first"):
        await keys.rotate(first.id, overlap_ms=1_000)
    # Without an overlap one takes the other's place.
    second = await keys.rotate(first.id, overlap_ms=0)
    await keys.revoke(second.id)
    await keys.create(opened.id)
    pages = [await keys.page(opened.id, after=None, size=2)]
    pages.append(await keys.page(opened.id, after=pages[0][1], size=3))
    assert [key.id for found, _ in pages for key in found] == [key.id for key in await keys.of_account(opened.id)]
    assert pages[1][1] is None
