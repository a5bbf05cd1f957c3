"""conv1 .. conv_new_1 of Table 4: everything that looks at one frame alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.config import NetworkConfig
from lcdc_extract.ops import DeformConv2d

DEFORMABLE_BLOCKS = ("5a", "5b", "5c")
"""The blocks whose offsets are the motion: all of stage 5."""


@dataclass(frozen=True)
class EncodedFrames:
    """What the temporal head needs of T frames."""

    appearance: Tensor
    """(T, 256, 14, 14): conv_new_1 after its ReLU."""
    offsets: Tensor
    """(T, 6, 14, 14) float32: offsets of res5a, res5b and res5c, each (dy, dx) in cells of the 14x14 map;
    3 x 18 channels where the network is per-tap deformable."""

    def __post_init__(self) -> None:
        if len(self.appearance) != len(self.offsets):
            raise ValueError(f"{len(self.appearance)} frames of appearance, {len(self.offsets)} of offsets")

    def __len__(self) -> int:
        return len(self.appearance)

    def __getitem__(self, frames: slice) -> EncodedFrames:
        return EncodedFrames(self.appearance[frames], self.offsets[frames])


class FrameEncoder(nn.Module):
    """ResNet-50 with locally consistent deformable res5 blocks, down to conv_new_1; frames do not see each other."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=True)
        self.bn_conv1 = nn.BatchNorm2d(64, eps=config.batch_norm_epsilon)
        self.res2 = _stage(config, inputs=64, width=64, blocks="abc", stride=1)
        self.res3 = _stage(config, inputs=256, width=128, blocks="abcd", stride=2)
        self.res4 = _stage(config, inputs=512, width=256, blocks="abcdef", stride=2)
        self.res5 = DeformableStage(config, inputs=1024, width=512, blocks="abc")
        self.conv_new_1 = nn.Conv2d(2048, 256, 1, bias=True)

    def forward(self, frames: Tensor) -> EncodedFrames:
        """frames (T, 3, 224, 224), RGB with means subtracted, any floating dtype of the network's weights."""
        before, after = self.config.stem_padding
        x = functional.pad(frames, (before, after, before, after))
        x = functional.relu(self.bn_conv1(self.conv1(x)), inplace=True)  # (T, 64, 112, 112)
        x = functional.max_pool2d(x, 3, stride=2, padding=self.config.pool1_padding)  # (T, 64, 56, 56); released 55
        x = self.res2(x)  # (T, 256, 56, 56)
        x = self.res3(x)  # (T, 512, 28, 28)
        x = self.res4(x)  # (T, 1024, 14, 14)
        x, offsets = self.res5(x)  # (T, 2048, 14, 14), (T, 6, 14, 14)
        return EncodedFrames(functional.relu(self.conv_new_1(x), inplace=True), offsets)


class _Residual(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut. Each `bn_X` follows the convolution X; none of these has a bias.

    Args:
        inputs: channels of the input; the output has 4 * width.
        stride: of the block; the config says which convolution carries it.
        projected: whether the shortcut is a convolution (branch1) or the input itself.
    """

    def __init__(self, config: NetworkConfig, inputs: int, width: int, *, stride: int, projected: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if config.stride_position == "first_1x1" else (1, stride)
        epsilon = config.batch_norm_epsilon
        self.projected = projected
        if projected:
            self.branch1 = nn.Conv2d(inputs, 4 * width, 1, stride=stride, bias=False)
            self.bn_branch1 = nn.BatchNorm2d(4 * width, eps=epsilon)
        self.branch2a = nn.Conv2d(inputs, width, 1, stride=first, bias=False)
        self.bn_branch2a = nn.BatchNorm2d(width, eps=epsilon)
        self.make_branch2b(config, width, second)
        self.bn_branch2b = nn.BatchNorm2d(width, eps=epsilon)
        self.branch2c = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn_branch2c = nn.BatchNorm2d(4 * width, eps=epsilon)

    def make_branch2b(self, config: NetworkConfig, width: int, stride: int) -> None:
        """Adds the 3x3 convolution; its place between the others fixes the order of random numbers."""
        raise NotImplementedError

    def before_branch2b(self, x: Tensor) -> Tensor:
        """(T, inputs, H, W) -> (T, width, H, W)."""
        return functional.relu(self.bn_branch2a(self.branch2a(x)), inplace=True)

    def after_branch2b(self, y: Tensor, x: Tensor) -> Tensor:
        """(T, width, H, W), and the block's input for the shortcut -> (T, 4 * width, H, W)."""
        y = functional.relu(self.bn_branch2b(y), inplace=True)
        y = self.bn_branch2c(self.branch2c(y))
        y += self.bn_branch1(self.branch1(x)) if self.projected else x
        return functional.relu(y, inplace=True)


class Bottleneck(_Residual):
    """A bottleneck of ResNet-50."""

    def make_branch2b(self, config: NetworkConfig, width: int, stride: int) -> None:
        self.branch2b = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(T, inputs, H, W) -> (T, 4 * width, H / stride, W / stride)."""
        y = self.branch2b(self.before_branch2b(x))
        return self.after_branch2b(y, x)


class DeformableBottleneck(_Residual):
    """A bottleneck whose 3x3 convolution samples where `branch2b_offset` says (equations 13 to 16)."""

    def make_branch2b(self, config: NetworkConfig, width: int, stride: int) -> None:
        dilation = config.res5_dilation
        self.branch2b_offset = nn.Conv2d(width, config.offset_channels, 3, padding=dilation, dilation=dilation)
        nn.init.zeros_(self.branch2b_offset.weight)
        nn.init.zeros_(self.branch2b_offset.bias)  # type: ignore[arg-type]
        self.branch2b = DeformConv2d(
            width,
            width,
            3,
            padding=config.res5_padding,
            dilation=dilation,
            offset_layout=config.offset_layout,
            border=config.border,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T, inputs, 14, 14) -> (T, 2048, 14, 14), and the offsets D (T, 2, 14, 14), float32; 18 if per tap."""
        y = self.before_branch2b(x)
        # Motion is the small change of these from frame to frame, so they never run in half precision.
        with torch.autocast(y.device.type, enabled=False):
            offset = self.branch2b_offset(y.float())
        y = self.branch2b(y, offset)
        return self.after_branch2b(y, x), offset


class DeformableStage(nn.Module):
    """res5: deformable bottlenecks of stride 1, whose offsets are kept."""

    def __init__(self, config: NetworkConfig, inputs: int, width: int, blocks: str) -> None:
        super().__init__()
        for block in blocks:
            made = DeformableBottleneck(config, inputs, width, stride=1, projected=block == "a")
            self.add_module(block, made)
            inputs = 4 * width

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T, 1024, 14, 14) -> (T, 2048, 14, 14), and the offsets of all blocks, (T, 6, 14, 14) float32."""
        offsets = []
        for block in self.children():
            x, offset = block(x)
            offsets.append(offset)
        return x, torch.cat(offsets, dim=1)


def _stage(config: NetworkConfig, inputs: int, width: int, blocks: str, stride: int) -> nn.Sequential:
    """Bottlenecks named a, b, c ...; the first has the stage's stride and a projected shortcut."""
    made = OrderedDict[str, nn.Module]()
    for block in blocks:
        first = block == "a"
        made[block] = Bottleneck(config, inputs, width, stride=stride if first else 1, projected=first)
        inputs = 4 * width
    return nn.Sequential(made)
