"""The frame cache, against frames resized by a slow loop."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lcdc_extract.config import PreprocessConfig
from lcdc_extract.errors import TrainingError, VideoError
from lcdc_extract.files import UNFINISHED
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.train import frames as frames_module
from lcdc_extract.train.events import Event, VideoDecoded, silent
from lcdc_extract.train.frames import TRAINING_SIDE, VALIDATION_SIDE, FrameCache, resize
from lcdc_extract.video import DecoderPool, FrameChunk, VideoSource, discover
from tests.clips import render_clip
from tests.train.tiny import bilinear


def decoded(source: VideoSource) -> tuple[np.ndarray[Any, Any], list[float]]:
    frames, seconds = [], []
    with DecoderPool([source]) as pool:
        for event in pool:
            if isinstance(event, FrameChunk):
                frames.append(event.rgb.copy())
                seconds += event.pts_seconds.tolist()
                event.release()
    return np.concatenate(frames), seconds


def cache(folder: Path, frame_step: int = 1) -> FrameCache:
    return FrameCache(folder / "frames", frame_step, "decord")


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "frames").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    return VideoSource("S1/a", render_clip(tmp_path_factory.mktemp("clip") / "a.mp4", num_frames=7))


@pytest.mark.parametrize("size", [(17, 23, 31), (40, 30, 24), (24, 24, 24)])
def test_resize_against_a_slow_loop(size: tuple[int, int, int]) -> None:
    height, width, side = size
    rgb = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    found = resize(torch.from_numpy(rgb), side)
    assert found.dtype == torch.uint8
    assert np.abs(found[0].permute(1, 2, 0).numpy() - bilinear(rgb[0], side)).max() <= 0.501


def test_frames_are_kept_resized_and_with_their_times(tmp_path: Path, source: VideoSource) -> None:
    events: list[Event] = []
    kept = cache(tmp_path, frame_step=2)
    kept.fill({source: TRAINING_SIDE}, events.append)
    video = kept.open(source, TRAINING_SIDE)
    frames, seconds = decoded(source)
    assert video.rgb.shape == (4, 246, 246, 3)
    assert video.decoded == 7
    assert video.seconds.tolist() == seconds[::2]
    assert np.abs(video.rgb[3] - bilinear(frames[6], 246)).max() <= 0.501
    assert events == [VideoDecoded("S1/a", 1, 1)]


def test_validation_sees_what_extraction_sees(tmp_path: Path, source: VideoSource) -> None:
    """Up to rounding, and not what resizing a second time makes of it."""
    kept = cache(tmp_path)
    kept.fill({source: VALIDATION_SIDE}, silent)
    found = torch.from_numpy(kept.open(source, VALIDATION_SIDE).rgb.copy()).permute(0, 3, 1, 2)
    config = PreprocessConfig()
    rgb = torch.from_numpy(decoded(source)[0])
    extracted = preprocess(rgb, config, torch.float32) + torch.tensor(config.mean)[:, None, None]
    assert found.shape == (7, 3, 224, 224)
    assert (found - extracted).abs().max() <= 0.5001
    twice = resize(resize(rgb, TRAINING_SIDE).permute(0, 2, 3, 1), VALIDATION_SIDE)
    assert (twice - extracted).abs().max() > 2


def test_a_video_that_changes_sides_is_decoded_again(tmp_path: Path, source: VideoSource) -> None:
    kept = cache(tmp_path)
    for side in (TRAINING_SIDE, VALIDATION_SIDE):
        kept.fill({source: side}, silent)
        assert kept.open(source, side).rgb.shape == (7, side, side, 3)


def test_what_is_there_is_decoded_again_only_if_the_video_or_the_step_changed(
    tmp_path: Path, source: VideoSource
) -> None:
    mine = VideoSource("a", Path(shutil.copy(source.path, tmp_path / "a.mp4")))
    cache(tmp_path).fill({mine: TRAINING_SIDE}, silent)
    first = written(tmp_path)
    assert sorted(first) == ["a.json", "a.npy"]
    cache(tmp_path).fill({mine: TRAINING_SIDE}, silent)
    assert written(tmp_path) == first
    os.utime(mine.path, ns=(0, 10**9))
    cache(tmp_path).fill({mine: TRAINING_SIDE}, silent)
    second = written(tmp_path)
    assert second["a.npy"] > first["a.npy"]
    cache(tmp_path, frame_step=3).fill({mine: TRAINING_SIDE}, silent)
    assert len(cache(tmp_path, frame_step=3).open(mine, TRAINING_SIDE).rgb) == 3


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no frames": ("a.npy", lambda _: b""),
    "half the frames": ("a.npy", lambda content: content[: len(content) // 2]),
    "another array": (
        "a.npy",
        lambda content: content.replace(b"'shape': (7, 246, 246, 3)", b"'shape': (7, 246, 3, 246)"),
    ),
    "no header": ("a.npy", lambda content: bytes(128) + content[128:]),
    "a broken header": ("a.npy", lambda content: content.replace(b"{", b"(", 1)),
    "no card": ("a.json", lambda _: b""),
    "half a card": ("a.json", lambda content: content[: len(content) // 2]),
    "another card": ("a.json", lambda _: b"[1, 2]"),
    "a card that is no text": ("a.json", lambda _: b"\xff\xfe"),
    "a card without a fact": ("a.json", lambda content: content.replace(b'"decoded": 7, ', b"")),
    "a card with words for numbers": ("a.json", lambda content: content.replace(b'"decoded": 7', b'"decoded": "7"')),
    "a card with words for times": ("a.json", lambda content: content.replace(b"[0.0", b'["soon"')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_again(tmp_path: Path, source: VideoSource, damage: str) -> None:
    kept = cache(tmp_path)
    kept.fill({source: TRAINING_SIDE}, silent)
    name, damaged = DAMAGES[damage]
    path = tmp_path / "frames" / "S1" / name
    before = path.read_bytes()
    path.write_bytes(damaged(before))
    assert path.read_bytes() != before
    with pytest.raises(TrainingError, match=r"the frames of .*a\.mp4 are not in .*frames"):
        kept.open(source, TRAINING_SIDE)
    kept.fill({source: TRAINING_SIDE}, silent)
    assert path.read_bytes() == before
    assert len(kept.open(source, TRAINING_SIDE).rgb) == 7


def test_videos_that_cannot_be_opened_are_listed(tmp_path: Path, source: VideoSource) -> None:
    for name in ("b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(b"this is no video")
    with pytest.raises(VideoError, match=r"(?s)2 videos cannot be decoded.*`split`.*b\.mp4: .*c\.mp4: "):
        cache(tmp_path).fill(dict.fromkeys([source, *discover([str(tmp_path)]).videos], TRAINING_SIDE), silent)


def test_a_video_that_opens_and_then_breaks_does_not_take_the_others_along(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"this is no video")
    fine = SimpleNamespace(frames_expected=7)  # at first sight
    monkeypatch.setattr(frames_module, "probe", lambda videos, decoder: {video.id: fine for video in videos})
    kept = cache(tmp_path)
    with pytest.raises(VideoError, match=r"(?s)1 videos cannot be decoded.*b\.mp4: "):
        kept.fill({VideoSource("b", tmp_path / "b.mp4"): TRAINING_SIDE, source: TRAINING_SIDE}, silent)
    assert len(kept.open(source, TRAINING_SIDE).rgb) == 7
    assert sorted(written(tmp_path)) == ["a.json", "a.npy"]


def test_a_video_that_does_not_open_does_not_keep_the_others_from_being_decoded(
    tmp_path: Path, source: VideoSource
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"this is no video")
    kept = cache(tmp_path)
    with pytest.raises(VideoError, match=r"(?s)1 videos cannot be decoded.*b\.mp4: "):
        kept.fill({VideoSource("b", tmp_path / "b.mp4"): TRAINING_SIDE, source: TRAINING_SIDE}, silent)
    assert len(kept.open(source, TRAINING_SIDE).rgb) == 7


def test_a_disk_without_room_is_noticed_before_decoding(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 10**6))
    with pytest.raises(TrainingError, match=r"1 videos need 0\.0 GB.*0\.0 GB are free.*`frame_step`"):
        cache(tmp_path).fill({source: TRAINING_SIDE}, silent)
    assert written(tmp_path) == {}


def test_a_disk_that_fills_up_keeps_what_is_finished(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = VideoSource("full", source.path)
    kept = cache(tmp_path)
    kept.fill({source: TRAINING_SIDE}, silent)
    (tmp_path / "frames" / ("full.npy" + UNFINISHED)).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match="Finished videos are kept"):
        kept.fill({source: TRAINING_SIDE, other: TRAINING_SIDE}, silent)
    assert sorted(written(tmp_path)) == ["a.json", "a.npy"]
    facts = json.loads((tmp_path / "frames" / "S1" / "a.json").read_text())
    assert facts["size_bytes"] == source.path.stat().st_size
