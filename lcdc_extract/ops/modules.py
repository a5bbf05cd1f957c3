"""The operator as a layer, for the network's res5 blocks."""

from __future__ import annotations

from torch import Tensor, nn

from lcdc_extract.config import Border, OffsetLayout
from lcdc_extract.ops.geometry import Pair
from lcdc_extract.ops.operators import deform_conv2d


class DeformConv2d(nn.Conv2d):
    """An `nn.Conv2d`, without bias by default, whose offsets come in with its input; options as of `deform_conv2d`."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

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
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.offset_groups, self.offset_layout, self.border = offset_groups, offset_layout, border

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:  # type: ignore[override]
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
        added = f"offset_groups={self.offset_groups}, offset_layout={self.offset_layout!r}, border={self.border!r}"
        return f"{super().extra_repr()}, {added}"  # type: ignore[no-untyped-call, unused-ignore]
