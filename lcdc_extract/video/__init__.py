"""Finding videos and decoding them in child processes. Nothing here imports decord, PyAV or torch."""

from __future__ import annotations

from lcdc_extract.video.content import digest_of, stamp_of
from lcdc_extract.video.decoded import Condition, what_is_wrong
from lcdc_extract.video.discovery import Found, RefusedVideo, VideoSource, discover
from lcdc_extract.video.events import (
    Counts,
    DecodingFailed,
    FrameChunk,
    VideoEnded,
    VideoEvent,
    VideoInfo,
    VideoOpened,
)
from lcdc_extract.video.parts import PART_ATTRIBUTES, Part
from lcdc_extract.video.picture_files import holds_pictures
from lcdc_extract.video.pool import DecoderPool, probe
from lcdc_extract.video.reading import Reading
from lcdc_extract.video.sampling import check_rate

__all__ = [
    "PART_ATTRIBUTES",
    "Condition",
    "Counts",
    "DecoderPool",
    "DecodingFailed",
    "Found",
    "FrameChunk",
    "Part",
    "Reading",
    "RefusedVideo",
    "VideoEnded",
    "VideoEvent",
    "VideoInfo",
    "VideoOpened",
    "VideoSource",
    "check_rate",
    "digest_of",
    "discover",
    "holds_pictures",
    "probe",
    "stamp_of",
    "what_is_wrong",
]
