"""Whole videos: lengths, segments, labels; the same each time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from lcdc_extract.synth import videos
from lcdc_extract.synth.actions import CLASSES
from lcdc_extract.synth.render import View, render
from lcdc_extract.synth.scene import stack
from lcdc_extract.synth.videos import draw_video, render_video


def test_lengths_and_segments() -> None:
    drawn = [draw_video(3, index) for index in range(12)]
    lengths = np.array([len(video) for video in drawn])
    assert lengths.min() >= 60 * 15
    assert lengths.max() <= 180 * 15
    assert np.mean(lengths < 100 * 15) > 0.5
    for video in drawn:
        assert len(video.labels) == len(video.scene.tracks.x) == len(video.scene.noise_seed)
        assert video.labels.dtype == np.int64
        cuts = np.flatnonzero(np.diff(video.labels)) + 1
        frames = np.diff([0, *cuts, len(video)])
        assert frames.min() >= 20
        assert frames.max() <= 90
        assert video.segments == len(frames)
    assert set(np.concatenate([video.labels for video in drawn])) == set(range(len(CLASSES)))


def test_a_video_depends_on_seed_and_index_alone() -> None:
    first, again, other, others = draw_video(1, 2), draw_video(1, 2), draw_video(2, 2), draw_video(1, 3)
    assert first.name == "synth-0002"
    assert np.array_equal(first.labels, again.labels)
    assert torch.equal(first.scene.tracks.x, again.scene.tracks.x)
    assert torch.equal(first.scene.noise_seed, again.scene.noise_seed)
    for different in (other, others):
        assert not torch.equal(first.scene.home, different.scene.home)


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "SECONDS", (4.0, 4.1))
    video = draw_video(1, 0)
    chunks = list(render_video(video, torch.device("cpu"), 96))
    assert [len(chunk) for chunk in chunks] == [32, len(video) - 32]
    monkeypatch.setattr(videos, "CHUNK", 7)
    assert torch.equal(torch.cat(chunks), torch.cat(list(render_video(video, torch.device("cpu"), 96))))
    alone = render(stack([video.scene.frames(slice(40, 41))]), View(pixels=96))[0, 0]
    assert torch.equal(alone, chunks[1][8])


def test_drawing_needs_no_video_library() -> None:
    code = (
        "import sys; from lcdc_extract.synth import actions, render, scene, videos; "
        "print([name for name in ('av', 'decord', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
