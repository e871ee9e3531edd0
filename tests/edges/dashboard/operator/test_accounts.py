import httpx
import pytest

from gateway.books import audit
from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.domain.instant import from_epoch_ms
from gateway.domain.terms import AccountStatus
from tests.edges.dashboard.conftest import Someone
from tests.edges.dashboard.forms import form, text
from tests.edges.dashboard.operator.conftest import Operating

ACTOR = "dashboard:admin"


async def noted(operating: Operating, account_id: str) -> audit.AuditEntry:
    """The newest line about the account in the audit log."""
    async with operating.running.books.read() as conn:
        return (await audit.of_account(conn, account_id))[0]


async def test_accounts_are_found_by_name_plan_and_status(operating: Operating, acme: Someone) -> None:
    other = await operating.running.someone("free", "Bright & Sons")
    await operating.running.desk.accounts.close(other.id)
    page = text(await operating.page("/admin/accounts"))
    assert "Acme" in page
    assert "Bright &amp; Sons" in page
    assert "Starter Active 1,000 2% 40,000 0" in page
    for query, found in (
        ("name=acm", {"Acme"}),
        (f"name={other.id}", {"Bright"}),
        ("plan=starter", {"Acme"}),
        ("status=closed", {"Bright"}),
        ("status=closed&plan=starter", set()),
    ):
        narrowed = text(await operating.page(f"/admin/accounts?{query}"))
        assert {name for name in ("Acme", "Bright") if name in narrowed.partition("Show Account")[2]} == found, query
    assert "No such accounts" in await operating.page("/admin/accounts?name=nobody")
    for wrong in ("status=asleep", "after=what", "name=%00", "plan=" + "x" * 300):
        await operating.page(f"/admin/accounts?{wrong}", 400)


async def test_a_long_list_goes_on_page_by_page(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edges.dashboard.operator.accounts.PAGE", 2)
    for name in ("One", "Two", "Three"):
        await operating.running.desk.accounts.create(name, "free")
        operating.running.clock.forward(seconds=1)
    first = await operating.page("/admin/accounts?plan=free")
    assert "Three" not in first
    onward = first.partition("/admin/accounts?plan=free&amp;after=")[2].partition('"')[0]
    second = await operating.page(f"/admin/accounts?plan=free&after={onward}")
    assert "Three" in second
    assert "One" not in second
    await operating.page(f"/admin/accounts?plan=pro&after={onward}", 400)


async def test_an_account_is_opened(operating: Operating) -> None:
    page = text(await operating.does("/admin/accounts/new", name="New & Co", plan="starter"))
    assert "New &amp; Co is open, on Starter." in page
    (one,) = (await operating.running.desk.accounts.page(size=5))[0]
    entry = await noted(operating, one.account.id)
    assert (entry.action, entry.actor) == ("account.create", ACTOR)
    refused = await operating.sends("/admin/accounts/new", name="", plan="starter")
    assert refused.status_code == 422
    assert "A name has from 1 to 200 printable characters." in text(refused.text)
    assert (await operating.sends("/admin/accounts/new", name="X", plan="gold")).status_code == 422


async def test_an_account_is_shown_as_it_stands(operating: Operating, acme: Someone) -> None:
    page = text(await operating.page(f"/admin/accounts/{acme.id}"))
    for said in ("Acme", acme.id, "1,000 of 40,000 included credits used", "Plan Starter", "Contract none", "Revoke"):
        assert said in page, said
    assert "There is no account of this name" in await operating.page("/admin/accounts/acc_nobody", 404)


async def test_credits_are_given_and_taken_once_for_a_form(operating: Operating, acme: Someone) -> None:
    path = f"/admin/accounts/{acme.id}/adjust"
    fields = form(await operating.page(path), path)
    typed = {**fields, "credits": "1,500.5", "reason": "an outage"}
    assert (await operating.client.post(path, data=typed)).status_code == 303
    again = await operating.client.post(path, data=typed)
    assert "That form was sent already" in text(await operating.page(again.headers["location"]))
    shown = await operating.running.desk.accounts.show(acme.id)
    assert shown.period.granted_millicredits == 41_500_500
    entry = await noted(operating, acme.id)
    assert (entry.action, entry.actor, entry.detail["reason"]) == ("account.adjust", ACTOR, "an outage")
    assert "are granted" in text(await operating.does(path, credits="-500.5", reason="too many"))
    for wrong in ("", "many", "1e999999999", "nan", "0", "-99999999", "0.0001"):
        refused = await operating.sends(path, credits=wrong, reason="because")
        assert refused.status_code == 422, wrong
        assert 'value="because"' in refused.text
    assert (await operating.sends(path, credits="5", reason=" ")).status_code == 422
    shown = await operating.running.desk.accounts.show(acme.id)
    assert shown.period.granted_millicredits == 41_000 * MILLICREDITS_PER_CREDIT


async def test_a_ceiling_is_raised_until_a_day_is_over_and_lowered_again(operating: Operating, acme: Someone) -> None:
    account = f"/admin/accounts/{acme.id}"
    day = operating.running.clock().date().isoformat()
    page = text(await operating.does(f"{account}/raise", dollars="2,500", until=day, reason="a big batch"))
    assert "The ceiling is $2,500.00 until" in page
    limits = await operating.running.desk.limits.get(acme.id)
    assert limits.raised is not None
    assert limits.raised.max_cents == 250_000
    assert from_epoch_ms(limits.raised.until_ms).time().isoformat() == "00:00:00"
    assert (await noted(operating, acme.id)).actor == ACTOR
    for wrong in (
        {"dollars": "5"},
        {"dollars": "1e99999999"},
        {"dollars": "inf"},
        {"until": "soon"},
        {"until": "2020-01-01"},
        {"reason": ""},
    ):
        refused = await operating.sends(
            f"{account}/raise", **{"dollars": "3000", "until": day, "reason": "more", **wrong}
        )
        assert refused.status_code == 422, wrong
    await operating.does(f"{account}/end-raise", reason="done")
    assert (await operating.running.desk.limits.get(acme.id)).raised is None


async def test_a_plan_changes_after_a_preview_and_only_on_the_terms_seen(operating: Operating, acme: Someone) -> None:
    path = f"/admin/accounts/{acme.id}/plan"
    preview = await operating.page(f"{path}?plan=pro&when=now")
    assert "To Pro, now" in text(preview)
    assert "$451.25" in text(preview) or "$451.2" in text(preview)
    fields = {**_confirming(preview, path), "reason": "asked by phone"}
    operating.running.clock.forward(minutes=11)
    late = await operating.client.post(path, data=fields)
    assert late.status_code == 422
    assert "The price you saw was honoured until" in late.text
    done = await operating.client.post(path, data={**_confirming(late.text, path), "reason": "asked by phone"})
    assert "The account is on Pro." in text(await operating.page(done.headers["location"]))
    entry = await noted(operating, acme.id)
    assert (entry.action, entry.actor, entry.detail["reason"]) == ("account.plan", ACTOR, "asked by phone")
    stale = await operating.client.post(path, data={**fields, "once": "another"})
    assert "plan or billing period changed" in stale.text
    page = text(await operating.page(f"{path}?plan=free&when=period_end"))
    assert "To Free, when the period ends" in page
    for wrong in ("plan=gold", "plan=pro&when=yesterday"):
        await operating.page(f"{path}?{wrong}", 400)


def _confirming(page: str, path: str) -> dict[str, str]:
    """The fields of the form that changes; the one before it only looks."""
    start = f'<form method="post" action="{path}"'
    return form(start + page.partition(start)[2], path)


async def test_an_account_is_closed_for_a_reason(operating: Operating, acme: Someone) -> None:
    path = f"/admin/accounts/{acme.id}/close"
    assert "No call is admitted any more" in await operating.page(path)
    assert (await operating.sends(path, reason="")).status_code == 422
    assert (await operating.running.desk.accounts.show(acme.id)).account.status is AccountStatus.ACTIVE
    page = text(await operating.does(path, reason="they left"))
    assert "The account is closed." in page
    assert "Close the account" not in page
    assert (await operating.running.desk.accounts.show(acme.id)).account.status is AccountStatus.CLOSED
    assert (await noted(operating, acme.id)).detail["reason"] == "they left"


async def test_a_key_is_revoked_and_no_other_account_s(operating: Operating, acme: Someone) -> None:
    other = await operating.running.someone("free", "Other")
    await operating.page(f"/admin/accounts/{acme.id}/keys/{other.key_id}/revoke", 404)
    page = text(await operating.does(f"/admin/accounts/{acme.id}/keys/{acme.key_id}/revoke"))
    assert "The key is revoked." in page
    entry = await noted(operating, acme.id)
    assert (entry.action, entry.actor, entry.subject_id) == ("key.revoke", ACTOR, acme.key_id)


async def test_the_audit_log_tells_who_changed_what_and_why(operating: Operating, acme: Someone) -> None:
    await operating.does(f"/admin/accounts/{acme.id}/adjust", credits="5", reason="<b>kindness</b>")
    for path in ("/admin/audit", f"/admin/accounts/{acme.id}/audit"):
        page = await operating.page(path)
        assert "account.adjust" in page
        assert "&lt;b&gt;kindness&lt;/b&gt;" in page
        await operating.page(f"{path}?after=what", 400)
    await operating.page("/admin/accounts/acc_nobody/audit", 404)


async def test_an_audit_log_goes_on_page_by_page(
    operating: Operating, acme: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edges.dashboard.operator.account.AUDIT_PAGE", 1)
    path = f"/admin/accounts/{acme.id}/audit"
    first = await operating.page(path)
    assert "key.create" in first
    onward = first.partition(f"{path}?after=")[2].partition('"')[0]
    assert "account.create" in await operating.page(f"{path}?after={onward}")
    await operating.page(f"/admin/audit?after={onward}", 400)


async def test_no_change_is_made_without_the_token_of_the_form(operating: Operating, acme: Someone) -> None:
    path = f"/admin/accounts/{acme.id}/close"
    fields = {**form(await operating.page(path), path), "reason": "theirs"}
    for sent, headers in (
        ({**fields, "form_token": "0" * 64}, {}),
        (fields, {"origin": "https://evil.example"}),
        (fields, {"sec-fetch-site": "cross-site"}),
    ):
        refused: httpx.Response = await operating.client.post(path, data=sent, headers=headers)
        assert refused.status_code == 403
    assert (await operating.running.desk.accounts.show(acme.id)).account.status is AccountStatus.ACTIVE
