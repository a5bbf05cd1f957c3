"""Frame labels and splits: the text files of MS-TCN's data layout, or a CSV file of segments.

    mapping.txt                       <id> <name>, ids 0 to C-1
    groundTruth/<video>.txt           one class name per video frame
    splits/train.split<K>.bundle      one <video>.txt per line
    splits/test.split<K>.bundle

A video's id is its path below the label directory without the extension, as in a feature file. Line ends may be
those of any system; the last one may be missing, and blank lines may follow it.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import LabelsError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

BACKGROUND = "background"
"""The class of frames in which nothing happens, where a data set has one."""

CSV_COLUMNS = ["video", "start", "end", "label"]
TOLERANCE_SECONDS = 1.0
"""By how much the last segment may outlast its video."""


@dataclass(frozen=True)
class Split:
    """Which videos to train on and which to test on, by id."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Segments:
    """Labelled stretches of one video, in order of time, without overlap. All arrays are (N,)."""

    start_seconds: FloatArray
    end_seconds: FloatArray
    """Exclusive."""
    label: IntArray
    gap_label: int
    """The class between segments."""

    def at(self, seconds: FloatArray) -> IntArray:
        """The class at each of the times `seconds` (T,): (T,) int64."""
        before = np.searchsorted(self.start_seconds, seconds, side="right") - 1  # -1: ahead of the first segment
        inside = (before >= 0) & (seconds < self.end_seconds[before])
        return np.where(inside, self.label[before], self.gap_label)

    def check_end(self, video: str, last_seconds: float) -> None:
        """Finds times that are not seconds, or those of another video, by the time of the video's last frame.

        Raises:
            LabelsError: a segment ends more than TOLERANCE_SECONDS later.
        """
        end = self.end_seconds[-1]
        if end > last_seconds + TOLERANCE_SECONDS:
            raise LabelsError(
                f"the last segment of {video} ends at {end:g} s, its video at {last_seconds:g} s; expected segments "
                "inside the video. Are they those of this video, in seconds?"
            )


def read_labels(labels: Path, mapping: Path | None = None) -> tuple[tuple[str, ...], dict[str, IntArray | Segments]]:
    """Class names, and each video's labels by id: `labels` is a .csv file of segments or a directory of text files.

    Without `mapping`, the classes are those of the mapping.txt beside `labels`.

    Raises:
        LabelsError: see `read_mapping`, `read_segments` and `read_frame_labels`.
    """
    names = read_mapping(mapping or labels.absolute().with_name("mapping.txt"))
    read = read_segments if labels.suffix == ".csv" else read_frame_labels
    return names, {**read(labels, names)}


def read_mapping(path: Path) -> tuple[str, ...]:
    """The class names of a `mapping.txt`; a name's place is its id.

    Raises:
        LabelsError: a line is not `<id> <name>`, an id or name comes twice, or the ids are not 0 to C-1.
    """
    names: dict[int, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or not re.fullmatch(r"[0-9]+", fields[0]):
            raise LabelsError(f"{path}, line {number}: found {line!r}; expected `<id> <name>`, the name without spaces")
        label, name = int(fields[0]), fields[1]
        if label in names:
            raise LabelsError(f"{path}, line {number}: the id {label} is that of {names[label]} already")
        if name in names.values():
            raise LabelsError(f"{path}, line {number}: the class {name} was given an id already")
        names[label] = name
    if sorted(names) != list(range(len(names))):
        raise LabelsError(
            f"{path}: found the ids {listed(sorted(names))}; expected 0 to {len(names) - 1} without a gap"
        )
    return tuple(names[label] for label in range(len(names)))


def read_frame_labels(directory: Path, names: Sequence[str]) -> dict[str, IntArray]:
    """The labels of every video with a text file in `directory` or below: id -> (frames,) int64, places in `names`.

    Raises:
        LabelsError: there are no files, one is empty, or a line is not one of `names`.
    """
    paths = sorted(directory.rglob("*.txt"))
    if not paths:
        raise LabelsError(f"{directory} holds no label files; expected <video>.txt with one class name per frame")
    ids = {name: label for label, name in enumerate(names)}
    labels = {}
    for path in paths:
        lines = _lines(path)
        unknown = next((number for number, line in enumerate(lines) if line not in ids), None)
        if unknown is not None:
            raise _unknown_class(path, unknown + 1, lines[unknown], names)
        video = path.relative_to(directory).with_suffix("").as_posix()
        labels[video] = np.array([ids[line] for line in lines], np.int64)
    return labels


def read_segments(path: Path, names: Sequence[str]) -> dict[str, Segments]:
    """The segments in a CSV file with the header `video,start,end,label`, by video id.

    Times are seconds, ends are exclusive; what no segment covers is the class `background`.

    Raises:
        LabelsError: no class `background`, another header, a line that does not fit, or segments that overlap.
    """
    if BACKGROUND not in names:
        raise LabelsError(f"{path}: gaps need the class {BACKGROUND}; the classes are {', '.join(names)}")
    rows = list(csv.reader(_lines(path)))
    header = [field.strip() for field in rows[0]]
    if header != CSV_COLUMNS:
        raise LabelsError(f"{path}: the header is {','.join(header)}; expected {','.join(CSV_COLUMNS)}")
    found: dict[str, list[tuple[float, float, int, int]]] = {}
    for number, row in enumerate(rows[1:], start=2):
        fields = [field.strip() for field in row]
        if not any(fields):
            continue
        start, end = _times(path, number, fields)
        if fields[3] not in names:
            raise _unknown_class(path, number, fields[3], names)
        found.setdefault(fields[0], []).append((start, end, names.index(fields[3]), number))
    if not found:
        raise LabelsError(f"{path} holds no segments; expected one per line below the header")
    return {video: _segments(path, sorted(rows), names.index(BACKGROUND)) for video, rows in found.items()}


def read_splits(directory: Path, labelled: Container[str] | None = None) -> list[Split]:
    """The splits whose `train.split<K>.bundle` and `test.split<K>.bundle` are in `directory`, in order of K.

    With `labelled`, every video must be in it.

    Raises:
        LabelsError: no splits, a file missing or empty, a video listed twice, in train and test, or unlabelled.
    """
    matches = [re.fullmatch(r"(?:train|test)\.split([0-9]+)\.bundle", path.name) for path in directory.glob("*.bundle")]
    numbers = sorted({match[1] for match in matches if match}, key=int)
    if not numbers:
        raise LabelsError(f"{directory} holds no splits; expected train.split1.bundle and test.split1.bundle")
    splits = []
    for number in numbers:
        train_path, test_path = (directory / f"{part}.split{number}.bundle" for part in ("train", "test"))
        split = Split(number, read_bundle(train_path, labelled), read_bundle(test_path, labelled))
        both = sorted(set(split.train) & set(split.test))
        if both:
            raise LabelsError(f"{train_path} and {test_path} share {listed(both)}; expected no video in both")
        splits.append(split)
    return splits


def read_bundle(path: Path, labelled: Container[str] | None = None) -> tuple[str, ...]:
    """The ids of the videos that one `.bundle` file lists; with `labelled`, every one must be in it.

    Raises:
        LabelsError: the file is missing or empty, or lists a video twice or one that is not labelled.
    """
    videos = tuple(line.removesuffix(".txt") for line in _lines(path) if line)
    twice = [video for video, count in Counter(videos).items() if count > 1]
    if twice:
        raise LabelsError(f"{path} lists {listed(twice)} more than once")
    missing = [video for video in videos if labelled is not None and video not in labelled]
    if missing:
        raise LabelsError(f"{path} lists {len(missing)} videos without labels: {listed(missing)}")
    return videos


def _times(path: Path, number: int, fields: list[str]) -> tuple[float, float]:
    if len(fields) != len(CSV_COLUMNS):
        raise LabelsError(f"{path}, line {number}: found {len(fields)} fields; expected {','.join(CSV_COLUMNS)}")
    try:
        start, end = float(fields[1]), float(fields[2])
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end < math.inf:
        raise LabelsError(
            f"{path}, line {number}: found start {fields[1]} and end {fields[2]}; expected seconds, start before end"
        )
    return start, end


def _segments(path: Path, rows: list[tuple[float, float, int, int]], gap_label: int) -> Segments:
    for (start, end, _, line), (next_start, next_end, _, next_line) in pairwise(rows):
        if next_start < end:
            raise LabelsError(
                f"{path}: line {line} ({start:g} to {end:g} s) and line {next_line} ({next_start:g} to {next_end:g} s) "
                "overlap; expected one class at a time"
            )
    start_seconds, end_seconds, label, _ = zip(*rows, strict=True)
    return Segments(np.array(start_seconds), np.array(end_seconds), np.array(label, np.int64), gap_label)


def _lines(path: Path) -> list[str]:
    """The lines without surrounding space and without blank ones at the end; never none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path} cannot be read: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise LabelsError(f"{path} is empty")
    return lines


def _unknown_class(path: Path, number: int, found: str, names: Sequence[str]) -> LabelsError:
    return LabelsError(f"{path}, line {number}: unknown class {found!r}; the classes are {', '.join(names)}")


def listed(items: Sequence[object], most: int = 10) -> str:
    """The first few, and how many more there are, for a message."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(str(item) for item in items[:most]) + more
