"""The compiled kernels as PyTorch operators, namespace `lcdc`, with fake kernels and autograd.

    lcdc::deform_sample   x, offset -> columns (N, Ho, Wo, taps, C): what equation (13) reads; one tap is the warp (16)
    lcdc::deform_conv     x, offset, weight -> (N, O, Ho, Wo): the columns times the weight, some images at a time

Offsets are per tap here. Gradients are deterministic on a CPU. On CUDA the gradient of x uses atomic additions on small
batches, unless `torch.use_deterministic_algorithms(True)`; no other kernel does. There are no second derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake

from lcdc_extract.ops import shapes
from lcdc_extract.ops.library import Problem, native_library

_GEOMETRY = "int[] kernel, int[] stride, int[] padding, int[] dilation, int offset_groups, str border"
_BLOCK_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}
"""Largest columns kept at once; a CPU prefers what stays near its caches."""

Geometry = tuple[list[int], list[int], list[int], list[int], int, str]


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C); free where x is channels-last already


def _problem(x: Tensor, offset: Tensor, geometry: Geometry) -> Problem:
    kernel, stride, padding, dilation, offset_groups, border = geometry
    sizes = (*x.shape, *offset.shape[2:])
    pairs = ((values[0], values[1]) for values in (kernel, stride, padding, dilation))
    dtype, rule = shapes.DTYPES.index(x.dtype), ("zero", "released").index(border)
    return Problem(dtype, rule, *sizes, *pairs, offset_groups, offset.stride())


def _sample(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    offset = offset.to(shapes.accumulator(x.dtype))
    columns = _empty_columns(x, offset, geometry[0])
    native_library(x.device.type).call("sample", _problem(x, offset, geometry), _channels_last(x), offset, columns)
    return columns


def _grad_x(grad: Tensor, x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    real = shapes.accumulator(x.dtype)
    offset = offset.to(real)
    batch, channels, height, width = x.shape
    grad_x = torch.zeros(batch, height, width, channels, dtype=real, device=x.device)
    extra = () if x.device.type == "cpu" else (int(torch.are_deterministic_algorithms_enabled()),)
    native_library(x.device.type).call("grad_x", _problem(x, offset, geometry), grad, offset, grad_x, *extra)
    return grad_x.to(x.dtype).permute(0, 3, 1, 2)


def _grad_offset(grad: Tensor, x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    wide = offset.to(shapes.accumulator(x.dtype))
    batch, _, height, width = offset.shape
    shape = (batch, height, width, geometry[0][0] * geometry[0][1], geometry[4], 2)
    pairs = torch.empty(shape, dtype=wide.dtype, device=x.device)
    native_library(x.device.type).call("grad_offset", _problem(x, wide, geometry), grad, _channels_last(x), wide, pairs)
    ordered = pairs.permute(0, 4, 3, 5, 1, 2).reshape(offset.shape)  # (N, G, taps, 2, Ho, Wo)
    return ordered.to(offset.dtype).contiguous()


def _empty_columns(x: Tensor, offset: Tensor, kernel: list[int]) -> Tensor:
    return x.new_empty(x.shape[0], offset.shape[2], offset.shape[3], kernel[0] * kernel[1], x.shape[1])


def _empty_like_channels_last(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


# --- lcdc::deform_sample ----------------------------------------------------------------------------------------------


@custom_op("lcdc::deform_sample", mutates_args=(), schema=f"(Tensor x, Tensor offset, {_GEOMETRY}) -> Tensor")
def deform_sample(x: Tensor, offset: Tensor, *geometry: Any) -> Tensor:
    """Equation (13) without its sum: x (N, C, H, W), offset per tap -> columns (N, Ho, Wo, taps, C)."""
    return _sample(x, offset, geometry)


def _fake_sample(x: Tensor, offset: Tensor, *geometry: Any) -> Tensor:
    return _empty_columns(x, offset, geometry[0])


@custom_op(
    "lcdc::deform_sample_backward",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, Tensor offset, {_GEOMETRY}, bool for_x, bool for_offset) -> (Tensor, Tensor)",
)
def deform_sample_backward(grad: Tensor, x: Tensor, offset: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Gradients of x and offset; one that is not asked for comes back empty."""
    geometry, (for_x, for_offset) = rest[:6], rest[6:]
    grad = grad.contiguous()
    return (
        _grad_x(grad, x, offset, geometry) if for_x else x.new_empty(0),
        _grad_offset(grad, x, offset, geometry) if for_offset else offset.new_empty(0),
    )


def _fake_sample_backward(grad: Tensor, x: Tensor, offset: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return (
        _empty_like_channels_last(x) if rest[6] else x.new_empty(0),
        offset.new_empty(offset.shape) if rest[7] else offset.new_empty(0),
    )


def _setup_sample(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offset, *ctx.geometry = inputs
    ctx.save_for_backward(x, offset)


def _backward_sample(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad[:2]
    grads = torch.ops.lcdc.deform_sample_backward(grad, *ctx.saved_tensors, *ctx.geometry, *needs)
    return *(value if needed else None for value, needed in zip(grads, needs, strict=True)), *(None,) * 6


register_fake("lcdc::deform_sample", _fake_sample)
register_fake("lcdc::deform_sample_backward", _fake_sample_backward)
register_autograd("lcdc::deform_sample", _backward_sample, setup_context=_setup_sample)


# --- lcdc::deform_conv ------------------------------------------------------------------------------------------------


@custom_op(
    "lcdc::deform_conv",
    mutates_args=(),
    schema=f"(Tensor x, Tensor offset, Tensor weight, {_GEOMETRY}, int groups) -> Tensor",
)
def deform_conv(x: Tensor, offset: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """Equation (13): x (N, C, H, W), offset per tap, weight (O, C // groups, kh, kw) -> (N, O, Ho, Wo)."""
    geometry, groups = rest[:6], rest[6]
    matrix = _matrix(weight, groups)
    with torch.autocast(x.device.type, enabled=False):
        parts = [
            torch.einsum("ptgc,gotc->pgo", _by_group(_sample(x[block], offset[block], geometry), groups), matrix)
            for block in _blocks(x, offset, geometry[0])
        ]
    result = parts[0] if len(parts) == 1 else torch.cat(parts)  # (N * Ho * Wo, groups, O // groups)
    return result.reshape(x.shape[0], *offset.shape[2:], weight.shape[0]).permute(0, 3, 1, 2)


def _fake_conv(x: Tensor, offset: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(x.shape[0], *offset.shape[2:], weight.shape[0]).permute(0, 3, 1, 2)


@custom_op(
    "lcdc::deform_conv_backward",
    mutates_args=(),
    schema=(
        f"(Tensor grad, Tensor x, Tensor offset, Tensor weight, {_GEOMETRY}, int groups, bool for_x, bool for_offset, "
        "bool for_weight) -> (Tensor, Tensor, Tensor)"
    ),
)
def deform_conv_backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, offset and weight; one that is not asked for comes back empty. Samples again to save memory."""
    geometry, groups, (for_x, for_offset, for_weight) = rest[:6], rest[6], rest[7:]
    matrix = _matrix(weight, groups)
    grad_matrix = torch.zeros_like(matrix, dtype=shapes.accumulator(weight.dtype))
    grads_x, grads_offset = [], []
    with torch.autocast(x.device.type, enabled=False):
        for block in _blocks(x, offset, geometry[0]):
            x_part, offset_part = x[block], offset[block]
            sites = _channels_last(grad[block]).reshape(-1, groups, weight.shape[0] // groups)
            if for_weight:
                columns = _by_group(_sample(x_part, offset_part, geometry), groups)
                grad_matrix += torch.einsum("pgo,ptgc->gotc", sites, columns)
            if for_x or for_offset:
                grad_columns = torch.einsum("pgo,gotc->ptgc", sites, matrix).contiguous()
            if for_x:
                grads_x.append(_grad_x(grad_columns, x_part, offset_part, geometry))
            if for_offset:
                grads_offset.append(_grad_offset(grad_columns, x_part, offset_part, geometry))
    return (
        torch.cat(grads_x) if for_x else x.new_empty(0),
        torch.cat(grads_offset) if for_offset else offset.new_empty(0),
        _weight_from(grad_matrix, weight) if for_weight else weight.new_empty(0),
    )


def _fake_conv_backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        _empty_like_channels_last(x) if rest[7] else x.new_empty(0),
        offset.new_empty(offset.shape) if rest[8] else offset.new_empty(0),
        weight.new_empty(weight.shape) if rest[9] else weight.new_empty(0),
    )


def _setup_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offset, weight, *ctx.settings = inputs
    ctx.save_for_backward(x, offset, weight)


def _backward_conv(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad[:3]
    grads = torch.ops.lcdc.deform_conv_backward(grad, *ctx.saved_tensors, *ctx.settings, *needs)
    return *(value if needed else None for value, needed in zip(grads, needs, strict=True)), *(None,) * 7


register_fake("lcdc::deform_conv", _fake_conv)
register_fake("lcdc::deform_conv_backward", _fake_conv_backward)
register_autograd("lcdc::deform_conv", _backward_conv, setup_context=_setup_conv)


def _blocks(x: Tensor, offset: Tensor, kernel: list[int]) -> Iterator[slice]:
    """Slices of the batch whose columns stay under the limit; one empty slice for an empty batch."""
    bytes_per_image = kernel[0] * kernel[1] * offset.shape[2] * offset.shape[3] * x.shape[1] * x.element_size()
    images = max(1, _BLOCK_BYTES[x.device.type] // bytes_per_image)
    return (slice(start, start + images) for start in range(0, max(1, x.shape[0]), images))


def _matrix(weight: Tensor, groups: int) -> Tensor:
    """(O, C // groups, kh, kw) -> (groups, O // groups, taps, C // groups); free where the weight is channels-last."""
    out, channels, rows, columns = weight.shape
    return weight.permute(0, 2, 3, 1).reshape(groups, out // groups, rows * columns, channels)


def _weight_from(matrix: Tensor, weight: Tensor) -> Tensor:
    out, channels, rows, columns = weight.shape
    return matrix.reshape(out, rows, columns, channels).permute(0, 3, 1, 2).to(weight.dtype).contiguous()


def _by_group(columns: Tensor, groups: int) -> Tensor:
    """(N, Ho, Wo, taps, C) -> (N * Ho * Wo, taps, groups, C // groups)."""
    *_, taps, channels = columns.shape
    return columns.reshape(-1, taps, groups, channels // groups)
