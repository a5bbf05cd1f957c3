"""conv1 .. conv_new_1 of Table 4: everything that looks at one frame alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.config import NetworkConfig
from lcdc_extract.ops import DeformConv2d

STAGES = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
"""Blocks of each ResNet-50 stage; block "a" of stage 4 is named 4a."""

WIDTHS = {2: 64, 3: 128, 4: 256, 5: 512}
"""Channels inside a bottleneck; its output has four times as many."""

DEFORMABLE_BLOCKS = ("5a", "5b", "5c")


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
        self.bn_conv1 = self._batch_norm(64)
        channels = 64
        for stage, blocks in STAGES.items():
            for block in blocks:
                self._add_bottleneck(f"{stage}{block}", channels, WIDTHS[stage], projected=block == "a")
                channels = 4 * WIDTHS[stage]
        self.conv_new_1 = nn.Conv2d(channels, 256, 1, bias=True)

    def forward(self, frames: Tensor) -> EncodedFrames:
        """frames (T, 3, 224, 224), RGB with means subtracted, any floating dtype of the network's weights."""
        before, after = self.config.stem_padding
        x = functional.pad(frames, (before, after, before, after))
        x = functional.relu(self.bn_conv1(self.conv1(x)), inplace=True)  # (T, 64, 112, 112)
        x = functional.max_pool2d(x, 3, stride=2, padding=self.config.pool1_padding)  # (T, 64, 56, 56); released 55
        offsets = []
        for stage, blocks in STAGES.items():
            for block in blocks:
                x, offset = self._bottleneck(f"{stage}{block}", x)
                offsets += [] if offset is None else [offset]
        appearance = functional.relu(self.conv_new_1(x), inplace=True)  # (T, 256, 14, 14)
        return EncodedFrames(appearance, torch.cat(offsets, dim=1))

    def _bottleneck(self, block: str, x: Tensor) -> tuple[Tensor, Tensor | None]:
        layer = self.get_submodule
        shortcut = x
        if hasattr(self, f"res{block}_branch1"):
            shortcut = layer(f"bn{block}_branch1")(layer(f"res{block}_branch1")(x))
        y = layer(f"bn{block}_branch2a")(layer(f"res{block}_branch2a")(x))
        y = functional.relu(y, inplace=True)
        offset = None
        if block in DEFORMABLE_BLOCKS:
            # Motion is the small change of these from frame to frame, so they never run in half precision.
            with torch.autocast(y.device.type, enabled=False):
                offset = layer(f"res{block}_branch2b_offset")(y.float())
            y = layer(f"res{block}_branch2b")(y, offset)
        else:
            y = layer(f"res{block}_branch2b")(y)
        y = functional.relu(layer(f"bn{block}_branch2b")(y), inplace=True)
        y = layer(f"bn{block}_branch2c")(layer(f"res{block}_branch2c")(y))
        y += shortcut
        return functional.relu(y, inplace=True), offset

    def _add_bottleneck(self, block: str, inputs: int, width: int, projected: bool) -> None:
        config = self.config
        stride = 2 if block in ("3a", "4a") else 1
        first, second = (stride, 1) if config.stride_position == "first_1x1" else (1, stride)
        if projected:
            self._add(block, "branch1", nn.Conv2d(inputs, 4 * width, 1, stride=stride, bias=False))
        self._add(block, "branch2a", nn.Conv2d(inputs, width, 1, stride=first, bias=False))
        if block in DEFORMABLE_BLOCKS:
            dilation = config.res5_dilation
            learner = nn.Conv2d(width, config.offset_channels, 3, padding=dilation, dilation=dilation)
            nn.init.zeros_(learner.weight)
            nn.init.zeros_(learner.bias)  # type: ignore[arg-type]
            self.add_module(f"res{block}_branch2b_offset", learner)
            deformable = DeformConv2d(
                width,
                width,
                3,
                padding=config.res5_padding,
                dilation=dilation,
                offset_layout=config.offset_layout,
                border=config.border,
            )
            self._add(block, "branch2b", deformable)
        else:
            self._add(block, "branch2b", nn.Conv2d(width, width, 3, stride=second, padding=1, bias=False))
        self._add(block, "branch2c", nn.Conv2d(width, 4 * width, 1, bias=False))

    def _add(self, block: str, branch: str, convolution: nn.Conv2d | DeformConv2d) -> None:
        self.add_module(f"res{block}_{branch}", convolution)
        self.add_module(f"bn{block}_{branch}", self._batch_norm(convolution.weight.shape[0]))

    def _batch_norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.config.batch_norm_epsilon)
