"""The main job: decoders -> batches -> encoder -> head -> file."""

from lcdc_extract.features import VideoFailed
from lcdc_extract.pipeline.dry_run import DryRun, dry_run
from lcdc_extract.pipeline.events import (
    Event,
    Progress,
    Reporter,
    RunStarted,
    RunSummary,
    VideoFinished,
    VideoStarted,
)
from lcdc_extract.pipeline.run import extract

__all__ = [
    "DryRun",
    "Event",
    "Progress",
    "Reporter",
    "RunStarted",
    "RunSummary",
    "VideoFailed",
    "VideoFinished",
    "VideoStarted",
    "dry_run",
    "extract",
]
