"""The frame cache, against frames resized by a slow loop."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lcdc_extract.errors import TrainingError, VideoError
from lcdc_extract.train import frames as frames_module
from lcdc_extract.train.frames import FrameCache, resize
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
    events: list[dict[str, Any]] = []
    kept = cache(tmp_path, frame_step=2)
    kept.fill([source], events.append)
    video = kept.open(source)
    frames, seconds = decoded(source)
    assert video.rgb.shape == (4, 246, 246, 3)
    assert video.decoded == 7
    assert video.seconds.tolist() == seconds[::2]
    assert np.abs(video.rgb[3] - bilinear(frames[6], 246)).max() <= 0.501
    assert events == [{"video": "S1/a", "number": 1, "of": 1}]


def test_what_is_there_is_decoded_again_only_if_the_video_or_the_step_changed(
    tmp_path: Path, source: VideoSource
) -> None:
    mine = VideoSource("a", Path(shutil.copy(source.path, tmp_path / "a.mp4")))
    cache(tmp_path).fill([mine], lambda _: None)
    first = written(tmp_path)
    assert sorted(first) == ["a.json", "a.npy"]
    cache(tmp_path).fill([mine], lambda _: None)
    assert written(tmp_path) == first
    os.utime(mine.path, ns=(0, 10**9))
    cache(tmp_path).fill([mine], lambda _: None)
    second = written(tmp_path)
    assert second["a.npy"] > first["a.npy"]
    cache(tmp_path, frame_step=3).fill([mine], lambda _: None)
    assert len(cache(tmp_path, frame_step=3).open(mine).rgb) == 3


@pytest.mark.parametrize("damage", ["no frames", "half the frames", "no json", "half a json"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, source: VideoSource, damage: str) -> None:
    kept = cache(tmp_path)
    kept.fill([source], lambda _: None)
    path = tmp_path / "frames" / "S1" / ("a.json" if "json" in damage else "a.npy")
    if "half" in damage:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    kept.fill([source], lambda _: None)
    assert len(kept.open(source).rgb) == 7


def test_videos_that_cannot_be_opened_are_listed(tmp_path: Path, source: VideoSource) -> None:
    for name in ("b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(b"this is no video")
    with pytest.raises(VideoError, match=r"(?s)2 videos cannot be decoded.*--split.*b\.mp4: .*c\.mp4: "):
        cache(tmp_path).fill([source, *discover([str(tmp_path)]).videos], lambda _: None)


def test_a_video_that_opens_and_then_breaks_does_not_take_the_others_along(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"this is no video")
    fine = SimpleNamespace(frames_expected=7)  # at first sight
    monkeypatch.setattr(frames_module, "probe", lambda videos, decoder: {video.id: fine for video in videos})
    kept = cache(tmp_path)
    with pytest.raises(VideoError, match=r"(?s)1 videos cannot be decoded.*b\.mp4: "):
        kept.fill([VideoSource("b", tmp_path / "b.mp4"), source], lambda _: None)
    assert len(kept.open(source).rgb) == 7
    assert sorted(written(tmp_path)) == ["a.json", "a.npy"]


def test_a_video_that_does_not_open_does_not_keep_the_others_from_being_decoded(
    tmp_path: Path, source: VideoSource
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"this is no video")
    kept = cache(tmp_path)
    with pytest.raises(VideoError, match=r"(?s)1 videos cannot be decoded.*b\.mp4: "):
        kept.fill([VideoSource("b", tmp_path / "b.mp4"), source], lambda _: None)
    assert len(kept.open(source).rgb) == 7


def test_a_disk_without_room_is_noticed_before_decoding(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 10**6))
    with pytest.raises(TrainingError, match=r"1 videos need 0\.0 GB.*0\.0 GB are free.*--frame-step"):
        cache(tmp_path).fill([source], lambda _: None)
    assert written(tmp_path) == {}


def test_a_disk_that_fills_up_keeps_what_is_finished(
    tmp_path: Path, source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = VideoSource("full", source.path)
    kept = cache(tmp_path)
    kept.fill([source], lambda _: None)
    (tmp_path / "frames" / "full.npy.part").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match="Finished videos are kept"):
        kept.fill([source, other], lambda _: None)
    assert sorted(written(tmp_path)) == ["a.json", "a.npy"]
    facts = json.loads((tmp_path / "frames" / "S1" / "a.json").read_text())
    assert facts["size_bytes"] == source.path.stat().st_size
