"""The main job: decoders -> batches -> encoder -> head -> file."""

from lcdc_extract.pipeline.events import (
    Event,
    Progress,
    Reporter,
    RunStarted,
    RunSummary,
    VideoFailed,
    VideoFinished,
    VideoStarted,
)
from lcdc_extract.pipeline.run import extract

__all__ = [
    "Event",
    "Progress",
    "Reporter",
    "RunStarted",
    "RunSummary",
    "VideoFailed",
    "VideoFinished",
    "VideoStarted",
    "extract",
]
