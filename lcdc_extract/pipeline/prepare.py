"""From a config to what a run and a dry run both start from: everything is resolved here, and once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.devices import choose_device
from lcdc_extract.errors import OutputError, VideoError
from lcdc_extract.extractor import Extractor, default_batch_size
from lcdc_extract.features import check_ids, check_output
from lcdc_extract.video import Reading, RefusedVideo, VideoInfo, VideoSource, digest_of, discover, stamp_of
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

    def unfinished(self, finished: Mapping[str, Mapping[str, Any]]) -> list[VideoSource]:
        """The videos the output does not hold yet; `finished` is id -> attributes.

        Raises:
            OutputError: the output holds another video, or an older version, under the same id, or ids clash.
        """
        check_ids([*finished, *(video.id for video in self.videos)])
        for video in self.videos:
            if video.id in finished and not _same_content(video, finished[video.id]):
                raise OutputError(
                    f"{self.config.out} already holds {video.id!r}, from {finished[video.id]['source']}, other content "
                    f"than {video.path}. Choose another `out`, or `overwrite=True` to start anew."
                )
        return [video for video in self.videos if video.id not in finished]


def prepare(config: ExtractConfig) -> Prepared:
    """Checks everything that can be checked before a frame is decoded; the cheap things first.

    Raises:
        OutputError: the output cannot be written, or is not ours.
        VideoError: no videos are found.
        DeviceError: the device is not there.
        WeightsError: the weights cannot be used.
    """
    check_output(config.out)
    device = choose_device(config.device)
    found = discover(config.inputs)
    check_ids(video.id for video in found.videos)
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


def sampled_frames(info: VideoInfo, sampling: Sampling) -> int | None:
    """How many frames the network will see, if the container tells the truth; None where it says nothing."""
    if info.frames_expected is None:
        return None
    if sampling.fps is None:
        return -(-info.frames_expected // sampling.frame_step)
    return round(info.frames_expected / info.fps * sampling.fps) if info.fps else None


def _same_content(video: VideoSource, held: Mapping[str, Any]) -> bool:
    try:
        stamp = stamp_of(video.path)
        if stamp.size_bytes != held["source_size_bytes"]:
            return False
        unchanged: bool = stamp.modified_ns == held["source_modified_ns"]
        return unchanged or digest_of(video.path) == held["source_sha256"]
    except VideoError:
        return False  # pictures that are not the frames of one video any more
    except OSError as error:
        raise VideoError(f"{video.path} cannot be read to compare it with the output: {error.strerror}") from error
