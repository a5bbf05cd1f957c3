"""Batches of labelled videos: the same for the same seed and step, every clip in an epoch, the authors' jitter."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lcdc_extract.errors import TrainingError
from lcdc_extract.train import videos as module
from lcdc_extract.train.batch import IGNORED, Batch
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.events import silent
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import Phase
from lcdc_extract.train.videos import LabelledVideos, jitter
from tests.clips import render_clip
from tests.train.tiny import CPU, bilinear, write_labels

PHASE = Phase("clips", "classify", epochs=2, batch=2, learning_rate=1e-3, size=32, windows=(0, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a and b to train on, c to validate on; 40 frames each, and labels of three classes."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate("abc"):
        render_clip(folder / "videos" / f"{name}.mp4", num_frames=40 + number)
    labels = ["background"] * 14 + ["cut"] * 16 + ["peel"] * 12
    write_labels(folder, dict.fromkeys("abc", labels))
    (folder / "test.bundle").write_text("c.txt\n")
    return folder


def source(folder: Path, **options: Any) -> LabelledVideos:
    options = {"stride": 4, "validation": folder / "test.bundle"} | options
    config = TrainConfig(out=folder / "out", videos=folder / "videos", labels=folder / "groundTruth", **options)
    return LabelledVideos(config, CPU, Processes(CPU), silent)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)


def test_batches_depend_on_seed_and_step_alone(folder: Path) -> None:
    one, other = source(folder), source(folder)
    steps = 2 * one.steps_per_epoch(PHASE, 1)
    whole = list(one.batches(PHASE, range(steps), 0, 1))
    assert len(whole) == steps
    for first in (1, steps - 1, steps):
        later = list(other.batches(PHASE, range(first, steps), 0, 1))
        assert all(same(a, b) for a, b in zip(whole[first:], later, strict=True))
    again = next(source(folder, seed=1).batches(PHASE, range(1), 0, 1))
    assert not same(whole[0], again)
    assert whole[0].frames.shape == (2, 24, 3, 32, 32)
    assert whole[0].frames.dtype == torch.uint8
    assert whole[0].labels.shape == (2, 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_epoch_shows_every_clip_in_a_new_order(
    folder: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a and b have 40 and 41 frames: 5 clips of 24 each, all with a pure window. Frames are replaced by their place."""
    monkeypatch.setattr(
        LabelledVideos, "_frames", lambda self, videos, clips, number, phase: torch.full((1, 1, 1, 3), int(number))
    )
    monkeypatch.setattr(module, "jitter", lambda frames, size, rng: frames)
    videos = source(folder)
    steps = videos.steps_per_epoch(PHASE, processes)
    assert steps == {1: 5, 2: 3}[processes]
    epochs = []
    for epoch in range(2):
        shares = [
            [
                int(x)
                for batch in videos.batches(PHASE, range(epoch * steps, (epoch + 1) * steps), process, processes)
                for x in batch.frames[:, 0, 0, 0, 0]
            ]
            for process in range(processes)
        ]
        seen = list(itertools.chain(*shares))
        assert set(seen) == set(range(10))
        assert len(seen) == steps * 2 * processes  # the last step is filled up
        epochs.append(seen)
    assert epochs[0] != epochs[1]


def test_labels_are_those_of_the_windows(folder: Path) -> None:
    """14 background, 16 cut, then peel: clips at 0, 4, 8, 12 and 16, windows at 0 and 8 of each."""
    clips = source(folder)._training_clips(PHASE)
    expected = [[0, IGNORED], [IGNORED, 1], [IGNORED, 1], [1, IGNORED], [1, IGNORED]]
    assert clips.start.tolist() == [0, 4, 8, 12, 16] * 2
    assert clips.labels.tolist() == expected * 2


def test_jitter_is_one_crop_of_all_frames_resized() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 246, 246, 3), dtype=np.uint8)
    found = jitter(torch.from_numpy(rgb), 32, np.random.default_rng(3)).permute(0, 2, 3, 1).numpy()
    assert found.shape == (2, 32, 32, 3)
    errors = {}
    for whole in range(32, 36):  # 32 * 246 / 224 is 35.1
        resized = np.stack([bilinear(frame, whole) for frame in rgb])
        for top, left in itertools.product(range(whole - 31), repeat=2):
            crop = resized[:, top : top + 32, left : left + 32]
            errors[whole, top, left] = np.abs(found - crop).max()
    best, second = sorted(errors.values())[:2]
    assert best <= 0.501
    assert second > 5


def test_jitter_uses_every_size_and_both_ends() -> None:
    """Frames whose pixels are their own coordinates tell size and place of the crop."""
    row = np.arange(246, dtype=np.uint8)
    rgb = torch.from_numpy(np.stack([np.broadcast_to(row, (246, 246))] * 3, axis=-1)[None].copy())
    rng = np.random.default_rng(0)
    crops = [jitter(rgb, 224, rng)[0, 0, 0] for _ in range(60)]
    assert min(int(crop[0]) for crop in crops) == 0
    assert max(int(crop[-1]) for crop in crops) == 245
    assert max(int(crop[0]) for crop in crops) > 15
    spans = [int(crop[-1]) - int(crop[0]) for crop in crops]
    assert min(spans) <= 224
    assert max(spans) >= 244


def test_validation_is_the_whole_frame_and_always_the_same(folder: Path) -> None:
    videos = source(folder)
    one, other = list(videos.validation(PHASE)), list(videos.validation(PHASE))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))
    assert [len(batch.labels) for batch in one] == [2, 2, 1]  # 42 frames: clips at 0, 4, 8, 12 and 16
    frame = videos._validation[0][0].rgb[4]
    assert np.abs(one[0].frames[1, 0].permute(1, 2, 0).numpy() - bilinear(frame, 32)).max() <= 0.501
    assert list(source(folder, validation=None, split=folder / "test.bundle").validation(PHASE)) == []


def test_validation_is_capped_and_spread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALIDATION_BATCHES", 1)
    (batch,) = source(folder).validation(PHASE)
    assert batch.labels.tolist() == [[0, IGNORED], [1, IGNORED]]  # the first and the last clip


def test_nothing_is_pure_enough(folder: Path) -> None:
    with pytest.raises(TrainingError, match=r"none of 2 videos has a clip of 24 frames.*longest video has 9 frames"):
        source(folder, frame_step=5).steps_per_epoch(PHASE, 1)


def test_other_labels_are_other_data(folder: Path) -> None:
    split = folder / "train.bundle"
    split.write_text("a.txt\n")
    assert source(folder).fingerprint == source(folder, seed=3).fingerprint
    assert source(folder).fingerprint != source(folder, split=split).fingerprint


def test_an_error_while_reading_reaches_the_loop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise OSError("the disk is gone")

    videos = source(folder)
    monkeypatch.setattr(LabelledVideos, "_frames", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        next(videos.batches(PHASE, range(9), 0, 1))
