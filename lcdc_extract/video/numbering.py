"""Which pictures are the frames of a video, and in which order: their names end in the number of the frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from lcdc_extract.errors import VideoError
from lcdc_extract.video.picture_files import PictureFile, is_picture
from lcdc_extract.video.printing import printable

_LEAST_PICTURES = 2
"""A single one is a picture, no video."""

_MOST_NAMED = 3
"""Gaps, names and prefixes, in one message."""

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]{1,15})\.[^.]*", re.DOTALL)
"""More digits than that are no number of a frame."""


class Picture(NamedTuple):
    """One frame of a sequence."""

    number: int
    """As its name has it."""
    file: PictureFile


@dataclass(frozen=True)
class Numbering:
    """The frames of a sequence."""

    pictures: tuple[Picture, ...]
    """By their numbers, each of which is there once."""
    missing: int
    """Numbers between the first and the last that no picture has."""
    missing_where: tuple[str, ...]
    """In words."""
    notes: tuple[str, ...]
    """What was left out, in words."""


def may_be_frames(names: Iterable[str]) -> bool:
    """Whether at least two names are those of numbered pictures."""
    return sum(is_picture(name) and _NUMBERED.fullmatch(name) is not None for name in names) >= _LEAST_PICTURES


def put_in_order(files: Sequence[PictureFile]) -> Numbering:
    """The frames among the pictures of a folder or archive.

    Raises:
        VideoError: they are fewer than two, belong to several sequences, or two have the same number.
    """
    matches = [(_NUMBERED.fullmatch(file.name), file) for file in files]
    found = [(match["prefix"], Picture(int(match["number"]), file)) for match, file in matches if match]
    prefixes = Counter(prefix for prefix, _ in found)
    _check_prefixes(prefixes)
    pictures = sorted((picture for _, picture in found), key=lambda picture: (picture.number, picture.file.name))
    _check_numbers(pictures)
    if len(pictures) < _LEAST_PICTURES:
        raise VideoError(
            f"{len(pictures) or 'no'} picture here has a name that ends in a number; expected at least "
            f"{_LEAST_PICTURES} frames, like frame_0001.png"
        )
    gaps = [(before.number, after.number) for before, after in pairwise(pictures) if after.number > before.number + 1]
    missing = sum(after - before - 1 for before, after in gaps)
    others = sorted(printable(file.name) for match, file in matches if not match)
    return Numbering(tuple(pictures), missing, tuple(_gaps_in_words(gaps)), tuple(_others_in_words(others)))


def _check_prefixes(prefixes: Counter[str]) -> None:
    if len(prefixes) > 1:
        named = [f"{count} begin with '{printable(prefix)}'" for prefix, count in sorted(prefixes.items())]
        raise VideoError(
            f"the pictures belong to {len(prefixes)} sequences: {_shortened(named)}; expected one. Move each sequence "
            "to a folder of its own, or make an archive for each"
        )


def _check_numbers(pictures: Sequence[Picture]) -> None:
    for before, after in pairwise(pictures):
        if before.number == after.number:
            raise VideoError(
                f"{printable(before.file.name)} and {printable(after.file.name)} have the same number, "
                f"{after.number}; expected one picture for each. Move those of one kind to a folder of their own, or "
                "give one another number"
            )


def _gaps_in_words(gaps: Sequence[tuple[int, int]]) -> list[str]:
    found = []
    for before, after in gaps[:_MOST_NAMED]:
        count = after - before - 1
        what = "1 picture is" if count == 1 else f"{count} pictures are"
        found.append(f"{what} missing between {before} and {after}")
    if len(gaps) > _MOST_NAMED:
        found.append(f"there are {len(gaps) - _MOST_NAMED} more gaps like these")
    return found


def _others_in_words(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    what = "1 picture without a number is" if len(names) == 1 else f"{len(names)} pictures without a number are"
    return [f"{what} left out: {_shortened(names)}"]


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
