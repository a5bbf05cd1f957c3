"""Which frames a part holds, and which its windows need, against loops written from the definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcdc_extract.video import FrameChunk, Part, VideoEnded, VideoSource
from lcdc_extract.video.decoded import DecodedFrame
from lcdc_extract.video.parts import Needed
from tests.clips import read_number, render_clip
from tests.video.reference import run

PIXEL = np.zeros((1, 1, 3), np.uint8)


def window(frame: int, total: int) -> set[int]:
    """The sampled frames that the row of a frame sees in a video of `total`: 8 before it to 7 behind, moved inside."""
    start = min(max(frame - 8, 0), max(total - 16, 0))
    return {place for place in range(start, start + 16) if place < total}


def needed(parts: Sequence[Part], total: int, step: int, see_beyond: bool, start_seconds: float = 0.0) -> list[int]:
    """Places that come through, of a video of 10 frames/s with every `step`-th frame sampled."""
    taker = Needed(parts, see_beyond)
    frames = [DecodedFrame(place * step, place * step / 10, PIXEL) for place in range(total)]
    return [place for frame in frames for place, _ in taker.take(frame, start_seconds)]


@st.composite
def some_parts(draw: st.DrawFn) -> list[Part]:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, 120)), draw(st.integers(1, 60))
        end = math.inf if draw(st.integers(0, 4)) == 0 else start + length
        if draw(st.booleans()):
            parts.append(Part("p", start, end, "frames"))
        else:
            parts.append(Part("p", start / 10, end / 10))
    return parts


@settings(deadline=None, max_examples=300)
@given(parts=some_parts(), total=st.integers(1, 150), step=st.integers(1, 5), see_beyond=st.booleans())
def test_what_windows_see_comes_through(parts: list[Part], total: int, step: int, see_beyond: bool) -> None:
    scale = [10 if part.unit == "seconds" else 1 for part in parts]
    limits = [(part.start * by - 1e-3, part.end * by - 1e-3) for part, by in zip(parts, scale, strict=True)]
    held = [place for place in range(total) if any(start <= place * step < end for start, end in limits)]
    found = needed(parts, total, step, see_beyond)
    assert found == sorted(set(found))
    if not see_beyond:
        assert found == held
        return
    assert set().union(*(window(place, total) for place in held)) <= set(found)
    assert all(any(place - 15 <= near <= max(place + 7, 15) for place in held) for near in found)


def test_without_parts_every_frame_comes_through() -> None:
    assert needed([], 40, 1, see_beyond=True) == list(range(40))
    assert needed([Part("whole"), Part("p", 1, 2)], 40, 1, see_beyond=False) == list(range(40))


def test_seconds_are_those_that_players_show() -> None:
    assert needed([Part("p", 1.5, 2.0)], 40, 1, see_beyond=False) == [15, 16, 17, 18, 19]
    assert needed([Part("p", 1.5, 2.0)], 40, 1, see_beyond=False, start_seconds=1.0) == [5, 6, 7, 8, 9]
    assert needed([Part("p", 5, 10, "frames")], 40, 1, see_beyond=False, start_seconds=1.0) == [5, 6, 7, 8, 9]


def test_a_rounded_limit_is_met() -> None:
    times = np.array([0.3, 0.333333333, 0.4])
    for rounded in (0.3333333, 0.3333334):
        assert Part("p", rounded, 0.4).holds(np.arange(3), times).tolist() == [False, True, False]
        assert Part("q", 0, rounded).holds(np.arange(3), times).tolist() == [True, False, False]
    assert Part("r", 0.4, 1).holds(np.arange(3), times).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Part("p", 2, 3.5), "2s-3.5s"),
        (Part("p", 50, 80, "frames"), "50f-80f"),
        (Part("p", -math.inf, 0.1), "start-0.1s"),
        (Part("p", 7200.125), "7200.125s-end"),
    ],
)
def test_a_part_in_words(part: Part, text: str) -> None:
    assert str(part) == text


@pytest.mark.parametrize("decoder", ["auto", "av"])
@pytest.mark.parametrize(("part_edges", "first", "behind"), [("see", 25, 57), ("clamp", 40, 50)])
def test_the_decoder_sends_what_is_needed(
    tmp_path: Path, decoder: str, part_edges: str, first: int, behind: int
) -> None:
    clip = render_clip(tmp_path / "a.mp4", num_frames=90)
    video = VideoSource("a", clip, (Part("p", 1.6, 2.0), Part("q", 44, 47, "frames")))
    *_, ended = events = list(run([video], decoder=decoder, part_edges=part_edges))
    numbers = [read_number(picture) for event in events if isinstance(event, tuple) for picture in event[0]]
    assert numbers == list(range(first, behind))
    assert isinstance(ended, VideoEnded)
    assert (ended.counts.frames_decoded, ended.counts.frames_sampled) == (90, 90)
    assert ended.counts.last_seconds == pytest.approx(89 / 25)


def test_chunks_say_their_place(tmp_path: Path) -> None:
    from lcdc_extract.video import DecoderPool, Reading

    clip = render_clip(tmp_path / "a.mp4", num_frames=60)
    video = VideoSource("a", clip, (Part("p", 20, 21, "frames"), Part("q", 50, 52, "frames")))
    with DecoderPool([video], Reading(frame_step=2, part_edges="clamp")) as pool:
        chunks = [(event.place, event.index.tolist()) for event in pool if isinstance(event, FrameChunk)]
    assert chunks == [(10, [20]), (25, [50])]
