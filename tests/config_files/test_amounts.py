from decimal import Decimal

import pytest

from gateway.config_files.amounts import byte_size, cents, duration_ms, rate


@pytest.mark.parametrize(
    ("text", "calls", "window_ms"),
    [
        ("20/min", 20, 60_000),
        ("5/s", 5, 1_000),
        ("5/sec", 5, 1_000),
        ("1_000/h", 1_000, 3_600_000),
        ("1000 / hour", 1_000, 3_600_000),
        ("50/5s", 50, 5_000),
        ("50 / 10 s", 50, 10_000),
        ("100_000/day", 100_000, 86_400_000),
    ],
)
def test_a_rate_is_calls_in_a_window(text: str, calls: int, window_ms: int) -> None:
    assert rate(text) == (calls, window_ms)


@pytest.mark.parametrize(
    "text", ["", "20", "/min", "20/", "0/min", "-1/min", "1.5/min", "100_001/day", "1/2d", "1/0s", "1/m"]
)
def test_no_other_rate_is_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate limit|out of range"):
        rate(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), (512, 512), ("1 KiB", 1_024), ("2GiB", 2**31), ("1 GB", 10**9), ("1_024 MiB", 2**30), ("7 B", 7)],
)
def test_a_size_is_bytes(text: object, size: int) -> None:
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "1.5 GiB", "-1", "2 Gigabyte", "2 gib"])
def test_no_other_size_is_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        byte_size(text)


@pytest.mark.parametrize(("text", "ms"), [("250 ms", 250), ("5s", 5_000), ("30 min", 1_800_000), ("1 day", 86_400_000)])
def test_a_duration_has_its_unit(text: str, ms: int) -> None:
    assert duration_ms(text) == ms
    with pytest.raises(ValueError, match="duration"):
        duration_ms(text[:1])


def test_dollars_are_whole_cents() -> None:
    assert cents(Decimal("49.99")) == 4_999
    for wrong in ("0.001", "-1", "1e30"):
        with pytest.raises(ValueError, match="cents"):
            cents(Decimal(wrong))
