"""The geometry of the operator, and the checks that every implementation makes before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.errors import OperatorError

Pair = int | tuple[int, int]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Taps:
    """The taps k of a convolution, each setting as (rows, columns)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output_size(self, height: int, width: int, layout: OffsetLayout = "per_tap") -> tuple[int, int]:
        """Rows and columns of the output. The authors' released graph forgets the dilation here."""
        sizes = []
        for axis, size in enumerate((height, width)):
            reach = (self.kernel[axis] - 1) * (1 if layout == "released" else self.dilation[axis])
            sizes.append((size + 2 * self.padding[axis] - reach - 1) // self.stride[axis] + 1)
        return sizes[0], sizes[1]


def make_taps(kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair) -> Taps:
    """The taps for a weight of (..., kernel rows, kernel columns)."""
    return Taps(
        (kernel[0], kernel[1]),
        _pair("stride", stride, at_least=1),
        _pair("padding", padding, at_least=0),
        _pair("dilation", dilation, at_least=1),
    )


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which positions, sums and gradients are formed for inputs of `dtype`."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def check_input(x: Tensor, offset_groups: int, border: Border) -> None:
    """x is (N, C, H, W) of a dtype we know, C a multiple of the offset groups."""
    check_choice("border", border, Border)
    if x.dim() != 4 or min(x.shape[1:]) < 1:
        raise OperatorError(f"x has shape {_show(x)}; expected (N, C, H, W) with at least one channel and pixel")
    if x.dtype not in DTYPES:
        raise OperatorError(f"x is {x.dtype}; expected one of {', '.join(str(dtype) for dtype in DTYPES)}")
    if offset_groups < 1 or x.shape[1] % offset_groups:
        raise OperatorError(f"offset_groups is {offset_groups}; it must divide the {x.shape[1]} channels of x")


def check_offset(x: Tensor, offset: Tensor, channels: int, size: tuple[int, int]) -> None:
    """offset is (N, channels, *size), on x's device, of x's dtype or float32."""
    expected = (x.shape[0], channels, *size)
    if tuple(offset.shape) != expected:
        raise OperatorError(f"offset has shape {_show(offset)}; x of shape {_show(x)} needs {expected}")
    if offset.dtype not in (x.dtype, torch.float32):
        raise OperatorError(f"offset is {offset.dtype}; x is {x.dtype}, so it must be that or torch.float32")
    _check_device("offset", x, offset)


def check_weight(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """weight is (O, C // groups, kh, kw) and bias (O,), both of x's dtype and device."""
    if groups < 1 or x.shape[1] % groups:
        raise OperatorError(f"groups is {groups}; it must divide the {x.shape[1]} channels of x")
    if weight.dim() != 4 or weight.shape[1] != x.shape[1] // groups or min(weight.shape) < 1:
        expected = f"(O, {x.shape[1] // groups}, kh, kw)"
        raise OperatorError(
            f"weight has shape {_show(weight)}; x of shape {_show(x)} in {groups} groups needs {expected}"
        )
    if weight.shape[0] % groups:
        raise OperatorError(f"weight has shape {_show(weight)}; its first size must be a multiple of groups={groups}")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise OperatorError(f"bias has shape {_show(bias)}; weight of shape {_show(weight)} needs ({weight.shape[0]},)")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != x.dtype:
            raise OperatorError(f"{name} is {tensor.dtype} and x is {x.dtype}; convert one of them")
        if tensor is not None:
            _check_device(name, x, tensor)


def check_taps(x: Tensor, taps: Taps, layout: OffsetLayout) -> tuple[int, int]:
    """Returns the output's rows and columns."""
    check_choice("offset_layout", layout, OffsetLayout)
    if layout == "released" and taps.kernel != (3, 3):
        raise OperatorError(f"the kernel is {taps.kernel}; offset_layout='released' is defined for (3, 3)")
    height, width = taps.output_size(x.shape[2], x.shape[3], layout)
    if height < 1 or width < 1:
        raise OperatorError(f"x of shape {_show(x)} is smaller than {taps}: the output would be ({height}, {width})")
    return height, width


def check_choice(name: str, value: str, kind: Any) -> None:
    """`value` is one of the strings of the Literal `kind`."""
    if value not in get_args(kind):
        raise OperatorError(f"{name} is {value!r}; expected one of {', '.join(get_args(kind))}")


def _check_device(name: str, x: Tensor, tensor: Tensor) -> None:
    if tensor.device != x.device:
        raise OperatorError(f"{name} is on {tensor.device} and x on {x.device}; move one of them")


def _pair(name: str, value: Pair, at_least: int) -> tuple[int, int]:
    rows, columns = (value, value) if isinstance(value, int) else value
    if not (at_least <= rows <= _LARGEST and at_least <= columns <= _LARGEST):
        raise OperatorError(f"{name} is {value}; expected whole numbers from {at_least} to {_LARGEST}")
    return rows, columns


def _show(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
