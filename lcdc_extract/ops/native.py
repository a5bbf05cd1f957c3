"""The compiled kernels, registered as PyTorch operators of namespace `lcdc` with fake kernels and autograd.

    lcdc::deform_sample   x, offset -> columns (N, Ho, Wo, taps, C): what equation (13) reads; one tap is the warp (16)
    lcdc::deform_conv     x, offset, weight -> (N, O, Ho, Wo): the columns times the weight, some images at a time

Their offsets are per tap. Gradients are deterministic on a CPU. On CUDA the gradient of x uses atomic additions on
small batches, unless `torch.use_deterministic_algorithms(True)`; no other kernel does. There are no second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn import functional

from lcdc_extract.ops.geometry import DTYPES, Geometry, accumulator
from lcdc_extract.ops.library import Problem, native_library

_BLOCK_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}
"""Largest columns kept at once; a CPU prefers what stays near its caches."""


def warp(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    """Equation (16): xw[n] = x(n + D[n]), (N, C, H, W)."""
    columns: Tensor = deform_sample(x, offset, *_fields(geometry))  # (N, H, W, 1, C)
    return _in_format_of(x, columns.squeeze(3).permute(0, 3, 1, 2))


def deform_conv2d(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Equations (12) and (13), and the released variant; per site (14), as the convolution of a warp, (15)."""
    groups = geometry.groups
    if geometry.offset_layout == "per_site":
        warped = warp(x, offset, geometry.warp)
        return functional.conv2d(warped, weight, bias, geometry.stride, geometry.padding, geometry.dilation, groups)
    if geometry.offset_layout == "released":
        offset = _expand_released(offset, geometry.offset_groups)
    result: Tensor = deform_conv(x, offset, weight, *_fields(geometry), groups)
    return _in_format_of(x, result if bias is None else result + bias[:, None, None])


def _expand_released(offset: Tensor, offset_groups: int) -> Tensor:
    """(N, 2 * G, Ho, Wo) -> (N, 18 * G, Ho, Wo): tap (i, j) takes the pair at n + (i-1, j-1), zero outside."""
    batch, _, height, width = offset.shape
    padded = functional.pad(offset, (1, 1, 1, 1))
    shifted = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    pairs = torch.stack(shifted, dim=1).reshape(batch, 9, offset_groups, 2, height, width)
    return pairs.transpose(1, 2).reshape(batch, 18 * offset_groups, height, width)


def _in_format_of(x: Tensor, result: Tensor) -> Tensor:
    """`result` contiguous where x is: a network in one memory format stays in it, and its convolutions with it."""
    if x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
        return result.contiguous()
    return result


# --- columns ----------------------------------------------------------------------------------------------------------


def _sample(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    """x (N, C, H, W), offset per tap -> columns (N, Ho, Wo, taps, C)."""
    offset = offset.to(accumulator(x.dtype))
    columns = _empty_columns(x, offset, geometry)
    native_library(x.device).call("sample", _problem(x, offset, geometry), _channels_last(x), offset, columns)
    return columns


def _sample_backward(grad: Tensor, x: Tensor, offset: Tensor, geometry: Geometry, *wanted: bool) -> tuple[Tensor, ...]:
    """Gradients of x and offset; one that is not wanted comes back empty."""
    grad, (for_x, for_offset) = grad.contiguous(), wanted
    return (
        _grad_x(grad, x, offset, geometry) if for_x else x.new_empty(0),
        _grad_offset(grad, x, offset, geometry) if for_offset else offset.new_empty(0),
    )


def _grad_x(grad: Tensor, x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    offset = offset.to(accumulator(x.dtype))
    batch, channels, height, width = x.shape
    grad_x = offset.new_zeros(batch, height, width, channels)
    extra = () if x.device.type == "cpu" else (int(torch.are_deterministic_algorithms_enabled()),)
    native_library(x.device).call("grad_x", _problem(x, offset, geometry), grad, offset, grad_x, *extra)
    return grad_x.to(x.dtype).permute(0, 3, 1, 2)


def _grad_offset(grad: Tensor, x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    wide = offset.to(accumulator(x.dtype))
    batch, _, height, width = offset.shape
    pairs = wide.new_empty(batch, height, width, geometry.taps, geometry.offset_groups, 2)
    native_library(x.device).call("grad_offset", _problem(x, wide, geometry), grad, _channels_last(x), wide, pairs)
    ordered = pairs.permute(0, 4, 3, 5, 1, 2).reshape(offset.shape)  # (N, G, taps, 2, Ho, Wo)
    return ordered.to(offset.dtype).contiguous()


def _problem(x: Tensor, offset: Tensor, geometry: Geometry) -> Problem:
    *pairs, offset_groups, border = _fields(geometry)
    dtype, rule = DTYPES.index(x.dtype), ("zero", "released").index(border)
    return Problem(dtype, rule, *x.shape, *offset.shape[2:], *pairs, offset_groups, offset.stride())


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C); free where x is channels-last already


def _empty_columns(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    return x.new_empty(x.shape[0], *offset.shape[2:], geometry.taps, x.shape[1])


# --- columns times the weight, some images at a time ------------------------------------------------------------------


def _conv(x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """x (N, C, H, W), offset per tap, weight (O, C // groups, kh, kw) -> (N, O, Ho, Wo)."""
    matrix = _matrix(weight, geometry.groups)
    with torch.autocast(x.device.type, enabled=False):
        parts = [
            torch.einsum("ptgc,gotc->pgo", _columns(x[block], offset[block], geometry), matrix)
            for block in _blocks(x, offset, geometry)
        ]
    result = parts[0] if len(parts) == 1 else torch.cat(parts)  # (N * Ho * Wo, groups, O // groups)
    return result.reshape(x.shape[0], *offset.shape[2:], weight.shape[0]).permute(0, 3, 1, 2)


def _conv_backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry, *wanted: bool
) -> tuple[Tensor, ...]:
    """Gradients of x, offset and weight; one that is not wanted comes back empty. Samples again to save memory."""
    *for_sampled, for_weight = wanted
    matrix = _matrix(weight, geometry.groups)
    grad_matrix = torch.zeros_like(matrix, dtype=accumulator(weight.dtype))
    sampled = []
    with torch.autocast(x.device.type, enabled=False):
        for block in _blocks(x, offset, geometry):
            sites = _channels_last(grad[block]).reshape(-1, *matrix.shape[:2])  # (N * Ho * Wo, groups, O // groups)
            if for_weight:
                grad_matrix += torch.einsum("pgo,ptgc->gotc", sites, _columns(x[block], offset[block], geometry))
            if any(for_sampled):
                grad_columns = torch.einsum("pgo,gotc->ptgc", sites, matrix)
                sampled.append(_sample_backward(grad_columns, x[block], offset[block], geometry, *for_sampled))
    grads = [torch.cat(parts) for parts in zip(*sampled, strict=True)] or [x.new_empty(0), offset.new_empty(0)]
    if not for_weight:
        return *grads, weight.new_empty(0)
    out, channels, *kernel = weight.shape
    return *grads, grad_matrix.reshape(out, *kernel, channels).permute(0, 3, 1, 2).to(weight.dtype).contiguous()


def _blocks(x: Tensor, offset: Tensor, geometry: Geometry) -> Iterator[slice]:
    """Slices of the batch whose columns stay under the limit; one empty slice for an empty batch."""
    bytes_per_image = geometry.taps * offset.shape[2] * offset.shape[3] * x.shape[1] * x.element_size()
    images = max(1, _BLOCK_BYTES[x.device.type] // bytes_per_image)
    return (slice(start, start + images) for start in range(0, max(1, x.shape[0]), images))


def _matrix(weight: Tensor, groups: int) -> Tensor:
    """(O, C // groups, kh, kw) -> (groups, O // groups, taps, C // groups); free where the weight is channels-last."""
    out, channels, rows, columns = weight.shape
    return weight.permute(0, 2, 3, 1).reshape(groups, out // groups, rows * columns, channels)


def _columns(x: Tensor, offset: Tensor, geometry: Geometry) -> Tensor:
    """(N * Ho * Wo, taps, groups, C // groups)."""
    return _sample(x, offset, geometry).reshape(-1, geometry.taps, geometry.groups, x.shape[1] // geometry.groups)


# --- torch.library ----------------------------------------------------------------------------------------------------

_FIELDS = "int[] kernel, int[] stride, int[] padding, int[] dilation, int offset_groups, str border"


def _fields(geometry: Geometry) -> tuple[Any, ...]:
    """The geometry as torch.library takes it, which knows numbers and texts only."""
    g = geometry
    return g.kernel, g.stride, g.padding, g.dilation, g.offset_groups, g.border


def _geometry(fields: list[Any]) -> Geometry:
    """The geometry of an operator's arguments; the groups follow where there is a weight."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in fields]
    return Geometry(*values)


def _operator(schema: str, run: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Registers `run` and its fake kernel, functions of (*tensors, geometry, *wanted), under the schema's name."""

    def flat(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
            wanted = [argument for argument in arguments if isinstance(argument, bool)]
            fields = [argument for argument in arguments if not isinstance(argument, Tensor | bool)]
            return function(*tensors, _geometry(fields), *wanted)

        return call

    name, _, signature = schema.partition("(")
    operator = custom_op(f"lcdc::{name}", flat(run), mutates_args=(), schema=f"({signature}")
    operator.register_fake(flat(fake))
    return operator


def _differentiate(operator: Any, backward: Callable[..., Any], tensors: int) -> None:
    """Gradients of the first `tensors` arguments: backward(grad, *arguments, *whether each is wanted)."""

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:tensors])
        ctx.settings = inputs[tensors:]

    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:tensors]
        found = backward(grad, *ctx.saved_tensors, *ctx.settings, *wanted)
        grads = (value if want else None for value, want in zip(found, wanted, strict=True))
        return *grads, *(None for _ in ctx.settings)

    operator.register_autograd(gradients, setup_context=save)


def _fake_conv(x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    return x.new_empty(x.shape[0], *offset.shape[2:], weight.shape[0]).permute(0, 3, 1, 2)


def _fake_backward(grad: Tensor, x: Tensor, *others: Any) -> tuple[Tensor, ...]:
    """Gradients of x, channels-last, and of the other tensors, contiguous; empty where not wanted."""
    batch, channels, height, width = x.shape
    like_x = x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    grads = [like_x, *(other.new_empty(other.shape) for other in others if isinstance(other, Tensor))]
    wanted = (other for other in others if isinstance(other, bool))
    return tuple(value if want else value.new_empty(0) for value, want in zip(grads, wanted, strict=True))


deform_sample = _operator(f"deform_sample(Tensor x, Tensor offset, {_FIELDS}) -> Tensor", _sample, _empty_columns)
deform_sample_backward = _operator(
    f"deform_sample_backward(Tensor grad, Tensor x, Tensor offset, {_FIELDS}, bool for_x, bool for_offset)"
    " -> (Tensor, Tensor)",
    _sample_backward,
    _fake_backward,
)
deform_conv = _operator(
    f"deform_conv(Tensor x, Tensor offset, Tensor weight, {_FIELDS}, int groups) -> Tensor", _conv, _fake_conv
)
deform_conv_backward = _operator(
    f"deform_conv_backward(Tensor grad, Tensor x, Tensor offset, Tensor weight, {_FIELDS}, int groups,"
    " bool for_x, bool for_offset, bool for_weight) -> (Tensor, Tensor, Tensor)",
    _conv_backward,
    _fake_backward,
)
_differentiate(deform_sample, deform_sample_backward, tensors=2)
_differentiate(deform_conv, deform_conv_backward, tensors=3)
