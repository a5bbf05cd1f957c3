"""Finding videos and decoding them in child processes. Nothing here imports decord, PyAV or torch."""

from __future__ import annotations

from lcdc_extract.video.discovery import VIDEO_EXTENSIONS, VideoSource, discover
from lcdc_extract.video.events import FrameChunk, VideoEnded, VideoEvent, VideoFailed, VideoInfo, VideoOpened
from lcdc_extract.video.pool import DecoderPool, probe
from lcdc_extract.video.sampling import check_rate

__all__ = [
    "VIDEO_EXTENSIONS",
    "DecoderPool",
    "FrameChunk",
    "VideoEnded",
    "VideoEvent",
    "VideoFailed",
    "VideoInfo",
    "VideoOpened",
    "VideoSource",
    "check_rate",
    "discover",
    "probe",
]
