"""The operator as nested loops in float64, written from equations 11 to 16 and released_network items 12 to 15.

Nothing here is shared with the package, and no loop is vectorised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """The operator's options; pairs are (rows, columns)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    offset_groups: int = 1
    offset_layout: str = "per_tap"
    border: str = "zero"


def read(image: Array, row: float, column: float, border: str) -> float:
    """One value of a (H, W) image at a fractional position."""
    height, width = image.shape
    if not (math.isfinite(row) and math.isfinite(column)):
        return 0.0
    if border == "released":
        if not (0 <= row < height and 0 <= column < width):
            return 0.0
        row, column = min(row, height - 1), min(column, width - 1)
    total = 0.0
    for corner_row in (math.floor(row), math.floor(row) + 1):
        for corner_column in (math.floor(column), math.floor(column) + 1):
            if 0 <= corner_row < height and 0 <= corner_column < width:
                share = (1 - abs(row - corner_row)) * (1 - abs(column - corner_column))
                total += share * float(image[corner_row, corner_column])
    return total


def warp(x: Array, offset: Array, offset_groups: int = 1, border: str = "zero") -> Array:
    """(16): xw[n] = x(n + D[n])."""
    result = np.zeros_like(x)
    batch, channels, height, width = x.shape
    for n, c, row, column in np.ndindex(batch, channels, height, width):
        pair = 2 * (c // (channels // offset_groups))
        at_row = row + offset[n, pair, row, column]
        at_column = column + offset[n, pair + 1, row, column]
        result[n, c, row, column] = read(x[n, c], at_row, at_column, border)
    return result


def shift(offset: Array, s: Settings, kernel: tuple[int, int], place: tuple[int, ...]) -> tuple[float, float]:
    """(dy, dx) at a place (offset group, output row, output column, tap row, tap column); offset is one image's."""
    group, row, column, i, j = place
    if s.offset_layout == "per_tap":
        first = 2 * (group * kernel[0] * kernel[1] + i * kernel[1] + j)
        return float(offset[first, row, column]), float(offset[first + 1, row, column])
    row, column = row + i - 1, column + j - 1  # item 12: distance 1 whatever the dilation
    if not (0 <= row < offset.shape[1] and 0 <= column < offset.shape[2]):
        return 0.0, 0.0
    return float(offset[2 * group, row, column]), float(offset[2 * group + 1, row, column])


def deform_conv2d(x: Array, offset: Array, weight: Array, bias: Array | None, s: Settings) -> Array:
    """(12), (13) and the released layout; (14) as it stands there, every tap looking up D at its own place."""
    batch, channels, height, width = x.shape
    out_channels, group_channels, kernel_rows, kernel_columns = weight.shape
    reach = [1 if s.offset_layout == "released" else d for d in s.dilation]  # item 14: the size ignores the dilation
    out_height = (height + 2 * s.padding[0] - reach[0] * (kernel_rows - 1) - 1) // s.stride[0] + 1
    out_width = (width + 2 * s.padding[1] - reach[1] * (kernel_columns - 1) - 1) // s.stride[1] + 1
    result = np.zeros((batch, out_channels, out_height, out_width))
    warped = warp(x, offset, s.offset_groups, s.border) if s.offset_layout == "per_site" else x
    for n, o, row, column in np.ndindex(*result.shape):
        total = 0.0 if bias is None else float(bias[o])
        for i, j, c in np.ndindex(kernel_rows, kernel_columns, group_channels):
            channel = o // (out_channels // s.groups) * group_channels + c
            at_row = row * s.stride[0] - s.padding[0] + i * s.dilation[0]
            at_column = column * s.stride[1] - s.padding[1] + j * s.dilation[1]
            if s.offset_layout == "per_site":
                inside = 0 <= at_row < height and 0 <= at_column < width
                value = float(warped[n, channel, at_row, at_column]) if inside else 0.0
            else:
                group = channel // (channels // s.offset_groups)
                dy, dx = shift(offset[n], s, (kernel_rows, kernel_columns), (group, row, column, i, j))
                value = read(x[n, channel], at_row + dy, at_column + dx, s.border)
            total += float(weight[o, c, i, j]) * value
        result[n, o, row, column] = total
    return result
