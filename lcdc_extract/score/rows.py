"""The rows of a feature file together with their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lcdc_extract.errors import LabelsError
from lcdc_extract.features.reader import FeatureFile, VideoFeatures
from lcdc_extract.labels import FloatArray, IntArray, Segments
from lcdc_extract.score.edtcn import FeatureArray


@dataclass(frozen=True)
class LabelledRows:
    """Videos of a feature file by id; entry j of each array belongs to row j."""

    features: dict[str, FeatureArray]
    """(T, 1024)."""
    labels: dict[str, IntArray]
    """(T,)."""
    seconds: dict[str, FloatArray]
    """(T,): when the row's frame is shown."""
    notes: list[str]
    """Where labels were filled in or look odd, in words."""


def label_rows(
    file: FeatureFile,
    labels: Mapping[str, IntArray | Segments],
    videos: Iterable[str],
    length_tolerance: int = 0,
) -> LabelledRows:
    """Reads the features of `videos`; a row's label is that of its frame, or of its time where labels are segments.

    Where the rows go up to `length_tolerance` frames past the labels, the last label is repeated, and a note says so.

    Raises:
        LabelsError: videos are not in the file, labels and video differ more in length, or segments go on behind it.
    """
    wanted = sorted(set(videos))
    _check_all_there(file, wanted)
    rows = LabelledRows({}, {}, {}, [])
    for name in wanted:
        video, known = file[name], labels[name]
        if isinstance(known, Segments):
            rows.labels[name], note = _labels_by_time(name, video, known)
        else:
            rows.labels[name], note = _labels_by_frame(name, video, known, length_tolerance)
        rows.features[name], rows.seconds[name] = video.features, video.time_seconds
        if note:
            rows.notes.append(f"{name}: {note}")
    return rows


def _labels_by_time(name: str, video: VideoFeatures, known: Segments) -> tuple[IntArray, str | None]:
    """The label of each row, and what is odd about them."""
    note, last_seconds = None, _last_seconds(video)
    known.check_end(name, last_seconds)
    if known.end_seconds[-1] < last_seconds / 10:
        end = f"the last segment ends at {known.end_seconds[-1]:g} s, the video at {last_seconds:g} s"
        note = f"{end}; are the times in seconds?"
    return known.at(video.player_seconds), note


def _labels_by_frame(name: str, video: VideoFeatures, known: IntArray, tolerance: int) -> tuple[IntArray, str | None]:
    """The label of each row, and what was filled in."""
    missing = _missing_frames(name, video, len(known), tolerance)
    note = f"the last of {len(known)} labels is repeated for {missing} frames" if missing else None
    return known[video.frame_index.clip(max=len(known) - 1)], note


def _check_all_there(file: FeatureFile, wanted: list[str]) -> None:
    there = set(file)
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    reasons = {failure.id: failure.reason for failure in file.failures}
    lines = [f"  {name}: {'failed: ' + reasons[name] if name in reasons else 'not in the file'}" for name in missing]
    raise LabelsError(
        f"{len(missing)} of the {len(wanted)} videos that the splits need have no features:\n" + "\n".join(lines) + "\n"
        "Extract them too (the same lcdc-extract command adds to the file), or take them out of the splits."
    )


def _missing_frames(name: str, video: VideoFeatures, labelled: int, tolerance: int) -> int:
    """Frames up to the last row that have no label.

    Labels that go on far behind the video's end are an error as well: both would not count the same frames.
    """
    needed, decoded = int(video.frame_index[-1]) + 1, int(video.attributes["frames_decoded"])
    missing, extra = max(needed - labelled, 0), max(labelled - decoded, 0)
    if max(missing, extra) > tolerance:
        raise LabelsError(
            f"{name}: {labelled} labels for {decoded} frames, of which the rows need the first {needed}; expected one "
            f"label per frame. If only the end differs, `length_tolerance={max(missing, extra)}` repeats the last "
            "label or leaves labels out."
        )
    return missing


def _last_seconds(video: VideoFeatures) -> float:
    """When players show the last frame: frames go on behind the last row at the pace of those before."""
    index, seconds = video.frame_index, video.player_seconds
    behind = int(video.attributes["frames_decoded"]) - 1 - int(index[-1])
    rate = float(video.attributes["frames_per_second"])  # 0 where the container does not say
    if seconds[-1] > seconds[0]:
        rate = float((index[-1] - index[0]) / (seconds[-1] - seconds[0]))
    return float(seconds[-1]) + (behind / rate if rate else 0.0)
