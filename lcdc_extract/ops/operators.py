"""The public operators: check once, choose an implementation once, run."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.ops import native, reference
from lcdc_extract.ops.geometry import Geometry, Pair, check_image, check_offset, check_weight, pair
from lcdc_extract.ops.library import Implementation, use_native


class Sampler(Protocol):
    """What the modules `native` and `reference` both are. Their arguments have been checked."""

    def warp(self, x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor: ...
    def deform_conv2d(
        self, x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
    ) -> Tensor: ...


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
    geometry = Geometry(offset_groups=offset_groups, border=border)
    check_image(x)
    check_offset(x, offset, geometry)
    return _sampler(implementation, x).warp(x, offset, geometry)


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
    """Equations (14) and (15), x warped by one offset per site, then a standard convolution:
    `deform_conv2d` with `offset_layout="per_site"`.
    """
    return deform_conv2d(
        x,
        offset,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        offset_groups=offset_groups,
        offset_layout="per_site",
        border=border,
        implementation=implementation,
    )


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
            per_site: (N, 2 * offset_groups, H, W), equation (14): x is warped, then convolved.
            released: (N, 2 * offset_groups, Ho, Wo) for a 3x3 kernel; tap (i, j) reads the pair at n + (i-1, j-1)
                whatever the dilation, zero outside. Ho and Wo are those of the undilated kernel, so padding 1 at
                dilation 2 keeps the size (authors' released graph).
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
    check_image(x)
    check_weight(x, weight, bias, groups)
    geometry = Geometry(
        (weight.shape[2], weight.shape[3]),
        pair("stride", stride, at_least=1),
        pair("padding", padding, at_least=0),
        pair("dilation", dilation, at_least=1),
        offset_groups,
        border,
        groups,
        offset_layout,
    )
    check_offset(x, offset, geometry)
    return _sampler(implementation, x).deform_conv2d(x, offset, weight, bias, geometry)


def receptive_field_motion(offset: Tensor, dim: int = 0) -> Tensor:
    """Section B of the supplement: r[t] = D[t] - D[t-1] along the time axis `dim`, one entry fewer than frames."""
    return offset.diff(dim=dim)


def _sampler(implementation: Implementation, x: Tensor) -> Sampler:
    if use_native(implementation, x.device):
        return native
    return reference


def _autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """What torch's own convolutions do under autocast. Offsets keep their precision."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
