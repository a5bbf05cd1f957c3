"""What a picture shows of a feature file's video: frames, self-similarity of the features, class probabilities.

The settings that messages name are the options of `lcdc plot`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lcdc_extract.errors import VideoError, WeightsError
from lcdc_extract.features.reader import VideoFeatures
from lcdc_extract.files import sha256_of
from lcdc_extract.plots import ClassProbabilities, Thumbnails, VideoPicture
from lcdc_extract.video import (
    PART_ATTRIBUTES,
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    Part,
    Reading,
    VideoEnded,
    VideoOpened,
    VideoSource,
    stamp_of,
)
from lcdc_extract.weights.file import load_weights, read_info
from lcdc_extract.weights.registry import find_file, registry
from lcdc_extract.weights.resolve import UNTRAINED, weights_path

MOST_ROWS = 600
"""Side of the similarity matrix; of longer videos every n-th row is taken."""
MOST_THUMBNAILS = 8


class NoClassScores(WeightsError):
    """There is no class layer to ask: worth a note where nobody insisted on one."""


@dataclass(frozen=True)
class Classifier:
    """The layer cls_score of the network that made a feature file."""

    layer: nn.Linear
    names: tuple[str, ...]
    """Of its C outputs."""

    def probabilities(self, features: npt.NDArray[np.float32]) -> ClassProbabilities:
        """softmax(cls_score(fc_new_2)): features (T, 1024) -> (T, C)."""
        with torch.inference_mode():
            scores = self.layer(torch.from_numpy(features))
        return ClassProbabilities(torch.softmax(scores, dim=1).numpy(), self.names)


def video_picture(
    video_id: str, video: VideoFeatures, made_by: Mapping[str, Any], source: Path | None, classifier: Classifier | None
) -> VideoPicture:
    """Everything to draw of a video.

    Args:
        video_id: of `video`, for the title.
        video: from a feature file.
        made_by: the file's attributes.
        source: the video's file, see `find_source`; None for a picture without frames.
        classifier: see `find_classifier`; None for a picture without classes.

    Raises:
        VideoError: see `read_thumbnails`.
    """
    every = -(-len(video.features) // MOST_ROWS)
    state = "" if made_by["trained"] else ", not trained: the features mean nothing"
    return VideoPicture(
        title=f"{video_id}, weights {made_by['weights']}{state}",
        seconds=video.time_seconds,
        similarity=self_similarity(video.features[::every]),
        similarity_seconds=video.time_seconds[::every],
        thumbnails=read_thumbnails(source, video) if source else None,
        probabilities=classifier.probabilities(video.features) if classifier else None,
    )


def self_similarity(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cosine between any two rows: (T, 1024) -> (T, T). A row of zeros has cosine 0 with every row."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    similarity: npt.NDArray[np.float32] = directions @ directions.T
    return similarity


def find_classifier(made_by: Mapping[str, Any], weights: str | None = None) -> Classifier:
    """The class layer of the weights that made a feature file.

    Args:
        made_by: the file's attributes.
        weights: their path or name; None for what the extraction was given.

    Raises:
        NoClassScores: the weights have no class names, or none were given and they are not on this machine.
        WeightsError: nothing is at `weights`, the weights are not those of the features, or they are damaged.
    """
    name = weights or json.loads(made_by["config"])["weights"] or made_by["weights"]
    if name == UNTRAINED:
        raise NoClassScores("the untrained network has no classes")
    path = _weights_file(name)
    if path is None and weights:
        raise WeightsError(f"`weights={weights}` is neither a file nor a name of weights here; see `lcdc weights list`")
    if path is None:
        raise NoClassScores(f"the weights {name} are not here; give their place with `weights=PATH`")
    found, expected = sha256_of(path), made_by["weights_sha256"]
    if found != expected:
        raise WeightsError(
            f"{path} has the SHA-256 {found}, but the features were made with {expected}: it is another network. "
            "Give the file they were made with as `weights=PATH`, extract them again, or leave the classes out with "
            "`classes=False`."
        )
    names = read_info(path).class_names
    if not names:
        raise NoClassScores(f"the weights {path} have no class names")
    return Classifier(load_weights(path).network.head.cls_score, names)


def find_source(attributes: Mapping[str, Any], source: Path | None = None) -> Path:
    """The file, or folder of pictures, a video was extracted from.

    Args:
        attributes: of the video, as the feature file has them.
        source: where the file is now; None for where it was.

    Raises:
        VideoError: it is not there, or another file is.
    """
    path = source or Path(attributes["source"])
    if not path.exists():
        raise VideoError(
            f"the video is not at {path}. Give its place with `source=FILE`, or leave the frames out with "
            "`frames=False`."
        )
    try:
        size_bytes = stamp_of(path).size_bytes
    except VideoError as error:
        raise VideoError(f"{path}: {error}. `frames=False` draws the picture without frames.") from error
    if size_bytes != attributes["source_size_bytes"]:
        raise _another_video(path, attributes)
    return path


def read_thumbnails(path: Path, video: VideoFeatures, most: int = MOST_THUMBNAILS) -> Thumbnails:
    """Frames 0, n, 2n, ... of a video, or of the part of it, with the smallest n that gives no more than `most`.

    They are read as they were for the features, from the beginning of the file: neither decoder seeks reliably.

    Raises:
        VideoError: the file cannot be decoded, or is not the one that was extracted.
    """
    chunks: list[npt.NDArray[np.uint8]] = []
    seconds: list[npt.NDArray[np.float64]] = []
    wanted, reading = _as_read(path, video, most)
    with DecoderPool([wanted], reading) as pool:
        for event in pool:
            if isinstance(event, DecodingFailed):
                raise VideoError(f"{path}: {event.reason}. `frames=False` draws the picture without frames.")
            if isinstance(event, VideoOpened):
                chunks, seconds = [], []
            if isinstance(event, FrameChunk):
                chunks.append(event.rgb.copy())
                seconds.append(event.pts_seconds)
                event.release()
            if isinstance(event, VideoEnded) and event.counts.sha256 != video.attributes["source_sha256"]:
                raise _another_video(path, video.attributes)
    return Thumbnails(np.concatenate(chunks), np.concatenate(seconds))


def _as_read(path: Path, video: VideoFeatures, most: int) -> tuple[VideoSource, Reading]:
    """What to read, and how, for at most so many frames of what a feature file holds of a video."""
    attributes, index = video.attributes, video.frame_index
    part = Part(path.stem, *(attributes[name] for name in PART_ATTRIBUTES if name in attributes))
    frames = int(attributes["frames_decoded"]) if part.is_whole else int(index[-1] - index[0]) + 1
    config = json.loads(attributes["config"])
    reading = Reading(
        frame_step=-(-frames // most),
        video_stream=config["video_stream"],
        deinterlace=config["deinterlace"],
        frames_fps=attributes["frames_per_second"] or None,
        part_edges="clamp",
    )
    return VideoSource(path.stem, path, () if part.is_whole else (part,)), reading


def _weights_file(name: str) -> Path | None:
    path, entry = weights_path(name), registry().get(name)
    return find_file(entry) if path is None and entry is not None else path


def _another_video(path: Path, attributes: Mapping[str, Any]) -> VideoError:
    return VideoError(
        f"{path} is not the file that was extracted: expected {attributes['source_size_bytes']} bytes with the SHA-256 "
        f"{attributes['source_sha256']}. Give that file with `source=FILE`, or leave the frames out with "
        "`frames=False`."
    )
