"""What goes into the feature file about how it was made."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from lcdc_extract import __version__, ops
from lcdc_extract.config import FRAME_SIZE, to_dict
from lcdc_extract.features import RunRecord
from lcdc_extract.network.feature_stream import Padding
from lcdc_extract.pipeline.prepare import Prepared
from lcdc_extract.video import VideoEnded

LIBRARIES = ("torch", "numpy", "h5py", "safetensors")


def run_record(prepared: Prepared) -> RunRecord:
    """The root attributes. Identity is what two runs must share to share a file."""
    weights, config, sampling = prepared.weights, prepared.config, asdict(prepared.sampling)
    network = weights.info.network
    return RunRecord(
        identity={"weights_sha256": weights.sha256, "precision": config.precision} | sampling,
        attributes={
            "tool": "lcdc-extract",
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "feature_layer": "fc_new_2",
            "weights": weights.name,
            "weights_sha256": weights.sha256,
            "trained": weights.info.trained,
            "network": json.dumps({"variant": network.variant} | to_dict(network)),
            "preprocess": json.dumps({"height": FRAME_SIZE, "width": FRAME_SIZE} | to_dict(weights.info.preprocess)),
            "sampling": json.dumps(sampling),
            "precision": config.precision,
        }
        | made_by(prepared)
        | {"config": json.dumps(to_dict(config))},
    )


def made_by(prepared: Prepared) -> dict[str, str]:
    """What may differ between the runs that fill one file; stored for the last run and for every video.

    Of the config, a video keeps all but the list of inputs, which may be long: the file has it once.
    """
    config = {name: value for name, value in to_dict(prepared.config).items() if name != "inputs"}
    return {
        "tool_version": __version__,
        "config": json.dumps(config),
        "device": str(prepared.device),
        "operator": ops.implementation(str(prepared.device)),
        "libraries": json.dumps({name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}),
    }


def video_attributes(ended: VideoEnded, padding: Padding) -> dict[str, Any]:
    """The attributes of one video's group that describe the video."""
    video, info, counts = ended.source, ended.info, ended.counts
    return {
        "id": video.id,
        "source": str(video.path.absolute()),
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
