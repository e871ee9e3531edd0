"""A page token is read back as it was made, for its own list only."""

import base64
import json

import pytest

from gateway.wire import page_token

WITHIN = page_token.scope("list", "acc_1", None, ["a"])


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_a_token_is_read_back_for_the_same_scope_only() -> None:
    token = page_token.make(WITHIN, 1_795_435_200_000, "req_1.captured")
    assert page_token.read(token, WITHIN) == (1_795_435_200_000, "req_1.captured")
    assert page_token.read(token, page_token.scope("list", "acc_2", None, ["a"])) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "ö",
        "a" * 10_000,
        "not/base64",
        encoded("text"),
        encoded([1, WITHIN, 1]),
        encoded([2, WITHIN, 1, "req_1"]),
        encoded([1, WITHIN, -1, "req_1"]),
        encoded([1, WITHIN, 2**53, "req_1"]),
        encoded([1, WITHIN, 2**80, "req_1"]),
        encoded([1, WITHIN, 1.5, "req_1"]),
        encoded([1, WITHIN, 1, "a\0b"]),
        encoded([1, WITHIN, 1, ""]),
    ],
)
def test_what_is_no_token_is_never_read_as_one(token: str) -> None:
    assert page_token.read(token, WITHIN) is None
