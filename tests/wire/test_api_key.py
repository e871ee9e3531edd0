import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import api_key

RANDOM = bytes(range(32))
KEY = api_key.make(RANDOM).encode()


@given(st.binary(min_size=32, max_size=64))
def test_every_key_made_is_recognised(random: bytes) -> None:
    secret = api_key.make(random).encode()
    parsed = api_key.parse(secret)
    assert parsed is not None
    assert parsed.secret == secret
    assert len(secret) == 47
    assert secret.startswith(b"cgw_live_")


def test_the_format_is_the_same_for_ever() -> None:
    # Keys are out in the world: a change here would lock every caller out.
    assert api_key.make(b"\x00" * 32) == "cgw_live_" + "0" * 33 + "6okCP"
    assert api_key.digest(b"secret", b"pepper").hex() == (
        "804e6d854739162fdea0d455b3aafe67f40d2919406186a27be601596ac6d306"
    )


def test_too_little_randomness_makes_no_key() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        api_key.make(b"\x00" * 31)


@given(st.integers(0, 46), st.integers(1, 255))
def test_one_wrong_byte_anywhere_makes_it_no_key(at: int, change: int) -> None:
    broken = bytearray(KEY)
    broken[at] ^= change
    assert api_key.parse(bytes(broken)) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"cgw_live_",
        KEY[:-1],
        KEY + b"0",
        KEY + b"\n",
        b" " + KEY,
        KEY.replace(b"cgw_live_", b"cgw_test_"),
        KEY.swapcase(),
        b"' OR 1=1--",
        b"\r\nFLUSHALL\r\n",
        "cgw_live_é".encode() * 4,
        b"\x00" * 47,
        b"A" * 1_000_000,
    ],
)
def test_what_is_no_key_of_ours_costs_no_lookup(raw: bytes) -> None:
    assert api_key.parse(raw) is None


def test_a_secret_is_in_no_repr() -> None:
    parsed = api_key.parse(KEY)
    assert KEY.decode() not in repr(parsed)
    assert parsed is not None
    assert parsed.fingerprint == api_key.fingerprint(KEY)
    assert len(parsed.fingerprint) == 8
    assert parsed.fingerprint.encode() not in KEY


def test_a_digest_needs_the_pepper() -> None:
    assert api_key.digest(KEY, b"one") != api_key.digest(KEY, b"two")
    assert len(api_key.digest(KEY, b"one")) == 32
