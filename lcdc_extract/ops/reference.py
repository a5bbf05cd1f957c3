"""The operators in plain PyTorch, on any device: the specification. They share no step with the compiled kernels.

Notation of the paper's supplement: x is the input, k a kernel tap, n an output site, D the offsets in pixels of x's own
grid with channel order (dy, dx). `operators` says what the arguments are, and has checked them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Border
from lcdc_extract.ops.geometry import Geometry, accumulator


def warp(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    """Equation (16): xw[n] = x(n + D[n]), (N, C, H, W)."""
    return sample(x, offset_by_tap(offset, geometry), geometry)[:, :, 0]


def deform_conv2d(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Equations (12) and (13), and the released variant; per site (14), as the convolution of a warp, (15)."""
    groups = geometry.groups
    if geometry.offset_layout == "per_site":
        warped = warp(x, offset, geometry.warp)
        return functional.conv2d(warped, weight, bias, geometry.stride, geometry.padding, geometry.dilation, groups)
    columns = sample(x, offset_by_tap(offset, geometry), geometry)  # (N, C, taps, Ho, Wo)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)  # (groups, O/groups, C/groups * taps)
    gathered = columns.reshape(x.shape[0], groups, kernels.shape[2], columns.shape[3] * columns.shape[4])
    result = (kernels @ gathered).reshape(x.shape[0], weight.shape[0], *columns.shape[3:])
    return result if bias is None else result + bias[:, None, None]


def offset_by_tap(offset: Tensor, geometry: Geometry) -> Tensor:
    """D[g, n, k] as (N, G, taps, 2, Ho, Wo).

    In the released layout tap (i, j) takes the pair at n + (i-1, j-1), zero outside (authors' released graph).
    """
    batch, _, height, width = offset.shape
    if geometry.offset_layout == "per_tap":
        return offset.reshape(batch, geometry.offset_groups, geometry.taps, 2, height, width)
    pairs = offset.reshape(batch, geometry.offset_groups, 2, height, width)
    return torch.stack([functional.pad(pairs, (1 - j, j - 1, 1 - i, i - 1)) for i in range(3) for j in range(3)], dim=2)


def sample(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    """x at n + k + D[g, n, k], equation (13): x (N, C, H, W), offset by tap -> (N, C, taps, Ho, Wo), dtype of x."""
    batch, channels, height, width = x.shape
    out_height, out_width = offset.shape[-2:]
    (kernel_rows, kernel_columns), (pad_rows, pad_columns) = geometry.kernel, geometry.padding
    step_rows, step_columns = geometry.dilation
    shift, device = offset.to(accumulator(x.dtype)), x.device
    tap_rows = torch.arange(kernel_rows, device=device).repeat_interleave(kernel_columns) * step_rows - pad_rows
    tap_columns = torch.arange(kernel_columns, device=device).repeat(kernel_rows) * step_columns - pad_columns
    rows = torch.arange(out_height, device=device) * geometry.stride[0] + tap_rows[:, None]  # (taps, Ho)
    columns = torch.arange(out_width, device=device) * geometry.stride[1] + tap_columns[:, None]  # (taps, Wo)
    at_rows = (rows[:, :, None] + shift[:, :, :, 0]).flatten(2)  # (N, G, taps * Ho * Wo)
    at_columns = (columns[:, None, :] + shift[:, :, :, 1]).flatten(2)
    grouped = x.reshape(batch, geometry.offset_groups, channels // geometry.offset_groups, height, width)
    values = read(grouped, at_rows, at_columns, geometry.border).to(x.dtype)
    return values.reshape(batch, channels, geometry.taps, out_height, out_width)


def read(x: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """x at fractional positions, bilinearly.

    Args:
        x: (N, G, C, H, W).
        rows, columns: (N, G, P) in pixels of x, of the type that accumulates. A position that is not finite reads 0.
        border: "zero": a corner outside the image contributes 0. "released": 0 unless 0 <= row < H and
            0 <= column < W, else the position is clamped to the last row and column (authors' released graph).

    Returns:
        (N, G, C, P), of the type that accumulates.
    """
    height, width = x.shape[-2:]
    after_start = (rows >= 0) & (columns >= 0) if border == "released" else (rows > -1) & (columns > -1)
    inside = after_start & (rows < height) & (columns < width)
    rows, columns = rows.where(inside, 0), columns.where(inside, 0)
    if border == "released":  # not clamp(): its derivative is 1 where the position is the last row itself
        rows = rows.where(rows < height - 1, height - 1)
        columns = columns.where(columns < width - 1, width - 1)
    top, left = rows.floor(), columns.floor()
    down, right = rows - top, columns - left
    flat = x.flatten(-2).to(rows.dtype)  # (N, G, C, H*W)
    result = torch.zeros(*x.shape[:3], rows.shape[-1], dtype=rows.dtype, device=x.device)
    for row, row_weight in ((top, 1 - down), (top + 1, down)):
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row.where(valid, 0).long() * width + column.where(valid, 0).long())[:, :, None]  # (N, G, 1, P)
            corner = flat.gather(-1, index.expand(-1, -1, x.shape[2], -1)).where(valid[:, :, None], 0)
            result = result + corner * (row_weight * column_weight)[:, :, None]
    return result
