"""Streaming against the snippet-by-snippet head, which never sees a frame outside its window."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcdc_extract.config import PAPER, Sampling
from lcdc_extract.errors import VideoError
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.feature_stream import FeatureRows, FeatureStream, Padding
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.network.rows import row_count
from lcdc_extract.network.streaming import HeadTaps
from tests.network.random_networks import random_frames, random_lcdc, relative_l2, small_head, streaming

HEADS = [small_head(seed) for seed in range(4)]
STREAMINGS = [streaming(head) for head in HEADS]
HEAD, STREAMING = HEADS[0], STREAMINGS[0]


def frames_of_window(frame: int, total: int, edges: str) -> list[int]:
    """Frame numbers of the window a row shows, written from the rule rather than from the code."""
    if edges == "repeat-frame":
        return [min(max(t, 0), total - 1) for t in range(frame - 8, frame + 8)]
    centre = min(max(frame, 8), max(total - 8, 8))
    return [min(t, total - 1) for t in range(centre - 8, centre + 8)]


def by_snippet(frames: EncodedFrames, sampling: Sampling, head: TemporalHead = HEAD) -> torch.Tensor:
    windows = [frames_of_window(frame, len(frames), sampling.edges) for frame in range(0, len(frames), sampling.stride)]
    return torch.cat([head(frames.appearance[w][None], frames.offsets[w][None]) for w in windows])


def stream(
    frames: EncodedFrames, sampling: Sampling, chunks: list[int], head: HeadTaps = STREAMING
) -> tuple[FeatureRows, Padding]:
    """Pushes the frames in chunks of the given sizes, over and over, and joins the rows."""
    feature_stream = FeatureStream(head, sampling)
    parts, begin, turn = [], 0, 0
    while begin < len(frames):
        size = chunks[turn % len(chunks)]
        parts.append(feature_stream.push(frames[begin : begin + size]))
        begin, turn = begin + size, turn + 1
    rest, padding = feature_stream.finish()
    parts.append(rest)
    features = torch.cat([part.features for part in parts])
    rows = [(frame, edge) for part in parts for frame, edge in zip(part.frames, part.edges, strict=True)]
    starts = [start for part in parts for start in part.starts]
    return FeatureRows(features, [frame for frame, _ in rows], [edge for _, edge in rows], starts), padding


@settings(deadline=None, max_examples=120)
@given(
    total=st.integers(1, 70),
    stride=st.integers(1, 7),
    edges=st.sampled_from(["clamp", "repeat-frame"]),
    chunks=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    seed=st.integers(0, 3),
)
def test_equals_snippet_by_snippet(total: int, stride: int, edges: str, chunks: list[int], seed: int) -> None:
    sampling = Sampling(stride=stride, edges=edges)
    frames = random_frames(total, seed)
    rows, padding = stream(frames, sampling, chunks, STREAMINGS[seed])
    assert rows.frames == list(range(0, total, stride))
    assert row_count(total, sampling) == len(rows)
    assert rows.edges == [frame < 8 or frame + 7 >= total for frame in rows.frames]
    assert padding.frames == (max(16 - total, 0) if edges == "clamp" else 0)
    assert relative_l2(rows.features, by_snippet(frames, sampling, HEADS[seed])) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    frames = random_frames(40)
    half = HeadTaps(copy.deepcopy(STREAMING.head).to(dtype))
    rows, _ = stream(EncodedFrames(frames.appearance.to(dtype), frames.offsets), Sampling(), [16], half)
    assert rows.features.dtype == dtype
    cosine = torch.nn.functional.cosine_similarity(rows.features.float(), by_snippet(frames, Sampling()))
    assert cosine.min() > 0.999


@settings(deadline=None, max_examples=30)
@given(total=st.integers(1, 70), stride=st.integers(2, 7), edges=st.sampled_from(["clamp", "repeat-frame"]))
def test_a_stride_picks_rows_of_stride_one(total: int, stride: int, edges: str) -> None:
    frames = random_frames(total, 1)
    dense, _ = stream(frames, Sampling(edges=edges), [16])
    sparse, _ = stream(frames, Sampling(stride=stride, edges=edges), [16])
    assert sparse.frames == dense.frames[::stride]
    assert relative_l2(sparse.features, dense.features[::stride]) < 1e-5


@pytest.mark.parametrize("stride", [20, 33])
def test_strides_beyond_the_window(stride: int) -> None:
    frames = random_frames(100)
    rows, _ = stream(frames, Sampling(stride=stride), [7])
    assert relative_l2(rows.features, by_snippet(frames, Sampling(stride=stride))) < 1e-5


@pytest.mark.parametrize(("stride", "chunk"), [(1, 8), (1, 33), (2, 16), (7, 5), (20, 20), (40, 40), (50, 3)])
def test_state_does_not_grow(stride: int, chunk: int) -> None:
    feature_stream = FeatureStream(STREAMING, Sampling(stride=stride))
    held = []
    for seed in range(60):
        feature_stream.push(random_frames(chunk, seed))
        inner = feature_stream._head
        held.append(max(len(inner._u), len(inner._v_row)))
    assert max(held) <= 2 * 16 + chunk
    assert max(held[30:]) <= max(held[:30])


@pytest.mark.parametrize(
    ("total", "stride"), [(16, 1), (40, 2), (41, 2), (40, 5), (43, 5), (16, 20), (45, 20), (64, 17)]
)
def test_released_alignment_follows_the_authors_loop(total: int, stride: int) -> None:
    frames = random_frames(total)
    rows, padding = stream(frames, Sampling(stride=stride, align="released"), [9])
    features = list(rows.features)
    features = [features[0]] * padding.rows_in_front + features
    features = (
        features[: total // stride] if padding.rows_behind < 0 else features + [features[-1]] * padding.rows_behind
    )
    expected = authors_rows(frames, stride)
    assert len(features) == len(expected) == total // stride
    assert row_count(total, Sampling(stride=stride, align="released")) == len(expected)
    if features:
        assert relative_l2(torch.stack(features), torch.stack(expected)) < 1e-5


def authors_rows(frames: EncodedFrames, stride: int) -> list[torch.Tensor]:
    """The released extractor's rows, from its description: windows at 8, 8 + stride .. <= n - 8, then padding."""
    total = len(frames)
    rows = []
    for centre in range(8, total - 8 + 1, stride):
        window = slice(centre - 8, centre + 8)
        rows.append(HEAD(frames.appearance[window][None], frames.offsets[window][None])[0])
    wanted = total // stride
    if len(rows) >= wanted:
        return rows[:wanted]
    missing = wanted - len(rows)
    front = (missing + 1) // 2
    return [rows[0]] * front + rows + [rows[-1]] * (missing - front)


def test_released_alignment_refuses_short_videos() -> None:
    with pytest.raises(VideoError, match="15 sampled frames"):
        stream(random_frames(15), Sampling(align="released"), [16])
    with pytest.raises(VideoError, match="15 sampled frames"):
        row_count(15, Sampling(align="released"))


def test_no_frames_is_an_error() -> None:
    with pytest.raises(VideoError, match="no frame"):
        FeatureStream(STREAMING, Sampling()).finish()


def test_the_full_network_from_pixels() -> None:
    network = random_lcdc(PAPER)
    extraction = network.for_extraction(torch.device("cpu"), torch.float32)
    pixels = 60 * torch.randn(20, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        encoded = extraction.encoder(pixels)
        assert encoded.offsets.std() > 0.1
        rows, _ = stream(encoded, Sampling(stride=3), [6], HeadTaps(extraction.head))
        windows = [pixels[frames_of_window(frame, 20, "clamp")] for frame in (0, 18)]
        expected = network(torch.stack(windows))
    assert relative_l2(rows.features[[0, 6]], expected) < 1e-5


@settings(deadline=None, max_examples=120)
@given(
    total=st.integers(16, 70),
    first=st.integers(0, 60),
    stride=st.integers(1, 7),
    edges=st.sampled_from(["clamp", "repeat-frame"]),
    goes_on_before=st.booleans(),
)
def test_a_stretch_of_a_video(total: int, first: int, stride: int, edges: str, goes_on_before: bool) -> None:
    """Rows stand for the same frames as in the whole; where the video goes on, windows do not end at the stretch."""
    first = min(first, total - 16)
    sampling, frames = Sampling(stride=stride, edges=edges), random_frames(total)
    feature_stream = FeatureStream(STREAMING, sampling, first, goes_on_before=goes_on_before)
    pieces = [feature_stream.push(frames[begin : begin + 9]) for begin in range(first, total, 9)]
    pieces = [*pieces, feature_stream.finish()[0]]
    found = torch.cat([rows.features for rows in pieces])
    begin = first + 8 if goes_on_before else first
    assert [frame for rows in pieces for frame in rows.frames] == [n for n in range(begin, total) if n % stride == 0]
    offset = 0 if goes_on_before else first
    windows = [
        [offset + place for place in frames_of_window(frame - offset, total - offset, edges)]
        for frame in range(begin, total)
        if frame % stride == 0
    ]
    if windows:
        expected = torch.cat(
            [HEAD(frames.appearance[window][None], frames.offsets[window][None]) for window in windows]
        )
        assert relative_l2(found, expected) < 1e-5
