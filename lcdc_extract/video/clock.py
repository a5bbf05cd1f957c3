"""When each frame of a stream is shown, from the times its packets carry, before any frame is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LONG_GAP_SECONDS = 10.0
"""A jump forward of this much is worth a note: a pause in the recording, or a clock that was set anew."""


REORDERED = 16
"""No frame is decoded more than so many frames before it is shown."""


_WRONG_GUESS_FRAMES = 4
"""By how many frames demuxers guess times of decoding wrong, about."""


class Stamp(NamedTuple):
    """The times of one packet, in ticks of the stream; None where the container does not say."""

    pts: int | None
    """When its frame is shown."""
    dts: int | None
    """When it is decoded."""
    is_key: bool = False
    """Whether its frame is a key frame."""


class Clock:
    """The shown frames of a stream as slots 0, 1, 2, ..., in the order in which they are shown, and the time of each.

    Three kinds of containers:

    - every packet says when its frame is shown: MP4, Matroska, MPEG-TS. A slot belongs to a packet.
    - packets only say when they are decoded: AVI, some MPEG-PS. A frame that comes out of the decoder when packet n
      has gone in has the time of packet n, as in ffmpeg. Only where B frames are packed, two frames to a packet and
      none to the next, frame n has the time of packet n, and comes out one packet later.
    - packets say nothing: raw streams. Frames are one frame interval apart.

    A clock that steps back, in joined files, goes on one frame interval after the last frame before.

    Attributes:
        seconds: float64 (N,), never falling; 0 is the zero of the stream's own clock.
        interval_seconds: the median distance of two frames.
        tells_when_shown: whether every packet does.
        restarts: slots at which the file's clock steps back.
        leaps: slots at which it leaps forward by more than `LONG_GAP_SECONDS`.
        notes: steps back and long jumps forward, in words.
    """

    def __init__(self, stamps: Sequence[Stamp], time_base: Fraction, fps: float, *, packed: bool = False) -> None:
        """Puts the frames in order.

        Args:
            stamps: of the packets whose frames are shown, in the order of the file.
            time_base: seconds per tick.
            fps: frames per second as the container says; 0 where it does not.
            packed: whether B frames share a packet with the frame they refer to.
        """
        self._late = int(packed)
        self.tells_when_shown = all(stamp.pts is not None for stamp in stamps)
        self.notes: list[str] = []
        default_ticks = float(1 / (fps or 25.0) / time_base)
        ticks, starts = _ticks_of(stamps, self.tells_when_shown, default_ticks)
        interval_ticks = _median_step(ticks, starts, default_ticks)
        self.restarts = tuple(starts[1:])
        self._slot_of, ticks = self._in_order(ticks, starts, interval_ticks)
        self.seconds = ticks * float(time_base.numerator) / float(time_base.denominator)
        self.interval_seconds = interval_ticks * float(time_base)
        self.leaps = self._note_leaps()

    def __len__(self) -> int:
        return len(self.seconds)

    def slot(self, packet: int, sent: int, before: int) -> int:
        """The slot of a frame that comes out of a decoder.

        Args:
            packet: number of the packet it was in.
            sent: packets that went into the decoder so far.
            before: the slot of the frame before, -1 for the first.
        """
        if self.tells_when_shown:
            return int(self._slot_of[packet])
        waiting = sent > len(self)  # all packets went in: the decoder hands out what it kept
        return before + 1 if waiting else max(sent - 1 - self._late, before + 1)

    def at(self, slot: int) -> float:
        """Seconds of a slot; beyond the last one at the usual distance."""
        if not len(self):
            return slot * self.interval_seconds
        beyond = max(0, slot - len(self) + 1)
        return float(self.seconds[slot - beyond]) + beyond * self.interval_seconds

    def _in_order(
        self, ticks: npt.NDArray[np.float64], starts: Sequence[int], interval_ticks: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """(slot of each packet, time of each slot), one clock after the other."""
        slot_of = np.empty(len(ticks), np.int64)
        times = np.empty(len(ticks), np.float64)
        for begin, end in zip(starts, [*starts[1:], len(ticks)], strict=True):
            order = np.argsort(ticks[begin:end], kind="stable")
            slot_of[begin + order] = np.arange(begin, end)
            times[begin:end] = ticks[begin:end][order]
            if begin:
                times[begin:end] += times[begin - 1] + interval_ticks - times[begin]
                self.notes.append(
                    f"the clock of the file starts again at frame {begin}; times go on from the last frame"
                )
        return slot_of, times

    def _note_leaps(self) -> tuple[int, ...]:
        gaps = np.diff(self.seconds)
        places = np.flatnonzero(gaps > max(LONG_GAP_SECONDS, 2 * self.interval_seconds))
        self.notes += [f"frame {place + 1} comes {gaps[place]:.1f} s after the one before" for place in places]
        return tuple(int(place) + 1 for place in places)


def _ticks_of(stamps: Sequence[Stamp], shown: bool, default_ticks: float) -> tuple[npt.NDArray[np.float64], list[int]]:
    """The time that decides, of each packet; and the packets at which the clock starts again."""
    decoded = [stamp.dts for stamp in stamps]
    if shown:
        presented = np.array([stamp.pts for stamp in stamps], np.float64)
        return presented, _restarts(stamps, presented, default_ticks, default_ticks / 2)
    filled = _without_gaps(decoded, default_ticks)
    starts = _restarts(stamps, filled, default_ticks, _WRONG_GUESS_FRAMES * default_ticks)
    clocks = zip(starts, [*starts[1:], len(stamps)], strict=True)
    rising = [_without_gaps(_rising(decoded[begin:end]), default_ticks) for begin, end in clocks]
    return np.concatenate(rising), starts


def _without_gaps(ticks: Sequence[int | None], default_ticks: float) -> npt.NDArray[np.float64]:
    """Unknown times lie evenly between those that are known, and one frame apart before and behind them."""
    known = [place for place, tick in enumerate(ticks) if tick is not None]
    if not known:
        return np.arange(len(ticks), dtype=np.float64) * default_ticks
    filled = np.array([np.nan if tick is None else tick for tick in ticks], np.float64)
    places = np.arange(len(ticks))
    filled[known[0] : known[-1] + 1] = np.interp(places[known[0] : known[-1] + 1], known, filled[known])
    filled[: known[0]] = filled[known[0]] - default_ticks * (known[0] - places[: known[0]])
    filled[known[-1] :] = filled[known[-1]] + default_ticks * (places[known[-1] :] - known[-1])
    return filled


def _rising(ticks: Sequence[int | None]) -> list[int | None]:
    """Times of decoding without those that demuxers guessed wrong: they do not rise."""
    found: list[int | None] = []
    latest = None
    for tick in ticks:
        rises = tick is not None and (latest is None or tick > latest)
        found.append(tick if rises else None)
        latest = tick if rises else latest
    return found


def _restarts(
    stamps: Sequence[Stamp], ticks: npt.NDArray[np.float64], default_ticks: float, margin_ticks: float
) -> list[int]:
    """Where another recording begins: at a key frame whose time is before that of frames decoded earlier.

    It may also begin in the middle of its own frames, where decoding goes back in time. But some demuxers guess the
    times of decoding, and step back by the reordering of B frames; a new recording has all that follow earlier.

    Args:
        ticks: the time that decides, of each packet.
        margin_ticks: by so much a key frame may be early.
    """
    places, last, latest = [0], None, -np.inf
    for place, stamp in enumerate(stamps):
        goes_back = stamp.dts is not None and last is not None and stamp.dts < last - default_ticks / 2
        is_early = stamp.is_key and ticks[place] < latest - margin_ticks
        if is_early or (goes_back and _all_earlier(ticks[places[-1] :], place - places[-1])):
            places.append(place)
            latest = -np.inf
        last = last if stamp.dts is None else stamp.dts
        latest = max(latest, ticks[place])
    return places


def _all_earlier(ticks: npt.NDArray[np.float64], place: int) -> bool:
    """Whether so many frames are earlier than those before that no reordering explains it."""
    following, before = ticks[place : place + REORDERED], ticks[max(0, place - REORDERED) : place]
    return len(following) == REORDERED and bool(following.max() <= before.max())


def _median_step(ticks: npt.NDArray[np.float64], starts: Sequence[int], default: float) -> float:
    """The usual distance of two frames, of one clock."""
    clocks = np.split(ticks, starts[1:])
    steps = np.concatenate([np.diff(np.sort(clock)) for clock in clocks])
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else default
