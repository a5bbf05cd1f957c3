"""What goes into the feature file about how it was made."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from lcdc_extract import __version__, ops
from lcdc_extract.config import FRAME_SIZE, to_dict
from lcdc_extract.features import RunRecord
from lcdc_extract.pipeline.prepare import Prepared
from lcdc_extract.pipeline.underway import PartDone
from lcdc_extract.video import Part, VideoEnded, what_is_wrong

END_TOLERANCE_SECONDS = 0.1
"""By how much a part may go on behind the end of its video without a note: labels are drawn by hand."""

LIBRARIES = ("torch", "numpy", "h5py", "safetensors")


def run_record(prepared: Prepared) -> RunRecord:
    """The root attributes. Identity is what two runs must share to share a file."""
    weights, config, sampling = prepared.weights, prepared.config, asdict(prepared.sampling)
    network = weights.info.network
    return RunRecord(
        identity={
            "weights_sha256": weights.sha256,
            "precision": config.precision,
            "video_stream": config.video_stream,
            "deinterlace": config.deinterlace,
            "frames_fps": config.frames_fps,
            "part_edges": config.part_edges,
        }
        | sampling,
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


def video_attributes(done: PartDone) -> dict[str, Any]:
    """The attributes of one video's group that describe the video, and which part of it the group holds."""
    ended, padding = done.ended, done.padding
    video, info, counts, condition = ended.source, ended.info, ended.counts, ended.condition
    return done.part.attributes | {
        "id": done.part.id,
        "source": str(video.path.absolute()),
        "source_size_bytes": counts.size_bytes,
        "source_modified_ns": counts.modified_ns,
        "source_sha256": counts.sha256,
        "width": info.width,
        "height": info.height,
        "frames_per_second": info.fps,
        "start_seconds": condition.start_seconds,
        "interlaced": info.interlaced,
        "frames_expected": -1 if info.frames_expected is None else info.frames_expected,
        "frames_decoded": counts.frames_decoded,
        "frames_sampled": done.frames,
        "frames_repeated": counts.frames_repeated,
        "frames_padded": padding.frames,
        "rows_copied_in_front": padding.rows_in_front,
        "rows_copied_behind": padding.rows_behind,
        "frames_damaged": counts.frames_damaged,
        "frames_lost": condition.frames_lost,
        "cut_off": condition.cut_off or "",
        "incomplete": condition.incomplete,
        "damage": "; ".join(condition.complaints),
        "decoder": info.decoder,
        "decoder_reason": info.decoder_reason,
    }


def notes(done: PartDone) -> tuple[str, ...]:
    """Anything unusual about a video, in words."""
    ended, padding = done.ended, done.padding
    info, counts, found = ended.info, ended.counts, []
    if info.decoder_reason:
        found.append(f"read by PyAV: {info.decoder_reason}")
    found += [*ended.info.notes, *ended.condition.notes]
    if wrong := what_is_wrong(ended.condition, counts.frames_damaged):
        found.append(wrong)
    if counts.frames_repeated:
        found.append(f"{counts.frames_repeated} frames stand for two sampling times (variable frame rate)")
    if padding.frames:
        found.append(f"shorter than one window: the last frame was repeated {padding.frames} times")
    if beyond := _beyond_the_end(done.part, ended):
        found.append(beyond)
    return tuple(found)


def _beyond_the_end(part: Part, ended: VideoEnded) -> str:
    counts, fps = ended.counts, ended.info.fps
    end_seconds = ended.condition.start_seconds + counts.last_seconds + 1 / (fps or 1.0)
    if part.unit == "frames" and math.inf > part.end > counts.frames_decoded:
        return f"the part goes on to frame {part.end:g}, the video has {counts.frames_decoded}"
    if part.unit == "seconds" and math.inf > part.end > end_seconds + END_TOLERANCE_SECONDS:
        return f"the part goes on to {part.end:g} s, the video ends at {end_seconds:.3f} s"
    return ""
