"""Where the operator's taps read, and the checks that are made once, before an implementation starts."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.errors import OperatorError

Pair = int | tuple[int, int]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_LARGEST = 2**31 - 1


class Geometry(NamedTuple):
    """Tap k of site n reads x at n * stride - padding + k * dilation + D[g, n, k]. Pairs are (rows, columns)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    offset_groups: int = 1
    border: Border = "zero"
    groups: int = 1
    offset_layout: OffsetLayout = "per_tap"

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def warp(self) -> Geometry:
        """One tap on each pixel, equation (16), with the same offset groups and border."""
        return Geometry(offset_groups=self.offset_groups, border=self.border)

    def output_size(self, x: Tensor) -> tuple[int, int]:
        """Rows and columns of the output. The authors' released graph forgets the dilation here."""
        sizes = []
        for axis, size in enumerate(x.shape[2:]):
            step = 1 if self.offset_layout == "released" else self.dilation[axis]
            reach = step * (self.kernel[axis] - 1) + 1
            sizes.append((size + 2 * self.padding[axis] - reach) // self.stride[axis] + 1)
        return sizes[0], sizes[1]

    def offset_shape(self, x: Tensor) -> tuple[int, ...]:
        """(N, channels, rows, columns) of the offset."""
        pairs = self.offset_groups * (self.taps if self.offset_layout == "per_tap" else 1)
        return x.shape[0], 2 * pairs, *(x.shape[2:] if self.offset_layout == "per_site" else self.output_size(x))


def pair(name: str, value: Pair, at_least: int) -> tuple[int, int]:
    """A setting as (rows, columns)."""
    rows, columns = (value, value) if isinstance(value, int) else value
    if not (at_least <= rows <= _LARGEST and at_least <= columns <= _LARGEST):
        raise OperatorError(f"`{name}` is {value}; expected whole numbers from {at_least} to {_LARGEST}")
    return rows, columns


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which positions, sums and gradients are formed for inputs of `dtype`."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def check_choice(name: str, value: str, kind: Any) -> None:
    """`value` is one of the strings of the Literal `kind`."""
    if value not in get_args(kind):
        raise OperatorError(f"`{name}` is {value!r}; expected one of {', '.join(get_args(kind))}")


def check_image(x: Tensor) -> None:
    """x is (N, C, H, W) of a dtype we know."""
    if x.dim() != 4 or min(x.shape[1:]) < 1:
        raise OperatorError(f"x has shape {_show(x)}; expected (N, C, H, W) with at least one channel and pixel")
    if x.dtype not in DTYPES:
        raise OperatorError(f"x is {x.dtype}; expected one of {', '.join(str(dtype) for dtype in DTYPES)}")


def check_weight(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """weight is (O, C // groups, kh, kw) and bias (O,), both of x's dtype and device."""
    if groups < 1 or x.shape[1] % groups:
        raise OperatorError(f"`groups` is {groups}; it must divide the {x.shape[1]} channels of x")
    if weight.dim() != 4 or weight.shape[1] != x.shape[1] // groups or min(weight.shape) < 1:
        needed = f"x of shape {_show(x)} with `groups={groups}` needs (O, {x.shape[1] // groups}, kh, kw)"
        raise OperatorError(f"weight has shape {_show(weight)}; {needed}")
    if weight.shape[0] % groups:
        raise OperatorError(f"weight has shape {_show(weight)}; its first size must be a multiple of `groups={groups}`")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise OperatorError(f"bias has shape {_show(bias)}; weight of shape {_show(weight)} needs ({weight.shape[0]},)")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != x.dtype:
            raise OperatorError(f"{name} is {tensor.dtype} and x is {x.dtype}; convert one of them")
        if tensor is not None:
            _check_device(name, x, tensor)


def check_offset(x: Tensor, offset: Tensor, geometry: Geometry) -> None:
    """The geometry fits x, and offset is as it says, on x's device, of x's dtype or float32."""
    check_choice("border", geometry.border, Border)
    check_choice("offset_layout", geometry.offset_layout, OffsetLayout)
    if geometry.offset_layout == "released" and geometry.kernel != (3, 3):
        raise OperatorError(f"the kernel is {geometry.kernel}; `offset_layout='released'` is defined for (3, 3)")
    if geometry.offset_groups < 1 or x.shape[1] % geometry.offset_groups:
        raise OperatorError(
            f"`offset_groups` is {geometry.offset_groups}; it must divide the {x.shape[1]} channels of x"
        )
    size = geometry.output_size(x)
    if min(size) < 1:
        raise OperatorError(f"x of shape {_show(x)} is smaller than {geometry}: the output would be {size}")
    if tuple(offset.shape) != geometry.offset_shape(x):
        needed = f"x of shape {_show(x)} needs {geometry.offset_shape(x)}"
        raise OperatorError(f"offset has shape {_show(offset)}; {needed}")
    if offset.dtype not in (x.dtype, torch.float32):
        raise OperatorError(f"offset is {offset.dtype}; x is {x.dtype}, so it must be that or torch.float32")
    _check_device("offset", x, offset)


def _check_device(name: str, x: Tensor, tensor: Tensor) -> None:
    if tensor.device != x.device:
        raise OperatorError(f"{name} is on {tensor.device} and x on {x.device}; move one of them")


def _show(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
