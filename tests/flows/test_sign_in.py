"""Sessions over both kinds of books; what a browser sees of them is tested with the pages."""

import pytest

from gateway.books import sessions
from gateway.books.books import Books
from gateway.flows.accounts import Accounts
from gateway.flows.keys import Keys
from gateway.flows.sign_in import IDLE_MS, MOST_SESSIONS, RENEW_AFTER_MS, Role, SignIns
from tests.flows.conftest import PEPPER
from tests.made_up import Clock


@pytest.fixture
def sign_ins(books: Books, clock: Clock) -> SignIns:
    return SignIns(books=books, pepper=PEPPER, clock=clock, admin_token="token")


async def count(books: Books, account_id: str | None) -> int:
    async with books.read() as conn:
        return await sessions.count(conn, account_id)


async def test_a_session_is_found_renewed_once_and_ended(
    books: Books, accounts: Accounts, keys: Keys, sign_ins: SignIns, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "free")
    key = await keys.create(opened.id)
    begun = await sign_ins.with_key(key.secret)
    assert begun is not None
    assert begun.secret is not None
    assert (begun.visitor.role, begun.visitor.account_id, begun.visitor.key_id) == (Role.OWNER, opened.id, key.id)
    again = await sign_ins.find(begun.secret)
    assert again is not None
    assert (again.visitor, again.secret) == (begun.visitor, None)
    clock.forward(milliseconds=RENEW_AFTER_MS)
    renewed = await sign_ins.find(begun.secret)
    assert renewed is not None
    assert renewed.secret is not None
    assert renewed.visitor == begun.visitor, "forms that are open stay valid"
    late = await sign_ins.find(begun.secret)
    assert late is not None
    assert late.secret is None
    await sign_ins.end(renewed.visitor)
    assert await sign_ins.find(renewed.secret) is None
    assert await sign_ins.find(begun.secret) is None


async def test_one_key_has_a_bounded_number_of_sessions_and_old_ones_go(
    books: Books, accounts: Accounts, keys: Keys, sign_ins: SignIns, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "free")
    key = await keys.create(opened.id)
    first = await sign_ins.with_key(key.secret)
    for _ in range(MOST_SESSIONS):
        clock.forward(milliseconds=1)
        newest = await sign_ins.with_key(key.secret)
    assert await count(books, opened.id) == MOST_SESSIONS
    assert first is not None
    assert first.secret is not None
    assert await sign_ins.find(first.secret) is None
    clock.forward(milliseconds=IDLE_MS + 1)
    newest = await sign_ins.with_key(key.secret)
    assert await count(books, opened.id) == 1
    assert newest is not None
    assert await sign_ins.end_all(newest.visitor) == 1


async def test_ending_all_of_an_account_leaves_others_and_operators(
    books: Books, accounts: Accounts, keys: Keys, sign_ins: SignIns
) -> None:
    visitors = []
    for name in ("Acme", "Bolt"):
        opened = await accounts.create(name, "free")
        begun = await sign_ins.with_key((await keys.create(opened.id)).secret)
        assert begun is not None
        visitors.append(begun.visitor)
    assert await sign_ins.with_admin_token("token") is not None
    assert await sign_ins.end_all(visitors[0]) == 1
    assert [await count(books, account) for account in (visitors[0].account_id, visitors[1].account_id, None)] == [
        0,
        1,
        1,
    ]


async def test_a_member_signs_nobody_else_out(books: Books, accounts: Accounts, keys: Keys, sign_ins: SignIns) -> None:
    opened = await accounts.create("Acme", "free")
    owner = await sign_ins.with_key((await keys.create(opened.id)).secret)
    limited = await keys.create(opened.id, products=frozenset({"parse"}))
    members = [await sign_ins.with_key(limited.secret) for _ in range(2)]
    assert members[0] is not None
    assert members[0].visitor.role is Role.MEMBER
    assert await sign_ins.end_all(members[0].visitor) == 2
    assert owner is not None
    assert await sign_ins.find(owner.secret or "") is not None
    assert await sign_ins.end_all(owner.visitor) == 1


async def test_without_an_admin_token_nobody_is_an_admin(books: Books, clock: Clock) -> None:
    for token in (None, ""):
        none = SignIns(books=books, pepper=PEPPER, clock=clock, admin_token=token)
        for said in ("", "None", "token"):
            assert await none.with_admin_token(said) is None
