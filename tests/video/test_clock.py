"""When frames are shown, from hand-written packets."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lcdc_extract.video.clock import Clock, Stamp

TICK = Fraction(1, 100)


def presented(*ticks: int, dts: list[int] | None = None) -> list[Stamp]:
    """Packets that say when their frame is shown; decoded in the order in which they are written here."""
    return [Stamp(pts, place) for pts, place in zip(ticks, dts or range(len(ticks)), strict=True)]


def test_frames_are_in_the_order_in_which_they_are_shown() -> None:
    """I P B B P B B: decoded in another order than shown."""
    clock = Clock(presented(0, 12, 4, 8, 24, 16, 20, dts=[-8, -4, 0, 4, 8, 12, 16]), TICK, 25.0)
    assert clock.tells_when_shown
    np.testing.assert_allclose(clock.seconds, np.arange(7) * 0.04)
    assert [clock.slot(packet, sent=0, before=-1) for packet in range(7)] == [0, 3, 1, 2, 6, 4, 5]
    assert clock.interval_seconds == pytest.approx(0.04)
    assert (clock.restarts, clock.leaps, clock.notes) == ((), (), [])


def test_beyond_the_last_frame_time_goes_on() -> None:
    clock = Clock(presented(0, 4, 8), TICK, 25.0)
    assert [clock.at(slot) for slot in (2, 3, 5)] == pytest.approx([0.08, 0.12, 0.20])
    assert Clock([], TICK, 25.0).at(3) == pytest.approx(0.12)


def test_times_of_decoding_belong_to_what_comes_out_then() -> None:
    """Packets 3 and 4 are dropped frames: nothing comes out at their times."""
    clock = Clock([Stamp(None, tick) for tick in (0, 4, 8, 20, 24)], TICK, 25.0)
    assert not clock.tells_when_shown
    slots, before = [], -1
    for sent in (2, 3, 4, 5, 6):  # one packet of delay: the first frame comes out when the second has gone in
        before = clock.slot(packet=0, sent=sent, before=before)
        slots.append(before)
    assert slots == [1, 2, 3, 4, 5]


def test_unknown_times_lie_evenly_between_known_ones() -> None:
    known = {0: 0, 3: 12, 6: 36}
    clock = Clock([Stamp(None, known.get(place)) for place in range(8)], TICK, 25.0)
    np.testing.assert_allclose(clock.seconds, [0, 0.04, 0.08, 0.12, 0.20, 0.28, 0.36, 0.40])


def test_without_times_frames_follow_at_the_frame_rate() -> None:
    nothing = [Stamp(None, None)] * 4
    np.testing.assert_allclose(Clock(nothing, TICK, 50.0).seconds, [0, 0.02, 0.04, 0.06])
    np.testing.assert_allclose(Clock(nothing, TICK, 0.0).seconds, [0, 0.04, 0.08, 0.12])


def test_a_clock_that_starts_again_goes_on_from_the_last_frame() -> None:
    first, second = list(range(0, 80, 4)), list(range(0, 40, 4))
    stamps = presented(*first, *second, dts=[*first, *second])
    stamps[20] = stamps[20]._replace(is_key=True)
    clock = Clock(stamps, TICK, 25.0)
    np.testing.assert_allclose(clock.seconds, np.arange(30) * 0.04)
    assert clock.restarts == (20,)
    assert clock.notes == ["the clock of the file starts again at frame 20; times go on from the last frame"]


def test_clocks_that_overlap_out_of_step_keep_their_intervals() -> None:
    first, second = list(range(0, 80, 4)), list(range(42, 122, 4))
    stamps = presented(*first, *second, dts=[*first, *second])
    stamps[20] = stamps[20]._replace(is_key=True)
    clock = Clock(stamps, TICK, 25.0)
    assert clock.restarts == (20,)
    assert clock.interval_seconds == pytest.approx(0.04)
    np.testing.assert_allclose(np.diff(clock.seconds), 0.04)


def test_guessed_times_of_decoding_that_step_back_are_no_other_clock() -> None:
    """MPEG-PS with several frames in a packet, joined Matroska: ffmpeg guesses dts, which goes up and down."""
    shown = [0, 12, 4, 8, 24, 16, 20, 36, 28, 32, *range(40, 120, 4)]
    clock = Clock(presented(*shown, dts=shown), TICK, 25.0)
    assert clock.restarts == ()
    np.testing.assert_allclose(clock.seconds, np.arange(30) * 0.04)


def test_guessed_times_of_decoding_that_do_not_rise_are_filled() -> None:
    """Some frames of MPEG-PS share a packet; what ffmpeg guesses for them steps back by a frame or two."""
    ticks = [0, 4, 8, 12, 16, 12, 24, 28, 32, *range(36, 120, 4)]
    clock = Clock([Stamp(None, tick, is_key=tick == 12) for tick in ticks], TICK, 25.0)
    np.testing.assert_allclose(clock.seconds, np.arange(30) * 0.04)
    assert clock.restarts == ()


def test_a_key_frame_that_is_shown_too_early_begins_another_recording() -> None:
    """Joined Matroska says no times of decoding; near the end of the file few frames follow."""
    first, second = [0, 12, 4, 8, 24, 16, 20], [0, 12, 4, 8]
    stamps = [Stamp(pts, None, is_key=pts == 0) for pts in (*first, *second)]
    clock = Clock(stamps, TICK, 25.0)
    assert clock.restarts == (7,)
    np.testing.assert_allclose(clock.seconds, np.arange(11) * 0.04)


def test_long_gaps_are_kept_and_noted() -> None:
    clock = Clock(presented(0, 4, 8, 3_600_012, 3_600_016, dts=[0, 4, 8, 3_600_012, 3_600_016]), TICK, 25.0)
    assert clock.leaps == (3,)
    assert clock.notes == ["frame 3 comes 36000.0 s after the one before"]
    assert clock.seconds[3] == pytest.approx(36000.12)
    rare = Clock(presented(*range(0, 10000, 2000), dts=list(range(0, 10000, 2000))), TICK, 0.05)
    assert rare.notes == []  # a frame every 20 s


def test_times_are_exact_after_a_day() -> None:
    ticks = [n * 1001 for n in range(2_600_000, 2_600_010)]
    clock = Clock(presented(*ticks, dts=ticks), Fraction(1, 30000), 30000 / 1001)
    for slot, tick in enumerate(ticks):
        assert clock.at(slot) == pytest.approx(float(Fraction(tick, 30000)), abs=1e-9)
