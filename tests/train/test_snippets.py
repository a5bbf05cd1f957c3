"""Purity of snippets, against a slow loop."""

from __future__ import annotations

import numpy as np

from lcdc_extract.train.batch import IGNORED
from lcdc_extract.train.snippets import find_clips, window_labels


def label_of(frames: list[int]) -> int:
    for label in set(frames) - {IGNORED}:
        if frames.count(label) / len(frames) >= 0.7:
            return label
    return IGNORED


def test_windows_against_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 4, 60), rng.integers(1, 30, 60))
    labels[-5:] = IGNORED
    starts = np.arange(len(labels) - 15)
    expected = [label_of(labels[start : start + 16].tolist()) for start in starts]
    assert window_labels(labels, starts, 4).tolist() == expected
    assert IGNORED in expected
    assert set(expected) > {0, 1, 2, 3}


def test_twelve_frames_of_sixteen_are_enough_and_eleven_are_not() -> None:
    start = np.array([0])
    assert window_labels(np.repeat([1, 0], [12, 4]), start, 2) == 1
    assert window_labels(np.repeat([1, 0], [11, 5]), start, 2) == IGNORED
    assert window_labels(np.repeat([1, IGNORED], [12, 4]), start, 2) == 1
    assert window_labels(np.full(16, IGNORED), start, 2) == IGNORED


def test_clips_stay_inside_their_video() -> None:
    videos = [np.zeros(25, np.int64), np.ones(15, np.int64), np.full(24, 2)]
    clips = find_clips(videos, (0,), 4, 3)
    assert clips.video.tolist() == [0, 0, 0, 2, 2, 2]
    assert clips.start.tolist() == [0, 4, 8, 0, 4, 8]
    assert clips.labels.tolist() == [[0]] * 3 + [[2]] * 3
    clips = find_clips(videos, (0, 4, 8), 1, 3)  # clips of 24 frames
    assert clips.start.tolist() == [0, 1, 0]
    assert clips.labels.tolist() == [[0] * 3] * 2 + [[2] * 3]


def test_a_clip_counts_if_one_of_its_windows_is_pure() -> None:
    labels = np.repeat([0, 1], [14, 18])
    clips = find_clips([labels], (0, 4, 8), 4, 2)
    assert clips.start.tolist() == [0, 4, 8]
    assert clips.labels.tolist() == [[0, IGNORED, IGNORED], [IGNORED, IGNORED, 1], [IGNORED, 1, 1]]
    assert len(find_clips([np.tile([0, 1], 20)], (0,), 4, 2)) == 0
