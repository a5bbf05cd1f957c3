"""The network as it is trained: with a classifier, and with helpers that the finished network does not have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.config import SNIPPET_LENGTH
from lcdc_extract.network.encoder import DEFORMABLE_BLOCKS, EncodedFrames
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.ops import receptive_field_motion

CELL = 16
"""Pixels from one cell of res5's map to the next."""
ACTOR_PARTS = 3
MOTION_GAIN = 10.0
"""How much larger spacetime_conv1 starts on the six motion channels: offset differences are about a tenth of a cell."""


@dataclass(frozen=True)
class Scores:
    """Class scores of N clips at W windows each, before softmax."""

    cls_score: Tensor
    """(N, W, classes)."""
    motion: Tensor
    """(N, W, classes): from the offset differences alone."""


class TrainingNetwork(nn.Module):
    """LCDC with cls_score and two helpers: a classifier that sees nothing but offset differences, so that the offsets
    learn to follow motion, and a locator of the synthetic actor's parts in single frames.
    """

    def __init__(self, lcdc: LCDC) -> None:
        super().__init__()
        self.lcdc = lcdc
        channels = len(DEFORMABLE_BLOCKS) * lcdc.config.offset_channels
        self.motion_classifier = MotionClassifier(channels, lcdc.config.num_classes)
        self.locator = nn.Conv2d(256, 3 * ACTOR_PARTS, 1)

    def forward(self, clips: Tensor, starts: Sequence[int]) -> Scores:
        """Scores of windows.

        Args:
            clips: (N, T, 3, H, W), RGB with means subtracted; 224x224, or smaller multiples of 32 (see `features`).
            starts: first frame of each window.
        """
        encoded = self.lcdc.encoder(clips.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        appearance, offsets = (x.unflatten(0, clips.shape[:2]) for x in (encoded.appearance, encoded.offsets))
        return self.classify(appearance, offsets, starts)

    def classify(self, appearance: Tensor, offsets: Tensor, starts: Sequence[int]) -> Scores:
        """Scores from encoded clips: appearance (N, T, 256, h, w), offsets (N, T, 6, h, w)."""
        size = (len(appearance), len(starts))
        appearance, offsets = (
            torch.stack([x[:, start : start + SNIPPET_LENGTH] for start in starts], dim=1).flatten(0, 1)
            for x in (appearance, offsets)
        )
        head = self.lcdc.head
        scores = head.cls_score(features(head, head.reduce(appearance, offsets)))
        motion = self.motion_classifier(receptive_field_motion(offsets, dim=1))
        return Scores(scores.unflatten(0, size), motion.unflatten(0, size))

    def locate(self, frames: Tensor) -> Tensor:
        """Maps of where the actor's parts are in single frames (N, 3, H, W): (N, 3, 3, h, w), read by `location_loss`.

        Per part: the score of each cell to hold its centre, and x and y of the centre from the middle of the cell, in
        cells.
        """
        encoded: EncodedFrames = self.lcdc.encoder(frames.contiguous(memory_format=torch.channels_last))
        maps: Tensor = self.locator(encoded.appearance)
        return maps.reshape(len(maps), ACTOR_PARTS, 3, *maps.shape[2:])


def location_loss(maps: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and mean error of `TrainingNetwork.locate`: cross-entropy over cells, Huber for the place in the right one.

    Args:
        maps: (N, 3, 3, h, w).
        points: (N, 3, 2), x and y in pixels; those outside the frame are left out.

    Returns:
        The loss, and the distance in pixels from the best cell's guess to the point, both scalars.
    """
    height, width = maps.shape[-2:]
    cells = (points / CELL).floor().long()
    seen = ((cells >= 0) & (cells < torch.tensor([width, height], device=cells.device))).all(dim=-1)
    scores, guesses, points, cells = (
        maps[:, :, 0].flatten(2)[seen],
        maps[:, :, 1:].flatten(3)[seen],
        points[seen],
        cells[seen],
    )
    number = cells[:, 1] * width + cells[:, 0]
    right = guesses.gather(2, number[:, None, None].expand(-1, 2, 1)).squeeze(2)
    loss = functional.cross_entropy(scores, number) + functional.smooth_l1_loss(
        right, points / CELL - cells - 0.5, beta=0.2
    )
    best = scores.argmax(dim=1)
    guess = guesses.gather(2, best[:, None, None].expand(-1, 2, 1)).squeeze(2)
    found = (torch.stack([best % width, best // width], dim=1) + 0.5 + guess) * CELL
    return loss, (found - points).norm(dim=1).mean()


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


def initialise(network: LCDC, generator: torch.Generator) -> None:
    """Weights to start training from scratch, in place.

    He et al. 2015 for everything before a ReLU; the last batch norm of each residual branch starts at 0 (Goyal et al.
    2017); offset layers start small but not at 0, or nothing would tell them which way to move.
    """
    for name, parameter in network.encoder.named_parameters():
        layer, kind = name.split(".")
        if layer.endswith("branch2b_offset") and kind == "weight":
            nn.init.normal_(parameter, std=1e-3, generator=generator)
        elif parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        elif kind == "bias" or (layer.startswith("bn") and layer.endswith("branch2c")):
            nn.init.zeros_(parameter)
    initialise_head(network.head, generator)


def initialise_head(head: TemporalHead, generator: torch.Generator) -> None:
    """The temporal head alone, for a network whose encoder comes from elsewhere."""
    motion = head.spacetime_conv1.in_channels - 256
    with torch.no_grad():
        for convolution in (head.spacetime_conv1, head.spacetime_conv2):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        head.spacetime_conv1.weight[:, -motion:] *= MOTION_GAIN
        for layer in (head.fc_new_1, head.fc_new_2, head.cls_score):
            nn.init.zeros_(layer.bias)
        cell = torch.empty(head.fc_new_1.out_features, 256)
        nn.init.kaiming_normal_(cell, nonlinearity="relu", generator=generator)
        cells = head.fc_new_1.in_features // 256
        head.fc_new_1.weight.copy_((cell / 3).repeat_interleave(cells, dim=1))
        nn.init.kaiming_normal_(head.fc_new_2.weight, nonlinearity="relu", generator=generator)
        nn.init.normal_(head.cls_score.weight, std=0.01, generator=generator)
