"""Stretches of time as a table: what follows each other evenly is one stretch."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.books.pieces import Piece, in_runs

HOUR_MS = 3_600_000


def windows_of(piece: Piece) -> list[tuple[int, int, int, int]]:
    """What a piece stands for, window by window."""
    starts = range(piece.start_ms, piece.end_ms, piece.step_ms)
    return [
        (piece.number + number, at, min(at + piece.step_ms, piece.end_ms), piece.sign)
        for number, at in enumerate(starts)
    ]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from((0, 0, 1)), st.sampled_from((1, 1, -1))), max_size=30))
def test_runs_are_the_same_windows_and_no_two_of_them_could_be_one(lengths: list[tuple[int, int, int]]) -> None:
    at, pieces = 0, []
    for number, (length, gap, sign) in enumerate(lengths):
        at += gap
        pieces.append(Piece(number, at, at + length, sign))
        at += length
    runs = in_runs(pieces)
    assert [each for run in runs for each in windows_of(run)] == [each for one in pieces for each in windows_of(one)]
    for run, after in pairwise(runs):
        assert (run.end_ms, run.sign, run.step_ms) != (after.start_ms, after.sign, after.step_ms)


def test_the_hours_of_a_month_are_one_run() -> None:
    hours = [Piece(number, number * HOUR_MS, (number + 1) * HOUR_MS, 1) for number in range(720)]
    assert in_runs(hours) == [Piece(0, 0, 720 * HOUR_MS, 1, HOUR_MS)]
