"""The operator family in plain PyTorch: the specification the compiled kernels are compared with, on any device.

Notation of the paper's supplement: x is the input, k a kernel tap, n an output site, D the offsets in pixels of x's own
grid with channel order (dy, dx). The functions of `operators` say what the arguments are; these take the same ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.ops import shapes
from lcdc_extract.ops.shapes import Pair, Taps


def sample(x: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """Reads x at fractional positions, bilinearly.

    Args:
        x: (N, G, C, H, W).
        rows, columns: (N, G, P) in pixels of x, of the type that accumulates. A position that is not finite reads 0.
        border: "zero": a corner outside the image contributes 0. "released": 0 unless 0 <= row < H and
            0 <= column < W, else the position is clamped to the last row and column (authors' released graph).

    Returns:
        (N, G, C, P), of the type that accumulates.
    """
    height, width = x.shape[-2:]
    lowest = 0 if border == "released" else -1
    after_start = (rows >= 0) & (columns >= 0) if border == "released" else (rows > lowest) & (columns > lowest)
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


def sample_taps(x: Tensor, offset: Tensor, taps: Taps, offset_groups: int, border: Border) -> Tensor:
    """x at n + k + D[g, n, k], equation (13).

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * taps * offset_groups, Ho, Wo).

    Returns:
        (N, C, taps, Ho, Wo), dtype of x.
    """
    batch, channels, height, width = x.shape
    out_height, out_width = offset.shape[-2:]
    (kernel_rows, kernel_columns), (pad_rows, pad_columns) = taps.kernel, taps.padding
    real, device = shapes.accumulator(x.dtype), x.device
    fields = offset.to(real).reshape(batch, offset_groups, kernel_rows * kernel_columns, 2, out_height, out_width)
    tap_rows = torch.arange(kernel_rows, device=device).repeat_interleave(kernel_columns) * taps.dilation[0] - pad_rows
    tap_columns = torch.arange(kernel_columns, device=device).repeat(kernel_rows) * taps.dilation[1] - pad_columns
    rows = torch.arange(out_height, device=device) * taps.stride[0] + tap_rows[:, None]  # (taps, Ho)
    columns = torch.arange(out_width, device=device) * taps.stride[1] + tap_columns[:, None]  # (taps, Wo)
    at_rows = (rows[:, :, None] + fields[:, :, :, 0]).flatten(2)  # (N, G, taps * Ho * Wo)
    at_columns = (columns[:, None, :] + fields[:, :, :, 1]).flatten(2)
    grouped = x.reshape(batch, offset_groups, channels // offset_groups, height, width)
    sampled = sample(grouped, at_rows, at_columns, border).to(x.dtype)
    num_taps = kernel_rows * kernel_columns
    return sampled.reshape(batch, channels, num_taps, out_height, out_width)


def warp(x: Tensor, offset: Tensor, *, offset_groups: int = 1, border: Border = "zero") -> Tensor:
    """Equation (16): xw[n] = x(n + D[n])."""
    shapes.check_input(x, offset_groups, border)
    shapes.check_offset(x, offset, 2 * offset_groups, (x.shape[2], x.shape[3]))
    return sample_taps(x, offset, Taps(), offset_groups, border)[:, :, 0]


def locally_consistent_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    offset_groups: int = 1,
    border: Border = "zero",
) -> Tensor:
    """Equations (14) and (15): a warp of x by one offset per site, then a standard convolution."""
    shapes.check_input(x, offset_groups, border)
    shapes.check_weight(x, weight, bias, groups)
    taps = shapes.make_taps(weight.shape[2:], stride, padding, dilation)
    shapes.check_taps(x, taps, "per_site")
    warped = warp(x, offset, offset_groups=offset_groups, border=border)
    return functional.conv2d(warped, weight, bias, taps.stride, taps.padding, taps.dilation, groups)


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    offset_groups: int = 1,
    offset_layout: OffsetLayout = "per_tap",
    border: Border = "zero",
) -> Tensor:
    """Equations (12) and (13), and the released variant; `offset_layout="per_site"` is (14)."""
    if offset_layout == "per_site":
        return locally_consistent_conv2d(
            x,
            offset,
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            offset_groups=offset_groups,
            border=border,
        )
    shapes.check_input(x, offset_groups, border)
    shapes.check_weight(x, weight, bias, groups)
    taps = shapes.make_taps(weight.shape[2:], stride, padding, dilation)
    offset = offset_per_tap(x, offset, taps, offset_groups, offset_layout)
    sampled = sample_taps(x, offset, taps, offset_groups, border)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)  # (groups, O/groups, C/groups * taps)
    gathered = sampled.reshape(x.shape[0], groups, kernels.shape[2], sampled.shape[3] * sampled.shape[4])
    result = (kernels @ gathered).reshape(x.shape[0], weight.shape[0], *sampled.shape[-2:])
    return result if bias is None else result + bias[:, None, None]


def offset_per_tap(x: Tensor, offset: Tensor, taps: Taps, offset_groups: int, layout: OffsetLayout) -> Tensor:
    """The offsets as equation (13) wants them, checked: (N, 2 * taps * offset_groups, Ho, Wo).

    In the released layout tap (i, j) takes the pair at n + (i-1, j-1), zero outside (authors' released graph).
    """
    height, width = shapes.check_taps(x, taps, layout)
    if layout == "per_tap":
        shapes.check_offset(x, offset, 2 * taps.kernel[0] * taps.kernel[1] * offset_groups, (height, width))
        return offset
    shapes.check_offset(x, offset, 2 * offset_groups, (height, width))
    padded = functional.pad(offset, (1, 1, 1, 1))
    shifted = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    pairs = torch.stack(shifted, dim=1).reshape(x.shape[0], 9, offset_groups, 2, height, width)
    return pairs.transpose(1, 2).reshape(x.shape[0], 18 * offset_groups, height, width)


def receptive_field_motion(offset: Tensor, dim: int = 0) -> Tensor:
    """Section B of the supplement: r[t] = D[t] - D[t-1] along the time axis `dim`, one entry fewer than frames."""
    return offset.diff(dim=dim)
