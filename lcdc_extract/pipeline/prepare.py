"""From a config to what a run and a dry run both start from: everything is resolved here, and once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.devices import choose_device
from lcdc_extract.errors import ConfigError, OutputError, VideoError
from lcdc_extract.extractor import Extractor, default_batch_size
from lcdc_extract.features import check_ids, check_output
from lcdc_extract.video import (
    PART_ATTRIBUTES,
    Part,
    Reading,
    RefusedVideo,
    VideoInfo,
    VideoSource,
    digest_of,
    discover,
    stamp_of,
)
from lcdc_extract.weights.resolve import FoundWeights, find_weights


@dataclass(frozen=True)
class Prepared:
    """A run before its first frame."""

    config: ExtractConfig
    videos: tuple[VideoSource, ...]
    skipped: tuple[str, ...]
    """What was left out of the inputs, with the reason."""
    refused: tuple[RefusedVideo, ...]
    """Videos that cannot be taken because of their names."""
    weights: FoundWeights
    """Found and described; the network is not built yet."""
    sampling: Sampling
    device: torch.device
    batch_size: int

    @property
    def reading(self) -> Reading:
        """How videos are to be read."""
        config, sampling = self.config, self.sampling
        return Reading(
            frame_step=sampling.frame_step,
            fps=sampling.fps,
            decoder=config.decoder,
            on_damage=config.on_damage,
            video_stream=config.video_stream,
            deinterlace=config.deinterlace,
            longest_gap_seconds=config.longest_gap_seconds,
            frames_fps=config.frames_fps,
            part_edges=config.part_edges,
        )

    def extractor(self) -> Extractor:
        """The network on its device; takes seconds."""
        sampling = self.sampling
        return Extractor(
            self.weights.load(),
            device=str(self.device),
            precision=self.config.precision,
            batch_size=self.batch_size,
            frame_step=sampling.frame_step,
            stride=sampling.stride,
            edges=sampling.edges,
            align=sampling.align,
        )

    @property
    def wanted(self) -> tuple[Part, ...]:
        """Everything that is to be written: whole videos, and parts."""
        return tuple(part for video in self.videos for part in video.wanted)

    def unfinished(self, finished: Mapping[str, Mapping[str, Any]]) -> list[VideoSource]:
        """The videos, and of those in parts the parts, the output does not hold yet; `finished` is id -> attributes.

        Raises:
            OutputError: the output holds another video, or an older version, under the same id, or ids clash.
        """
        check_ids([*finished, *(part.id for part in self.wanted)])
        todo = []
        for video in self.videos:
            held = {part.id: finished[part.id] for part in video.wanted if part.id in finished}
            self._check_held(video, held)
            left = tuple(part for part in video.wanted if part.id not in held)
            if left:
                todo.append(replace(video, parts=left) if held else video)
        return todo

    def _check_held(self, video: VideoSource, held: Mapping[str, Mapping[str, Any]]) -> None:
        """What the output holds of a video must be of the same content, and the same part."""
        other = "Choose another `out`, or `overwrite=True` to start anew."
        contents = _Contents(video.path)
        for part in video.wanted:
            attributes = held.get(part.id)
            if attributes is None:
                continue
            if not contents.are(attributes):
                raise OutputError(
                    f"{self.config.out} already holds {part.id!r}, from {attributes['source']}, other content than "
                    f"{video.path}. {other}"
                )
            if part.attributes != {name: attributes[name] for name in PART_ATTRIBUTES if name in attributes}:
                raise OutputError(f"{self.config.out} already holds {part.id!r}, another part than {part}. {other}")


def prepare(config: ExtractConfig) -> Prepared:
    """Checks everything that can be checked before a frame is decoded; the cheap things first.

    Raises:
        OutputError: the output cannot be written, or is not ours.
        VideoError: no videos are found.
        ConfigError: the settings do not go with parts of videos.
        DeviceError: the device is not there.
        WeightsError: the weights cannot be used.
    """
    check_output(config.out)
    device = choose_device(config.device)
    found = discover(config.inputs)
    check_ids(part.id for video in found.videos for part in video.wanted)
    if config.align == "released" and any(video.parts for video in found.videos):
        raise ConfigError(
            "`align='released'` fixes the rows of whole videos, and parts of videos are asked for; use `align='exact'`"
        )
    weights = find_weights(config.weights)
    return Prepared(
        config=config,
        videos=found.videos,
        skipped=found.skipped,
        refused=found.refused,
        weights=weights,
        sampling=config.sampling.resolve(weights.info.sampling),
        device=device,
        batch_size=config.batch_size or default_batch_size(device),
    )


def sampled_frames(info: VideoInfo, sampling: Sampling, part: Part) -> int | None:
    """How many frames a part holds for the network, if the container tells the truth; None where it says nothing.

    Of parts in seconds it takes the frames for evenly spaced.
    """
    if info.frames_expected is None or not (info.fps or (sampling.fps is None and part.is_whole)):
        return None
    per_unit = info.fps if part.unit == "seconds" and not part.is_whole else 1.0
    first, behind = max(part.start * per_unit, 0), min(part.end * per_unit, info.frames_expected)
    frames = max(behind - first, 0.0)
    return math.ceil(frames / sampling.frame_step) if sampling.fps is None else round(frames / info.fps * sampling.fps)


class _Contents:
    """What is at a path, compared with what features were made of; it is read at most once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha256 = ""

    def are(self, attributes: Mapping[str, Any]) -> bool:
        """Whether they are what the features with these attributes were made of.

        Raises:
            VideoError: they cannot be read.
        """
        try:
            stamp = stamp_of(self._path)
            if stamp.size_bytes != attributes["source_size_bytes"]:
                return False
            if stamp.modified_ns == attributes["source_modified_ns"]:
                return True
            self._sha256 = self._sha256 or digest_of(self._path)
            return bool(self._sha256 == attributes["source_sha256"])
        except VideoError:
            return False  # pictures that are not the frames of one video any more
        except OSError as error:
            raise VideoError(f"{self._path} cannot be read to compare it with the output: {error.strerror}") from error
