"""The metrics against numbers worked out by hand, and against slow code that follows the definitions word by word."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcdc_extract.labels import IntArray
from lcdc_extract.score.metrics import (
    OVERLAPS,
    Scores,
    edit_score,
    f1_counts,
    f1_score,
    lea_scores,
    mean_scores,
    mstcn_scores,
    segments,
)


def labels(text: str) -> IntArray:
    """'0112' -> [0, 1, 1, 2]."""
    return np.array([int(digit) for digit in text], np.int64)


def test_segments() -> None:
    classes, starts, ends = segments(labels("0011101"))
    assert (classes.tolist(), starts.tolist(), ends.tolist()) == ([0, 1, 0, 1], [0, 2, 5, 6], [2, 5, 6, 7])
    classes, starts, ends = segments(labels("0011101"), ignored=[0])  # the two 1s stay two segments
    assert (classes.tolist(), starts.tolist(), ends.tolist()) == ([1, 1], [2, 6], [5, 7])


@pytest.mark.parametrize(
    ("predicted", "truth", "ignored", "expected"),
    [
        ("1122", "1222", [], 100),  # order 12 and 12: nothing to change
        ("1212", "1122", [], 50),  # 1212 to 12: 2 deletions; the longer has 4; 1 - 2/4
        ("1112", "2221", [], 0),  # 12 to 21: 2 replacements of 2
        ("1023", "1123", [], 75),  # 1023 to 123: 1 deletion of 4
        ("1023", "1123", [0], 100),  # without the 0: 123 and 123
        ("0000", "0000", [0], 100),  # nothing to find, nothing found
        ("0000", "0011", [0], 0),  # one segment missing of one
        ("1111", "0000", [0], 0),  # one too many of one
        ("1", "1", [], 100),
    ],
)
def test_edit_score(predicted: str, truth: str, ignored: list[int], expected: float) -> None:
    assert edit_score(labels(predicted), labels(truth), ignored) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "truth", "overlap", "ignored", "expected"),
    [
        # 1: rows 0-2 in 0-4, 3/5 of the union; 2: rows 3-9 and 5-9, 5/7
        ("1112222222", "1111122222", 0.5, [], (2, 0, 0)),
        ("1112222222", "1111122222", 0.65, [], (1, 1, 1)),
        ("1111111112", "1111111111", 0.9, [], (1, 1, 0)),  # 9/10 reaches 0.9
        ("1112222222", "1111111111", 0.3, [], (1, 1, 0)),  # 3/10 reaches 0.3
        ("2222222222", "1111111111", 0.1, [], (0, 1, 1)),  # the class must agree
        ("1122222222", "2222222211", 0.1, [], (1, 1, 1)),  # 1: apart, the gap makes the overlap negative; 2: 6/10
        ("1120222222", "1110222222", 0.1, [0], (2, 1, 0)),  # 1: 2/3, 2: 6/6, and the 2 in between overlaps nothing
        # two pieces of one segment: the first takes it, the second is too many
        ("1101111111", "1111111111", 0.1, [0], (1, 1, 0)),
        # one piece over two segments, 4/10 each: only one of them is found
        ("1111111111", "1111221111", 0.4, [], (1, 0, 2)),
        # rows 2-7 overlap both alike, 2/8 each: they take the first, which leaves the second to row 9
        ("0011111101", "1111001111", 0.1, [0], (2, 0, 0)),
        # no second choice: rows 3-7 overlap rows 0-5 best (3/8), which rows 0-1 have taken; row 7 would give 1/5
        ("1101111100", "1111110100", 0.1, [0], (1, 1, 1)),
        ("0000000000", "0000000000", 0.1, [0], (0, 0, 0)),
        ("0000000000", "0001100000", 0.1, [0], (0, 0, 1)),
        ("0001100000", "0000000000", 0.1, [0], (0, 1, 0)),
    ],
)
def test_f1_counts(predicted: str, truth: str, overlap: float, ignored: list[int], expected: tuple[int, ...]) -> None:
    assert f1_counts(labels(predicted), labels(truth), overlap, ignored) == expected


def test_f1_score() -> None:
    assert f1_score(3, 1, 2) == pytest.approx(200 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))
    assert f1_score(0, 4, 5) == 0
    assert f1_score(0, 0, 0) == 100


def test_the_two_conventions() -> None:
    """Two videos of 4 and 12 rows; class 0 is the background in Lea's convention and a class like any in the other."""
    truth = [labels("0011"), labels("000011112222")]
    predicted = [labels("0111"), labels("111111112222")]
    # accuracy: 3/4 and 8/12: mean (75 + 66.67) / 2 = 70.83; pooled 11/16 = 68.75
    # without 0. Video 1: 1 on 1, edit 100, IoU 2/3. Video 2: 12 on 12, edit 100, IoU of 1: 4/8, of 2: 4/4. All F1 100.
    assert lea_scores(predicted, truth, ignored=[0]) == Scores(pytest.approx(425 / 6), 100, 100, 100, 100)
    # with 0. Video 1: 01 on 01, edit 100, IoU of 0: 1/2, of 1: 2/3: TP 2. Video 2: 12 on 012: edit 1 - 1/3,
    # 1: 4/8, 2: 4/4: TP 2, FN 1. Edit (100 + 66.67) / 2; pooled F1 2*4 / (2*4 + 1) = 8/9.
    f1 = pytest.approx(800 / 9)
    assert mstcn_scores(predicted, truth, ignored=[]) == Scores(68.75, pytest.approx(250 / 3), f1, f1, f1)


def test_per_video_and_pooled_f1_differ() -> None:
    truth = [labels("1111"), labels("121212")]
    predicted = [labels("2222"), labels("121212")]
    # video 1: TP 0, FP 1, FN 1: F1 0; video 2: TP 6: F1 100; mean 50; pooled 12 / (12 + 2) = 6/7
    assert lea_scores(predicted, truth, []).f1_10 == pytest.approx(50)
    assert mstcn_scores(predicted, truth, []).f1_10 == pytest.approx(600 / 7)


def test_mean_scores() -> None:
    assert mean_scores([Scores(1, 2, 3, 4, 5), Scores(3, 4, 5, 6, 9)]) == Scores(2, 3, 4, 5, 7)


def slow_runs(row: list[int], ignored: int) -> list[tuple[int, int, int]]:
    runs, first = [], 0
    for label, group in groupby(row):
        length = len(list(group))
        if label != ignored:
            runs.append((label, first, first + length))
        first += length
    return runs


@cache
def slow_distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return slow_distance(one[1:], other[1:])
    return 1 + min(slow_distance(one[1:], other), slow_distance(one, other[1:]), slow_distance(one[1:], other[1:]))


def slow_counts(predicted: list[int], truth: list[int], overlap: Fraction, ignored: int) -> tuple[int, int, int]:
    wanted, taken, wrong = slow_runs(truth, ignored), set(), 0
    for label, start, end in slow_runs(predicted, ignored):
        best, best_place = Fraction(-1), -1
        for place, (true_label, true_start, true_end) in enumerate(wanted):
            rows, true_rows = set(range(start, end)), set(range(true_start, true_end))
            iou = Fraction(len(rows & true_rows), len(rows | true_rows))
            if label == true_label and iou > best:
                best, best_place = iou, place
        if best >= overlap and best_place not in taken:
            taken.add(best_place)
        else:
            wrong += 1
    return len(taken), wrong, len(wanted) - len(taken)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=24), st.sampled_from([-1, 0]))
def test_against_slow_code(rows: list[tuple[int, int]], ignored: int) -> None:
    predicted, truth = [row[0] for row in rows], [row[1] for row in rows]
    arrays = np.array(predicted), np.array(truth)
    orders = [tuple(run[0] for run in slow_runs(row, ignored)) for row in (predicted, truth)]
    longest = max(map(len, orders))
    expected = 100 * (1 - slow_distance(*orders) / longest) if longest else 100
    assert edit_score(*arrays, [ignored]) == pytest.approx(expected)
    for overlap, exact in zip(OVERLAPS, (Fraction(1, 10), Fraction(1, 4), Fraction(1, 2)), strict=True):
        assert f1_counts(*arrays, overlap, [ignored]) == slow_counts(predicted, truth, exact, ignored)
