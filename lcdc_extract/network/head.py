"""spacetime_fusion .. fc_new_2 of Table 4, one snippet of 16 frames at a time.

This is the reference: `streaming.py` computes the same features with the work shared between overlapping windows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.config import FEATURE_SIZE, SNIPPET_LENGTH
from lcdc_extract.ops import receptive_field_motion

TIME_TAPS = 4
"""spacetime_conv1 and spacetime_conv2 look at steps t-1, t, t+1 and t+2."""


class TemporalHead(nn.Module):
    """Fuses appearance with the change of the offsets, and convolves over space and time.

    The defaults are Table 4's; other sizes serve tests.

    Args:
        motion_channels: offset channels of one frame, over all deformable layers.
        size: height and width of the maps, even.
    """

    def __init__(
        self,
        *,
        appearance_channels: int = 256,
        motion_channels: int = 6,
        channels: int = 256,
        size: int = 14,
        features: int = FEATURE_SIZE,
        num_classes: int = 0,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        kernel, fused = (TIME_TAPS, 3, 3), appearance_channels + motion_channels
        self.spacetime_conv1 = nn.Conv3d(fused, channels, kernel, padding=(0, 1, 1), bias=False)
        self.bn_spacetime_conv1 = nn.BatchNorm3d(channels, eps=epsilon)
        self.spacetime_conv2 = nn.Conv3d(channels, channels, kernel, padding=(0, 1, 1), bias=False)
        self.bn_spacetime_conv2 = nn.BatchNorm3d(channels, eps=epsilon)
        self.fc_new_1 = nn.Linear(channels * (size // 2) ** 2, features)
        self.fc_new_2 = nn.Linear(features, features)
        if num_classes:
            self.cls_score = nn.Linear(features, num_classes)

    def forward(self, appearance: Tensor, offsets: Tensor) -> Tensor:
        """fc_new_2 of whole snippets.

        Args:
            appearance: (N, 16, 256, 14, 14).
            offsets: (N, 16, 6, 14, 14), in cells of the 14x14 map.

        Returns:
            (N, 1024), not negative.
        """
        return self.features(self.reduce(appearance, offsets))

    def reduce(self, appearance: Tensor, offsets: Tensor) -> Tensor:
        """spacetime_fusion .. spacetime_reduce: as `forward`, for maps of any size; returns (N, 256, 14, 14)."""
        if appearance.shape[1] != SNIPPET_LENGTH:
            raise ValueError(f"a snippet has {SNIPPET_LENGTH} frames; found {appearance.shape[1]}")
        motion = receptive_field_motion(offsets, dim=1).to(appearance.dtype)  # (N, 15, 6, 14, 14)
        x = torch.cat([appearance[:, :-1], motion], dim=2).transpose(1, 2)  # (N, 262, 15, 14, 14)
        for convolution, norm in (
            (self.spacetime_conv1, self.bn_spacetime_conv1),
            (self.spacetime_conv2, self.bn_spacetime_conv2),
        ):
            x = convolution(functional.pad(x, (0, 0, 0, 0, 1, 2)))  # time: one step before, two after
            x = functional.max_pool3d(functional.relu(norm(x), inplace=True), (2, 1, 1))  # 15 -> 7, then 7 -> 3 steps
        return x.mean(dim=2)

    def features(self, reduced: Tensor) -> Tensor:
        """pool_new, fc_new_1, fc_new_2 of spacetime_reduce (N, 256, 14, 14); returns (N, 1024)."""
        x = functional.max_pool2d(reduced, 2).flatten(1)  # (N, 256 * 7 * 7) in (C, H, W) order
        return functional.relu(self.fc_new_2(functional.relu(self.fc_new_1(x), inplace=True)), inplace=True)
