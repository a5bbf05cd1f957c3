"""The streaming frame choice against one that sees all times at once."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lcdc_extract.video.sampling import TIE_SECONDS, FrameSelector


def select(times: list[float], **options: float) -> list[int]:
    """Indices of the sampled frames, as the selector streams them."""
    selector = FrameSelector(**options)
    chosen: list[int] = []
    for index, time in enumerate(times):
        chosen += [index - 1] * selector.feed(time)
    return chosen + [len(times) - 1] * selector.finish()


def select_by_brute_force(times: list[float], fps: float) -> list[int]:
    """For each target the first of the frames that are nearest, give or take a tie."""
    chosen: list[int] = []
    half_interval = (times[-1] - times[-2]) / 2 if len(times) > 1 else 0.0
    for k in itertools.count():
        target = times[0] + k / fps
        beyond = target - times[-1] - half_interval - TIE_SECONDS / 2
        not_on_the_edge(beyond)
        if beyond > 0:
            return chosen
        distances = [abs(time - target) for time in times]
        farther = [distance - min(distances) - TIE_SECONDS for distance in distances]
        not_on_the_edge(*farther)
        chosen.append(next(i for i, excess in enumerate(farther) if excess <= 0))
    raise AssertionError("unreachable")


def not_on_the_edge(*values: float) -> None:
    """Leaves out examples in which the rounding of floating-point numbers would decide."""
    assume(all(abs(value) > 1e-9 for value in values))


intervals = st.lists(st.integers(8_000, 500_000), max_size=40)
"""Microseconds from frame to frame, long enough that no three frames are equally near."""


@given(intervals, st.floats(0.5, 120), st.sampled_from([0.0, 3.0, -1.5]))
def test_fps_equals_brute_force(steps: list[int], fps: float, start: float) -> None:
    times = [start + micros / 1e6 for micros in itertools.accumulate(steps, initial=0)]
    assert select(times, fps=fps) == select_by_brute_force(times, fps)


@given(st.integers(0, 60), st.integers(1, 9))
def test_frame_step_keeps_every_nth(count: int, step: int) -> None:
    assert select([0.04 * i for i in range(count)], frame_step=step) == list(range(0, count, step))


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (30, 15, [0, 2, 4, 6, 8]),
        (30, 30, list(range(10))),
        (25, 10, [0, 2, 5, 7]),  # 0.1 s lies between frames 2 and 3, 0.3 s between 7 and 8: the earlier
        (29.97, 30, list(range(10))),
        (30, 1, [0]),
    ],
)
def test_constant_rates(rate: float, fps: float, expected: list[int]) -> None:
    assert select([i / rate for i in range(10)], fps=fps) == expected


def test_rounded_times_do_not_move_the_choice() -> None:
    exact = [i / 25 for i in range(500)]
    jittered = [time + (-1) ** i * 4e-5 for i, time in enumerate(exact)]
    assert select(jittered, fps=10) == select(exact, fps=10)


def test_a_gap_repeats_the_nearest_frame() -> None:
    assert select([0.0, 0.1, 0.5, 0.6], fps=10) == [0, 1, 1, 1, 2, 2, 3]


def test_one_frame_and_none() -> None:
    assert select([7.0], fps=10) == [0]
    assert select([], fps=10) == []
    assert select([]) == []


def test_times_that_run_backwards_do_not_trap_it() -> None:
    chosen = select([0.0, 0.2, 0.1, 0.3], fps=10)
    assert chosen == sorted(chosen)
