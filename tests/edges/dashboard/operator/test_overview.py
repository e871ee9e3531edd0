import pytest
from sqlalchemy import update

from gateway.books import jobs
from gateway.books.tables import usage_hourly
from gateway.domain.usage import JobAttached
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.server_state import ServerState
from tests.edges.dashboard.conftest import Someone
from tests.edges.dashboard.forms import form, text
from tests.edges.dashboard.operator.conftest import Operating


async def test_the_overview_tells_how_everything_stands(operating: Operating, acme: Someone) -> None:
    await operating.running.someone("free", "Another")
    await operating.running.used(acme, 250)
    operating.problems.append("config/plans.yaml:3: free.name: is no text")
    page = text(await operating.page("/admin"))
    for said in (
        "Captured today 250 credits",
        "In 7 days 1,250 credits",
        "by 0 open holds",
        "Starter 1",
        "Free 1",
        "Together 2",
        "No call was refused.",
        "Usage waiting to be booked 0 records",
        "config/plans.yaml:3: free.name: is no text",
        "Not compared since this process began.",
    ):
        assert said in page, said
    assert "Valkey" in page or "Redis 7" in page or "Redis 8" in page
    assert "SQLite 3" in page


async def test_books_and_redis_are_compared_on_the_spot(operating: Operating, acme: Someone) -> None:
    page = await operating.page("/admin")
    fields = form(page, "/admin/reconcile")
    assert (await operating.client.post("/admin/reconcile", data=fields)).status_code == 303
    under_way = text(await operating.page("/admin"))
    assert "0 of 0 accounts compared." in under_way
    again = await operating.client.post("/admin/reconcile", data=fields)
    assert again.status_code == 303
    assert "A comparison is under way already." in text(await operating.page("/admin"))
    await operating.parts.runs.turn()
    assert "They agree 1 account compared" in text(await operating.page("/admin"))

    async with operating.running.books.begin() as conn:
        await conn.execute(update(usage_hourly).values(captured_millicredits=1))
    await operating.client.post("/admin/reconcile", data=fields)
    await operating.parts.runs.turn()
    page = text(await operating.page("/admin"))
    assert "1 difference" in page
    assert "rolled up for the period from" in page


async def test_the_overview_goes_on_while_redis_is_away(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: ServerState) -> int:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(ServerState, "clock_ms", away)
    page = text(await operating.page("/admin"))
    assert "Redis cannot be reached" in page
    assert "Redis away" in page


@pytest.mark.parametrize(
    ("kind", "leads_to"),
    [
        ("account", "/admin/accounts/{}"),
        ("key", "/admin/accounts/{}#keys"),
        ("invoice", "/admin/invoices/"),
        ("job", "/admin/calls/req_"),
        ("request", "/admin/calls/req_"),
    ],
)
async def test_what_is_pasted_is_found(operating: Operating, acme: Someone, kind: str, leads_to: str) -> None:
    called = await operating.running.used(acme, 5, days_ago=1)
    await operating.parts.issue_due(acme.id)
    async with operating.running.books.begin() as conn:
        attached = JobAttached(called.facts, "parse", "parse", "job-1", 0, 0, 0, 0, 0, 1)
        await jobs.book(conn, [attached])
    (invoice,) = (await operating.running.desk.invoices.page(None, size=1))[0]
    pasted = {
        "account": acme.id,
        "key": acme.key_id,
        "invoice": str(invoice.document["number"]),
        "job": "job-1",
        "request": called.facts.request_id,
    }[kind]
    reply = await operating.client.get("/admin/find", params={"q": f" {pasted} "})
    assert reply.status_code == 303
    assert reply.headers["location"].startswith(leads_to.format(acme.id))


async def test_a_name_finds_accounts_and_nothing_finds_nothing(operating: Operating, acme: Someone) -> None:
    found = await operating.client.get("/admin/find", params={"q": "acm"})
    assert f"/admin/accounts/{acme.id}" in found.text
    for nobody in ("nobody at all", "<script>alert(1)</script>", "x" * 5000, "\x00"):
        missed = await operating.client.get("/admin/find", params={"q": nobody})
        assert missed.status_code == 200
        assert "<script>alert" not in missed.text
