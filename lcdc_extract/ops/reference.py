"""The operator family in plain PyTorch: the specification the compiled kernels are compared with.

Notation of the paper's supplement: x is the input, k a kernel tap, n an output site, D the offsets in pixels of x's own
grid with channel order (dy, dx).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.errors import OperatorError

Pair = int | tuple[int, int]


def sample(x: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """Reads x at fractional positions, bilinearly.

    Args:
        x: (N, G, C, H, W).
        rows, columns: (N, G, P), in pixels of x. A position that is not finite reads 0.
        border: "zero": a corner outside the image contributes 0. "released": 0 unless 0 <= row < H and
            0 <= column < W, else the position is clamped to the last row and column (released_network detail).

    Returns:
        (N, G, C, P).
    """
    height, width = x.shape[-2:]
    if border == "released":
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    else:
        inside = (rows > -1) & (rows < height) & (columns > -1) & (columns < width)
    rows = torch.where(inside, rows, torch.zeros_like(rows))
    columns = torch.where(inside, columns, torch.zeros_like(columns))
    if border == "released":
        rows, columns = rows.clamp(max=height - 1), columns.clamp(max=width - 1)
    top, left = rows.floor(), columns.floor()
    down, right = rows - top, columns - left
    flat = x.flatten(-2)  # (N, G, C, H*W)
    result = torch.zeros(*x.shape[:3], rows.shape[-1], dtype=x.dtype, device=x.device)
    for row, row_weight in ((top, 1 - down), (top + 1, down)):
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row * width + column).where(valid, torch.zeros_like(row)).long()  # (N, G, P)
            weight = torch.where(valid, row_weight * column_weight, torch.zeros_like(row))
            corner = flat.gather(-1, index[:, :, None].expand(-1, -1, x.shape[2], -1))
            result = result + corner * weight[:, :, None]
    return result


def warp(x: Tensor, offset: Tensor, *, offset_groups: int = 1, border: Border = "zero") -> Tensor:
    """Equation (16): xw[n] = x(n + D[n]).

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * offset_groups, H, W), (dy, dx) of each group, in pixels.

    Returns:
        (N, C, H, W), dtype of x.
    """
    batch, channels, height, width = x.shape
    _check_offset(x, offset, 2 * offset_groups, height, width)
    rows, columns = _grid(offset, height, width)
    fields = offset.reshape(batch, offset_groups, 2, height * width)
    grouped = x.reshape(batch, offset_groups, channels // offset_groups, height, width)
    sampled = sample(grouped, rows + fields[:, :, 0], columns + fields[:, :, 1], border)
    return sampled.to(x.dtype).reshape(x.shape)


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
    warped = warp(x, offset, offset_groups=offset_groups, border=border)
    return functional.conv2d(warped, weight, bias, stride, padding, dilation, groups)


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
    """Equations (12) and (13), and the released variant; `offset_layout="per_site"` is (14).

    Args:
        x: (N, C, H, W).
        offset: per_tap (N, 2 * taps * offset_groups, Ho, Wo), pairs (dy, dx) tap by tap, as torchvision orders them;
            per_site (N, 2 * offset_groups, H, W); released (N, 2 * offset_groups, Ho, Wo), where tap (i, j) of a 3x3
            kernel reads the pair at n + (i-1, j-1) whatever the dilation, and zero outside.
        weight: (O, C // groups, kh, kw).

    Returns:
        (N, O, Ho, Wo), dtype of x.
    """
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
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    batch, channels, height, width = x.shape
    out_channels, _, kh, kw = weight.shape
    out_height = (offset.shape[-2]) if offset_layout == "released" else (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_width = (offset.shape[-1]) if offset_layout == "released" else (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    taps = kh * kw
    if offset_layout == "released":
        _check_offset(x, offset, 2 * offset_groups, out_height, out_width)
        fields = functional.pad(offset, (1, 1, 1, 1)).unfold(-2, out_height, 1).unfold(-2, out_width, 1)
        fields = fields.reshape(batch, offset_groups, 2, taps, -1)
    else:
        _check_offset(x, offset, 2 * taps * offset_groups, out_height, out_width)
        fields = offset.reshape(batch, offset_groups, taps, 2, -1).transpose(2, 3)
    rows, columns = _grid(offset, out_height, out_width)
    tap_rows = torch.arange(kh, device=x.device).repeat_interleave(kw)[:, None] * dh
    tap_columns = torch.arange(kw, device=x.device).repeat(kh)[:, None] * dw
    rows = (rows * sh - ph + tap_rows + fields[:, :, 0]).flatten(-2)  # (N, G, taps*Ho*Wo)
    columns = (columns * sw - pw + tap_columns + fields[:, :, 1]).flatten(-2)
    grouped = x.reshape(batch, offset_groups, channels // offset_groups, height, width)
    sampled = sample(grouped, rows, columns, border).to(x.dtype)
    gathered = sampled.reshape(batch, groups, channels // groups * taps, out_height * out_width)
    kernels = weight.reshape(groups, out_channels // groups, channels // groups * taps)
    result = (kernels @ gathered).reshape(batch, out_channels, out_height, out_width)
    return result if bias is None else result + bias[:, None, None]


def receptive_field_motion(offset: Tensor, dim: int = 0) -> Tensor:
    """Section B of the supplement: r[t] = D[t] - D[t-1] along the time axis `dim`, one entry fewer than frames."""
    return offset.diff(dim=dim)


def _grid(like: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    rows = torch.arange(height, device=like.device, dtype=like.dtype).repeat_interleave(width)
    columns = torch.arange(width, device=like.device, dtype=like.dtype).repeat(height)
    return rows, columns  # (height * width,) each


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _check_offset(x: Tensor, offset: Tensor, channels: int, height: int, width: int) -> None:
    expected = (x.shape[0], channels, height, width)
    if tuple(offset.shape) != expected:
        raise OperatorError(f"offset has shape {tuple(offset.shape)}; an input of {tuple(x.shape)} needs {expected}")
