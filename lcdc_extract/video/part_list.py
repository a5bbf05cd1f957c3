"""Lists of parts of videos: a CSV file with a header, one part in each line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lcdc_extract.errors import VideoError
from lcdc_extract.video.parts import Part, Unit

_LIMITS: dict[Unit, tuple[str, str]] = {"seconds": ("start", "end"), "frames": ("start_frame", "end_frame")}
_EXPECTED = "expected path,start,end (in seconds) or path,start_frame,end_frame"
_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)")


@dataclass(frozen=True)
class ListedPart:
    """One line of a list."""

    path: str
    part: Part
    """Its id is what the list says, "" where it says nothing."""
    place: str
    """For messages: "line 3 of the list parts.csv"."""


def is_part_list(text: str) -> bool:
    """Whether a list of videos begins with a CSV header that has a column `path`, and others."""
    header = next(csv.reader(io.StringIO(text), skipinitialspace=True), [])
    return len(header) > 1 and "path" in header


def read_part_list(text: str, name: str) -> Iterator[ListedPart]:
    """The parts of a list, in its order.

    Columns are `path`, either `start` and `end` in seconds (12.5 or 1:02:12.5) or `start_frame` and `end_frame`, and
    `id` where parts have names of their own; others do not matter. A limit that is left empty is the video's own.

    Args:
        name: of the list, for messages.

    Raises:
        VideoError: a column is missing, or a line makes no sense.
    """
    lines = csv.reader(io.StringIO(text), skipinitialspace=True)
    header = [column.strip() for column in next(lines)]
    unit = _unit(header, name)
    for cells in lines:
        if not any(cells) or cells[0].startswith("#"):
            continue
        place = f"line {lines.line_num} of the list {name}"
        if len(cells) != len(header):
            raise VideoError(f"{place} has {len(cells)} cells, the header {len(header)}; quote paths that hold commas")
        yield _listed(dict(zip(header, (cell.strip() for cell in cells), strict=True)), unit, place)


def _unit(header: list[str], name: str) -> Unit:
    units = [unit for unit, columns in _LIMITS.items() if set(columns) <= set(header)]
    if len(units) != 1 or len(set(header)) < len(header):
        raise VideoError(f"the list {name} has the columns {','.join(header)}; {_EXPECTED}")
    return units[0]


def _listed(line: Mapping[str, str], unit: Unit, place: str) -> ListedPart:
    start, end = ((column, line[column]) for column in _LIMITS[unit])
    if not line["path"]:
        raise VideoError(f"{place} has no path")
    part = Part(
        id=line.get("id", ""),
        start=_number(*start, unit, place) if start[1] else -math.inf,
        end=_number(*end, unit, place) if end[1] else math.inf,
        unit=unit,
    )
    if part.start >= part.end:
        raise VideoError(f"{place}: {start[0]} is {start[1]}, {end[0]} is {end[1]}; expected the start before the end")
    return ListedPart(line["path"], part, place)


def _number(column: str, text: str, unit: Unit, place: str) -> float:
    if unit == "frames" and re.fullmatch(r"\d{1,15}", text):
        return int(text)
    if unit == "seconds" and (match := _TIME.fullmatch(text)):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)
    expected = "a whole number, from 0" if unit == "frames" else "seconds, like 72.5, or a time, like 1:12.5"
    raise VideoError(f"{place}: {column} is {text!r}; expected {expected}")
