"""The operators as layers. They hold a weight and perhaps a bias; offsets come in with the input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.errors import OperatorError
from lcdc_extract.ops.operators import deform_conv2d
from lcdc_extract.ops.shapes import Pair


class DeformConv2d(nn.Module):
    """`deform_conv2d` with its weight, initialised as `nn.Conv2d` does."""

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = False,
        offset_layout: OffsetLayout = "per_tap",
        border: Border = "zero",
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise OperatorError(f"groups is {groups}; it must divide {in_channels} and {out_channels} channels")
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups, self.offset_groups = groups, offset_groups
        self.offset_layout, self.border = offset_layout, border
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(fan in), as `nn.Conv2d`."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """x (N, C, H, W), offset as the layout says -> (N, O, Ho, Wo)."""
        return deform_conv2d(
            x,
            offset,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            offset_groups=self.offset_groups,
            offset_layout=self.offset_layout,
            border=self.border,
        )

    def extra_repr(self) -> str:
        out_channels, _, *kernel = self.weight.shape
        return (
            f"{self.weight.shape[1] * self.groups}, {out_channels}, kernel_size={tuple(kernel)}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"offset_groups={self.offset_groups}, offset_layout={self.offset_layout!r}, border={self.border!r}"
        )


class LocallyConsistentConv2d(DeformConv2d):
    """`locally_consistent_conv2d` with its weight: offset is (N, 2 * offset_groups, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = False,
        border: Border = "zero",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            offset_groups=offset_groups,
            bias=bias,
            offset_layout="per_site",
            border=border,
        )
