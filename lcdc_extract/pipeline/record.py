"""What goes into the feature file about how it was made."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import torch

from lcdc_extract import __version__, ops
from lcdc_extract.config import ExtractConfig, to_dict
from lcdc_extract.features import RunRecord
from lcdc_extract.network.feature_stream import Padding
from lcdc_extract.pipeline.setup import Setup
from lcdc_extract.video import VideoEnded

LIBRARIES = ("torch", "numpy", "h5py", "safetensors")


def run_record(config: ExtractConfig, setup: Setup) -> RunRecord:
    """The root attributes. Identity is what two runs must share to share a file."""
    weights, sampling = setup.weights, setup.sampling
    identity = {"weights_sha256": weights.sha256, "precision": config.precision} | asdict(sampling)
    attributes = {
        "tool": "lcdc-extract",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "feature_layer": "fc_new_2",
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        "trained": weights.info.trained,
        "network": json.dumps(to_dict(weights.info.network)),
        "preprocess": json.dumps(to_dict(weights.info.preprocess)),
        "sampling": json.dumps(asdict(sampling)),
        "precision": config.precision,
    }
    return RunRecord(identity, attributes | made_by(config, setup.device))


def made_by(config: ExtractConfig, device: torch.device) -> dict[str, str]:
    """What may differ between the runs that fill one file; stored for the last run and for every video."""
    return {
        "tool_version": __version__,
        "config": json.dumps(to_dict(config)),
        "device": str(device),
        "operator": ops.implementation(device.type),
        "libraries": json.dumps({name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}),
    }


def video_attributes(ended: VideoEnded, padding: Padding) -> dict[str, Any]:
    """The attributes of one video's group that describe the video."""
    info, counts = ended.info, ended.counts
    return {
        "id": ended.source.id,
        "source": str(ended.source.path.absolute()),
        "source_size_bytes": counts.size_bytes,
        "source_modified_ns": counts.modified_ns,
        "source_sha256": counts.sha256,
        "width": info.width,
        "height": info.height,
        "frames_per_second": info.fps,
        "frames_expected": -1 if info.frames_expected is None else info.frames_expected,
        "frames_decoded": counts.frames_decoded,
        "frames_sampled": counts.frames_sampled,
        "frames_repeated": counts.frames_repeated,
        "frames_padded": padding.frames,
        "rows_copied_in_front": padding.rows_in_front,
        "rows_copied_behind": padding.rows_behind,
        "damaged_packets": counts.damaged_packets,
        "decoder": info.decoder,
    }


def notes(ended: VideoEnded, padding: Padding) -> tuple[str, ...]:
    """Anything unusual about a video, in words."""
    info, counts, found = ended.info, ended.counts, []
    if info.frames_expected is not None and info.frames_expected != counts.frames_decoded:
        found.append(f"the container announces {info.frames_expected} frames, {counts.frames_decoded} were decoded")
    if counts.damaged_packets:
        found.append(f"{counts.damaged_packets} damaged packets were skipped")
    if counts.frames_repeated:
        found.append(f"{counts.frames_repeated} frames stand for two sampling times (variable frame rate)")
    if padding.frames:
        found.append(f"shorter than one window: the last frame was repeated {padding.frames} times")
    return tuple(found)
