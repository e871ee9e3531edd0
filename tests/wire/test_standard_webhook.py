"""Signatures as receivers verify them, with the standard's own library."""

from datetime import UTC, datetime

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.wire.standard_webhook import event_body, instant_text, new_seed, secret, signed_headers, signing_key

PEPPER = b"a pepper for tests"
OLD, NEW, OTHER = (new_seed(bytes([number]) * 32) for number in (1, 2, 3))


def headers(*seeds: str, body: bytes = b"{}") -> dict[str, str]:
    at_s = int(datetime.now(UTC).timestamp())
    return dict(signed_headers("msg_1", at_s, body, [signing_key(seed, PEPPER) for seed in seeds]))


def test_the_standards_library_verifies_what_is_signed() -> None:
    body = event_body("alert.raised", datetime(2026, 11, 23, 12, tzinfo=UTC), {"name": "free_credits_exhausted"})
    told = Webhook(secret(NEW, PEPPER)).verify(body, headers(NEW, body=body))
    assert told == {
        "type": "alert.raised",
        "timestamp": "2026-11-23T12:00:00.000Z",
        "data": {"name": "free_credits_exhausted"},
    }


def test_during_a_rotation_the_old_and_the_new_secret_both_verify_and_no_other() -> None:
    sent = headers(NEW, OLD)
    for seed in (NEW, OLD):
        Webhook(secret(seed, PEPPER)).verify(b"{}", sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(OTHER, PEPPER)).verify(b"{}", sent)


def test_a_changed_body_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(NEW, PEPPER)).verify(b'{"a":1}', headers(NEW))


def test_a_secret_cannot_be_made_without_the_pepper() -> None:
    assert secret(NEW, PEPPER) != secret(NEW, b"another pepper")
    assert NEW not in secret(NEW, PEPPER)


def test_a_seed_needs_all_its_random_bytes() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_seed(b"short")


def test_instants_read_as_utc() -> None:
    assert orjson.loads(event_body("t", datetime(2026, 1, 1, tzinfo=UTC), {}))["timestamp"] == instant_text(
        1_767_225_600_000
    )
