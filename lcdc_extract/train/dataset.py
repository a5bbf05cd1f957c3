"""Videos, their labels and which of them to train on, before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lcdc_extract.errors import LabelsError, VideoError
from lcdc_extract.labels import IntArray, Segments, listed, read_bundle, read_labels
from lcdc_extract.train.batch import IGNORED
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.events import Reporter, TrainingNote, silent
from lcdc_extract.train.frames import VideoFrames
from lcdc_extract.video import RefusedVideo, VideoSource, discover, holds_pictures

TOLERANCE_FRAMES = 8
"""By how many frames a video and its labels may differ at the end: the common labels of 50 Salads lack 8."""


@dataclass(frozen=True)
class Dataset:
    """What there is to train on."""

    class_names: tuple[str, ...]
    labels: dict[str, IntArray | Segments]
    """By video id."""
    train: tuple[VideoSource, ...]
    validation: tuple[VideoSource, ...]


def read_dataset(config: TrainConfig, report: Reporter = silent) -> Dataset:
    """Matches videos and labels by their paths below the two directories, without extension.

    Without a split, every video must have labels and all labels a video; with one, those it names.

    Args:
        report: called with a note for what is left out of the videos.

    Raises:
        VideoError: no videos are found, or only parts of some, or, without a split, one has a name that cannot be used.
        LabelsError: labels cannot be read, or a video, its labels or a place in one bundle only is missing.
    """
    assert config.videos is not None, "TrainConfig checks it"
    assert config.labels is not None, "TrainConfig checks it"
    names, labels = read_labels(config.labels, config.mapping)
    found = discover([str(config.videos)])
    if any(video.parts for video in found.videos):
        raise VideoError(
            f"{config.videos} lists parts of videos; training takes whole ones, with labels for parts of them"
        )
    for place in found.skipped:
        report(TrainingNote(f"skipped {place}"))
    _tell_refused(found.refused, config, report)
    videos = {video.id: video for video in found.videos}
    validation = read_bundle(config.validation, labels) if config.validation else ()
    if config.split:
        train: Sequence[str] = read_bundle(config.split, labels)
        both = sorted(set(train) & set(validation))
        if both:
            raise LabelsError(f"{config.split} and {config.validation} share {listed(both)}; expected no video in both")
    else:
        _check_without_split(config.videos, config.labels, videos, labels)
        train = [name for name in videos if name not in validation]
        if not train:
            raise LabelsError(f"{config.validation} lists every video of {config.videos}; none is left to train on")
    missing = sorted({*train, *validation} - set(videos))
    if missing:
        raise LabelsError(f"{config.videos} holds no video named {listed(missing)}, which the split lists")
    return Dataset(names, labels, *(tuple(videos[name] for name in part) for part in (train, validation)))


def frame_labels(video: VideoSource, frames: VideoFrames, labels: IntArray | Segments, frame_step: int) -> IntArray:
    """The label of each kept frame of a video: (n,) int64, IGNORED beyond the end of the labels.

    Raises:
        LabelsError: video and labels differ in length by more than the tolerance, or labels have times and the video
            has none.
    """
    if isinstance(labels, Segments):
        if holds_pictures(video.path):
            raise LabelsError(
                f"{video.path} holds pictures, which say no times, and its labels are in seconds; give a label for "
                "each frame, or make a video of the pictures: ffmpeg -framerate RATE -i PICTURES OUT.mp4"
            )
        labels.check_end(str(video.path), float(frames.seconds[-1]))
        return labels.at(frames.seconds)
    if abs(len(labels) - frames.decoded) > TOLERANCE_FRAMES:
        raise LabelsError(
            f"{video.path} has {frames.decoded} frames, its labels {len(labels)}; expected one label per frame of the "
            f"video, give or take {TOLERANCE_FRAMES} at the end. Are they those of this video at its full frame rate?"
        )
    known = labels[::frame_step][: len(frames.seconds)]
    return np.append(known, np.full(len(frames.seconds) - len(known), IGNORED))


def _tell_refused(refused: Iterable[RefusedVideo], config: TrainConfig, report: Reporter) -> None:
    """A split cannot name them; without one they are to be trained on."""
    for video in refused:
        if not config.split:
            raise VideoError(f"{video.reason}; or name the videos to use by `split`")
        report(TrainingNote(f"skipped {video.id}: {video.reason}"))


def _check_without_split(videos: Path, labels: Path, have_video: Iterable[str], have_labels: Iterable[str]) -> None:
    unlabelled, unseen = sorted(set(have_video) - set(have_labels)), sorted(set(have_labels) - set(have_video))
    if unlabelled and not set(have_video) & set(have_labels):
        raise LabelsError(
            f"no video of {videos} has labels in {labels}: the videos are {listed(unlabelled)}, the labels those of "
            f"{listed(unseen)}. Expected the same path without extension, as in videos/S1/a.mp4 and labels/S1/a.txt."
        )
    for found, what in ((unlabelled, f"has no labels in {labels}"), (unseen, f"has labels but is not in {videos}")):
        if found:
            raise LabelsError(f"{listed(found)} {what}; add what is missing, or name the videos to use by `split`")
