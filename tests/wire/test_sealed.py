"""Replies that may hold a secret, kept where a store's reader could look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sealed import NONCE_BYTES, seal, unseal

PEPPER = b"a pepper for tests"
nonces = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)


@given(st.binary(max_size=300), nonces)
def test_what_was_sealed_is_opened_with_the_same_pepper_and_purpose_only(plain: bytes, nonce: bytes) -> None:
    sealed = seal(plain, pepper=PEPPER, purpose=b"one", nonce=nonce)
    assert unseal(sealed, pepper=PEPPER, purpose=b"one") == plain
    assert unseal(sealed, pepper=b"another", purpose=b"one") is None
    assert unseal(sealed, pepper=PEPPER, purpose=b"two") is None


@given(st.binary(max_size=40), nonces, st.data())
def test_what_was_altered_anywhere_is_not_opened(plain: bytes, nonce: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(plain, pepper=PEPPER, purpose=b"one", nonce=nonce))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    assert unseal(bytes(sealed), pepper=PEPPER, purpose=b"one") is None
    assert unseal(bytes(sealed[:at]), pepper=PEPPER, purpose=b"one") is None


def test_a_sealed_secret_is_not_in_what_is_kept_and_never_looks_the_same_twice() -> None:
    secret = b"cgw_live_0123456789abcdef0123456789abcdef"
    sealed = [seal(secret, pepper=PEPPER, purpose=b"one", nonce=bytes([n]) * NONCE_BYTES) for n in (1, 2)]
    assert all(secret[:8] not in one for one in sealed)
    assert sealed[0][NONCE_BYTES:] != sealed[1][NONCE_BYTES:]


def test_a_nonce_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        seal(b"", pepper=PEPPER, purpose=b"one", nonce=b"short")
