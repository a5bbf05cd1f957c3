"""The network as it is trained: with a classifier, and with helpers that the finished network does not have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.config import SNIPPET_LENGTH
from lcdc_extract.network.encoder import DEFORMABLE_BLOCKS, EncodedFrames, FrameEncoder
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.ops import receptive_field_motion
from lcdc_extract.synth.scene import LAYOUT_CLASSES

LAYOUT_STRIDE = 4
"""Pixels from one place of a layout to the next; res5's cells are 16 pixels apart."""
APPEARANCE_GAIN = 0.1
"""How much smaller conv_new_1 starts than He et al. say: what a frame shows must not drown what changes."""


@dataclass(frozen=True)
class Scores:
    """Class scores of N clips at W windows each, before softmax."""

    cls_score: Tensor
    """(N, W, classes)."""
    motion: Tensor
    """(N, W, classes): from the offset differences alone."""
    layout: Tensor | None = None
    """(N, T, LAYOUT_CLASSES, H / 4, W / 4): what each frame shows where."""


class TrainingNetwork(nn.Module):
    """LCDC with cls_score and two helpers: a classifier that sees nothing but offset differences, so that the offsets
    learn to follow motion, and one that says what is where in single frames.
    """

    def __init__(self, lcdc: LCDC, motion_gain: float = 1.0) -> None:
        """Takes over `lcdc`, whose spacetime_conv1 must have been through `divide_motion` by the same gain."""
        super().__init__()
        self.lcdc = lcdc
        self.motion_gain = motion_gain
        self._frozen: tuple[FrameEncoder, ...] = ()  # a tuple, so that it is no part of the state
        channels = len(DEFORMABLE_BLOCKS) * lcdc.config.offset_channels
        self.motion_classifier = MotionClassifier(channels, lcdc.config.num_classes)
        self.layout_classifier = nn.Conv2d(256, len(LAYOUT_CLASSES) * (16 // LAYOUT_STRIDE) ** 2, 1)

    def forward(self, clips: Tensor, starts: Sequence[int], with_layout: bool = False) -> Scores:
        """Scores of windows.

        Args:
            clips: (N, T, 3, H, W), RGB with means subtracted; 224x224, or smaller multiples of 32 (see `features`).
            starts: first frame of each window.
            with_layout: whether to fill in `Scores.layout`.
        """
        encoder = self._frozen[0] if self._frozen else self.lcdc.encoder
        encoded = encoder(clips.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        appearance, offsets = (x.unflatten(0, clips.shape[:2]) for x in (encoded.appearance, encoded.offsets))
        scores = self.classify(appearance, offsets, starts)
        if not with_layout:
            return scores
        layout = self._layout(encoded)
        return replace(scores, layout=layout.reshape(*clips.shape[:2], *layout.shape[1:]))

    def freeze_encoder(self, frozen: bool) -> None:
        """Whether `forward` takes the encoder as it is now with its batch norm folded: the same function, faster."""
        device = self.layout_classifier.weight.device
        self._frozen = (self.lcdc.for_extraction(device, torch.float32).encoder,) if frozen else ()

    def classify(self, appearance: Tensor, offsets: Tensor, starts: Sequence[int]) -> Scores:
        """Scores from encoded clips: appearance (N, T, 256, h, w), offsets (N, T, 6, h, w)."""
        size = (len(appearance), len(starts))
        appearance, offsets = (
            torch.stack([x[:, start : start + SNIPPET_LENGTH] for start in starts], dim=1).flatten(0, 1)
            for x in (appearance, offsets)
        )
        head = self.lcdc.head
        scores = head.cls_score(features(head, head.reduce(appearance, offsets * self.motion_gain)))
        motion = self.motion_classifier(receptive_field_motion(offsets, dim=1))
        return Scores(scores.unflatten(0, size), motion.unflatten(0, size))

    def layout(self, frames: Tensor) -> Tensor:
        """Scores of what is where in single frames: (N, 3, H, W) -> (N, LAYOUT_CLASSES, H / 4, W / 4)."""
        return self._layout(self.lcdc.encoder(frames.contiguous(memory_format=torch.channels_last)))

    def _layout(self, encoded: EncodedFrames) -> Tensor:
        return functional.pixel_shuffle(self.layout_classifier(encoded.appearance), 16 // LAYOUT_STRIDE)


class MotionClassifier(nn.Module):
    """Two 3-D convolutions and a pooled linear layer on r[t] (N, 15, 6, h, w); returns (N, classes)."""

    def __init__(self, channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, width, (4, 3, 3), padding=(1, 1, 1))
        self.conv2 = nn.Conv3d(width, width, (4, 3, 3), padding=(1, 1, 1))
        self.linear = nn.Linear(width, classes)

    def forward(self, motion: Tensor) -> Tensor:
        x = functional.relu(self.conv1(self.norm(motion.transpose(1, 2))))
        x = functional.relu(self.conv2(functional.max_pool3d(x, (2, 1, 1))))
        scores: Tensor = self.linear(x.amax(dim=(2, 3, 4)))
        return scores


def features(head: TemporalHead, reduced: Tensor) -> Tensor:
    """fc_new_2 of spacetime_reduce (N, 256, h, w); returns (N, 1024).

    fc_new_1 has weights for 7x7 cells. Smaller maps see the mean of its cells' weights, summed over the cells there
    are: with equal weights per cell, as `initialise` makes them, that is the same function of a scene cropped closer.
    """
    size = math.isqrt(head.fc_new_1.in_features // reduced.shape[1])
    if reduced.shape[-2:] == (2 * size, 2 * size):
        return head.features(reduced)
    per_cell = head.fc_new_1.weight.reshape(-1, reduced.shape[1], size * size).mean(dim=-1)
    cells = functional.max_pool2d(reduced, 2).sum(dim=(2, 3))
    x = functional.relu(functional.linear(cells, per_cell, head.fc_new_1.bias))
    return functional.relu(head.fc_new_2(x))


def initialise(network: LCDC, generator: torch.Generator, motion_gain: float = 1.0) -> None:
    """Weights to start training from scratch, in place.

    He et al. 2015 for everything before a ReLU; the last batch norm of each residual branch starts at 0 (Goyal et al.
    2017); offset layers start small but not at 0, or nothing would tell them which way to move.
    """
    for name, parameter in network.encoder.named_parameters():
        *_, layer, kind = name.split(".")
        if layer.endswith("branch2b_offset") and kind == "weight":
            nn.init.normal_(parameter, std=1e-3, generator=generator)
        elif parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
            if layer == "conv_new_1":
                with torch.no_grad():
                    parameter.mul_(APPEARANCE_GAIN)
        elif kind == "bias" or (layer.startswith("bn") and layer.endswith("branch2c")):
            nn.init.zeros_(parameter)
    initialise_head(network.head, generator, motion_gain)


def divide_motion(head: TemporalHead, gain: float) -> None:
    """Divides spacetime_conv1's weights on the motion channels, in place; by 1 / gain takes that back.

    Offset differences are about a twentieth of a cell, so small next to what a frame shows that training does not find
    them. It therefore sees them `gain` times larger, with weights that are smaller by as much: the same function.
    """
    motion = head.spacetime_conv1.in_channels - 256
    with torch.no_grad():
        head.spacetime_conv1.weight[:, -motion:] /= gain


def initialise_head(head: TemporalHead, generator: torch.Generator, motion_gain: float = 1.0) -> None:
    """The temporal head alone, for a network whose encoder comes from elsewhere; see `divide_motion` for the gain."""
    with torch.no_grad():
        for convolution in (head.spacetime_conv1, head.spacetime_conv2):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        for layer in (head.fc_new_1, head.fc_new_2, head.cls_score):
            nn.init.zeros_(layer.bias)
        cell = torch.empty(head.fc_new_1.out_features, 256)
        nn.init.kaiming_normal_(cell, nonlinearity="relu", generator=generator)
        cells = head.fc_new_1.in_features // 256
        head.fc_new_1.weight.copy_((cell / 3).repeat_interleave(cells, dim=1))
        nn.init.kaiming_normal_(head.fc_new_2.weight, nonlinearity="relu", generator=generator)
        nn.init.normal_(head.cls_score.weight, std=0.01, generator=generator)
    divide_motion(head, 1 / motion_gain)
