"""The public operators: check, choose an implementation, run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.ops import native, reference, shapes
from lcdc_extract.ops.library import Implementation, use_native
from lcdc_extract.ops.shapes import Pair, Taps


def warp(
    x: Tensor,
    offset: Tensor,
    *,
    offset_groups: int = 1,
    border: Border = "zero",
    implementation: Implementation = "auto",
) -> Tensor:
    """Equation (16): xw[n] = x(n + D[n]), read bilinearly.

    Args:
        x: (N, C, H, W) of float32, float64, float16 or bfloat16. Channels-last is read in place, else copied.
        offset: (N, 2 * offset_groups, H, W), (dy, dx) of each group in pixels of x; of x's dtype or float32.
        offset_groups: G of equation (13): channel i uses the offsets of group i // (C / G).
        border: "zero": a corner outside the image contributes 0. "released": positions outside [0, size) read 0, and
            the last row and column count in full up to the edge (authors' released graph).
        implementation: "native" is the compiled library, "reference" plain PyTorch, "auto" native where it runs; see
            `implementation()`.

    Returns:
        (N, C, H, W), dtype of x, contiguous if x is, else channels-last. Positions that are NaN or far away read 0.

    Raises:
        OperatorError: shapes, dtypes or devices do not fit, or the library cannot run.
    """
    if not use_native(implementation, x.device.type):
        return reference.warp(x, offset, offset_groups=offset_groups, border=border)
    shapes.check_input(x, offset_groups, border)
    shapes.check_offset(x, offset, 2 * offset_groups, (x.shape[2], x.shape[3]))
    columns: Tensor = native.deform_sample(x, offset, *_geometry(Taps(), offset_groups, border))
    return _in_format_of(x, columns.squeeze(3).permute(0, 3, 1, 2))  # (N, H, W, 1, C) -> (N, C, H, W)


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
    implementation: Implementation = "auto",
) -> Tensor:
    """Equations (14) and (15): x warped by one offset per site, then a standard convolution.

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * offset_groups, H, W), as in `warp`.
        weight: (O, C // groups, kh, kw).
        bias: (O,).
        stride, padding, dilation: one number, or (rows, columns).
        groups: of the convolution.
        offset_groups, border, implementation: as in `warp`.

    Returns:
        (N, O, Ho, Wo), dtype of x; under autocast, of autocast.

    Raises:
        OperatorError: shapes, dtypes or devices do not fit, or the library cannot run.
    """
    x, weight, bias = _autocast(x, weight, bias)
    shapes.check_input(x, offset_groups, border)
    shapes.check_weight(x, weight, bias, groups)
    taps = shapes.make_taps(weight.shape[2:], stride, padding, dilation)
    shapes.check_taps(x, taps, "per_site")
    warped = warp(x, offset, offset_groups=offset_groups, border=border, implementation=implementation)
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
    implementation: Implementation = "auto",
) -> Tensor:
    """Equations (12) and (13): y[n] = sum_k w[-k] x(n + k + D[n, k]), and its relatives.

    Args:
        x: (N, C, H, W).
        offset: in pixels of x, (dy, dx), of x's dtype or float32. By `offset_layout`:
            per_tap: (N, 2 * kh * kw * offset_groups, Ho, Wo), pairs tap by tap as torchvision orders them.
            per_site: (N, 2 * offset_groups, H, W), equation (14): the same as `locally_consistent_conv2d`.
            released: (N, 2 * offset_groups, Ho, Wo) for a 3x3 kernel; tap (i, j) reads the pair at n + (i-1, j-1)
                whatever the dilation, zero outside. Ho and Wo are those of the undilated kernel, so padding 1 at
                dilation 2 keeps the size (authors' released graph).
        weight, bias, stride, padding, dilation, groups: as in `locally_consistent_conv2d`.
        offset_groups, border, implementation: as in `warp`.

    Returns:
        (N, O, Ho, Wo), dtype of x; under autocast, of autocast.

    Raises:
        OperatorError: shapes, dtypes or devices do not fit, or the library cannot run.
    """
    x, weight, bias = _autocast(x, weight, bias)
    places: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    kinds: dict[str, Any] = {"groups": groups, "offset_groups": offset_groups, "border": border}
    if offset_layout == "per_site":
        return locally_consistent_conv2d(x, offset, weight, bias, **places, **kinds, implementation=implementation)
    if not use_native(implementation, x.device.type):
        return reference.deform_conv2d(x, offset, weight, bias, **places, **kinds, offset_layout=offset_layout)
    shapes.check_input(x, offset_groups, border)
    shapes.check_weight(x, weight, bias, groups)
    taps = shapes.make_taps(weight.shape[2:], stride, padding, dilation)
    offset = reference.offset_per_tap(x, offset, taps, offset_groups, offset_layout)
    result: Tensor = native.deform_conv(x, offset, weight, *_geometry(taps, offset_groups, border), groups)
    return _in_format_of(x, result if bias is None else result + bias[:, None, None])


def _geometry(
    taps: Taps, offset_groups: int, border: Border
) -> tuple[list[int], list[int], list[int], list[int], int, str]:
    return list(taps.kernel), list(taps.stride), list(taps.padding), list(taps.dilation), offset_groups, border


def _in_format_of(x: Tensor, result: Tensor) -> Tensor:
    """`result` contiguous where x is: a network in one memory format stays in it, and its convolutions with it."""
    if x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
        return result.contiguous()
    return result


def _autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """What torch's own convolutions do under autocast. Offsets keep their precision."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
