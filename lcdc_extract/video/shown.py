"""A decoded picture of ffmpeg's as it is shown, and what changes from one to the next."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type

from lcdc_extract.video.orientation import Orientation

_MOST_CHANGES = 3
"""Told one by one."""


class Converter:
    """Makes RGB of pictures by ffmpeg's scale filter, as the ffmpeg program does.

    PyAV's own conversion differs for more than 8 bits, interlaced pictures and odd sizes: docs/decoding.md.
    """

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] = ()
        self._graph: Any = None

    def rgb(self, picture: Any) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3), not turned."""
        kind = (picture.width, picture.height, picture.format.name)
        if kind != self._kind:
            self._kind, self._graph = kind, _to_rgb(picture)
        self._graph.push(picture)
        rgb: npt.NDArray[np.uint8] = self._graph.pull().to_ndarray()
        return rgb


def _to_rgb(picture: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(template=picture, time_base=picture.time_base or Fraction(1, 1000))
    scale = graph.add("scale", f"{picture.width}:{picture.height}:flags=bicubic")
    graph.link_nodes(source, scale, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
    return graph


def orientation_of(picture: Any) -> Orientation | None:
    """How a picture asks to be turned, by the display matrix of its container or stream, or its EXIF data.

    Raises:
        VideoError: by no multiple of 90 degrees.
    """
    for data in picture.side_data:
        if data.type == Type.DISPLAYMATRIX:
            return Orientation.of(struct.unpack("<9i", bytes(data)))
    return None


class Changes:
    """Notes what changes in the middle of a video."""

    def __init__(self) -> None:
        self._looks: dict[str, str] = {}
        self._found: list[str] = []
        self._more = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """The first changes, in words."""
        return (*self._found, *([f"there are {self._more} more such changes"] if self._more else []))

    def look_at(self, picture: Any, index: int) -> None:
        """Takes the pictures one after the other, with the number of their frame."""
        looks = {"frame size": f"{picture.width}x{picture.height}", "pixel format": picture.format.name}
        for what, before in self._looks.items():
            if looks[what] != before:
                self._add(f"the {what} changes from {before} to {looks[what]} at frame {index}")
        self._looks = looks

    def _add(self, change: str) -> None:
        if len(self._found) < _MOST_CHANGES:
            self._found.append(change)
        else:
            self._more += 1


def _unknown_kind(kind: type[Any], value: int) -> Any:
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


# PyAV does not know every kind of side data (EXIF is one) and would refuse all of a picture that has such
Type._missing_ = classmethod(_unknown_kind)  # type: ignore[method-assign,assignment]
