"""Rows of parts against rows of the whole video, with random frames and a small head."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcdc_extract.config import PartEdges, Sampling
from lcdc_extract.features import VideoFailed
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.feature_stream import FeatureStream
from lcdc_extract.pipeline.underway import PartDone, PartRows, SampledFrames, Underway
from lcdc_extract.video import Condition, Counts, Part, VideoEnded, VideoInfo, VideoSource
from lcdc_extract.video.decoded import DecodedFrame
from lcdc_extract.video.parts import Needed
from tests.network.random_networks import random_frames, relative_l2, small_head, streaming

STREAMING = streaming(small_head(0))
STEP, FPS, START_SECONDS = 2, 10.0, 0.7
"""Every second decoded frame of a video of 10 frames/s is sampled; it begins 0.7 s after its sound."""

Joined = dict[str, tuple[Any, ...]]
"""By part: features, frame_index, time_seconds, edge and damaged of all its rows."""


def rows_of(
    frames: EncodedFrames, damaged: np.ndarray, parts: tuple[Part, ...], part_edges: PartEdges, sampling: Sampling
) -> tuple[Joined, dict[str, PartDone], list[VideoFailed]]:
    """What comes out for each part when a decoder sends what they need, in batches of up to 7."""
    total, video = len(frames), VideoSource("v", Path("v.mp4"), parts)
    underway = Underway(
        video,
        part_edges,
        lambda first=0, *, goes_on_before=False: FeatureStream(
            STREAMING, sampling, first, goes_on_before=goes_on_before
        ),
    )
    found: list[PartRows | PartDone | VideoFailed] = []
    for run in runs_of(total, parts, part_edges):
        index = np.array(run) * STEP
        about = SampledFrames(run[0], index, index / FPS, damaged[run], START_SECONDS)
        found += underway.push(about, frames[run[0] : run[-1] + 1])
    info = VideoInfo(64, 48, FPS, FPS, total * STEP, "av 1")
    counts = Counts(total * STEP, total, 0, 0, (total * STEP - 1) / FPS, 1, 1, "")
    found += underway.finish(VideoEnded(video, info, counts, Condition(START_SECONDS)))
    joined: Joined = {}
    for part in video.wanted:
        mine = [rows for rows in found if isinstance(rows, PartRows) and rows.part == part]
        if mine:
            arrays = ("frame_index", "time_seconds", "edge", "damaged")
            others = [np.concatenate([getattr(rows, name) for rows in mine]) for name in arrays]
            joined[part.id] = (torch.cat([rows.features for rows in mine]), *others)
    done = {item.part.id: item for item in found if isinstance(item, PartDone)}
    return joined, done, [item for item in found if isinstance(item, VideoFailed)]


def runs_of(total: int, parts: tuple[Part, ...], part_edges: PartEdges) -> list[list[int]]:
    """Places of frames that follow one another."""
    taker = Needed(parts, see_beyond=part_edges == "see")
    pixel = np.zeros((1, 1, 3), np.uint8)
    runs: list[list[int]] = []
    for number in range(total):
        frame = DecodedFrame(number * STEP, number * STEP / FPS, pixel)
        for place, _ in taker.take(frame, START_SECONDS):
            if not runs or place != runs[-1][-1] + 1 or len(runs[-1]) == 7:
                runs.append([])
            runs[-1].append(place)
    return runs


@st.composite
def some_parts(draw: st.DrawFn) -> tuple[Part, ...]:
    parts = []
    for number in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, 110)), draw(st.integers(1, 80))
        end = math.inf if draw(st.integers(0, 4)) == 0 else start + length
        if draw(st.booleans()):
            parts.append(Part(str(number), start, end, "frames"))
        else:
            parts.append(Part(str(number), start / FPS + START_SECONDS, end / FPS + START_SECONDS))
    return tuple(parts)


def held_frames(part: Part, total: int) -> list[int]:
    """Sampled frames of a part, one by one."""
    scale, shift = (1.0, 0.0) if part.unit == "frames" else (FPS, START_SECONDS)
    start, end = ((limit - shift) * scale - 1e-3 for limit in (part.start, part.end))
    return [place for place in range(total) if start <= place * STEP < end]


@settings(deadline=None, max_examples=80)
@given(
    total=st.integers(1, 60),
    stride=st.integers(1, 6),
    parts=some_parts(),
    edges=st.sampled_from(["clamp", "repeat-frame"]),
    seed=st.integers(0, 5),
)
def test_parts_that_see_are_slices_of_the_whole(
    total: int, stride: int, parts: tuple[Part, ...], edges: str, seed: int
) -> None:
    sampling, frames = Sampling(stride=stride, edges=edges), random_frames(total, seed)
    damaged = np.random.default_rng(seed).random(total) < 0.1
    whole = rows_of(frames, damaged, (), "see", sampling)[0]["v"]
    found, done, failed = rows_of(frames, damaged, parts, "see", sampling)
    for part in parts:
        held = held_frames(part, total)
        rows = np.flatnonzero(np.isin(whole[1] // STEP, held))
        assert (part.id in found) == (part.id in done) == (len(rows) > 0)
        if len(rows):
            assert done[part.id].frames == len(held)
            assert relative_l2(found[part.id][0], whole[0][rows]) < 1e-5
            for mine, its in zip(found[part.id][1:], whole[1:], strict=True):
                np.testing.assert_array_equal(mine, its[rows])
    assert sorted({failure.id for failure in failed} | done.keys()) == sorted(part.id for part in parts)


@settings(deadline=None, max_examples=80)
@given(total=st.integers(1, 60), parts=some_parts(), edges=st.sampled_from(["clamp", "repeat-frame"]))
def test_clamped_parts_are_like_videos_of_their_own(total: int, parts: tuple[Part, ...], edges: str) -> None:
    sampling, frames = Sampling(edges=edges), random_frames(total, 1)
    damaged = np.random.default_rng(0).random(total) < 0.1
    found, done, _ = rows_of(frames, damaged, parts, "clamp", sampling)
    for part in parts:
        held = held_frames(part, total)
        assert (part.id in found) == (part.id in done) == (len(held) > 0)
        if held:
            begin, end = held[0], held[-1] + 1
            alone, alone_done, _ = rows_of(frames[begin:end], damaged[begin:end], (), "see", sampling)
            assert relative_l2(found[part.id][0], alone["v"][0]) < 1e-5
            assert found[part.id][1].tolist() == [place * STEP for place in held]
            np.testing.assert_array_equal(found[part.id][3], alone["v"][3])
            np.testing.assert_array_equal(found[part.id][4], alone["v"][4])
            assert done[part.id].padding == alone_done["v"].padding


def test_a_clamped_part_has_the_rows_of_the_whole() -> None:
    frames, nothing = random_frames(60), np.zeros(60, np.bool_)
    part = Part("p", 25, 80, "frames")
    found = rows_of(frames, nothing, (part,), "clamp", Sampling(stride=3))[0]["p"]
    assert found[1].tolist() == [30, 36, 42, 48, 54, 60, 66, 72, 78]


def test_a_row_is_damaged_where_its_window_holds_a_damaged_frame() -> None:
    frames = random_frames(60)
    damaged = np.zeros(60, np.bool_)
    damaged[[3, 40]] = True
    found = rows_of(frames, damaged, (), "see", Sampling(stride=2))[0]["v"]
    for frame, spoilt in zip(found[1] // STEP, found[4], strict=True):
        start = min(max(frame - 8, 0), 60 - 16)
        assert spoilt == damaged[start : start + 16].any()
