"""Networks and inputs with random numbers in every part, so that no detail hides behind a zero."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lcdc_extract.config import FEATURE_SIZE, PAPER, NetworkConfig
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.network.lcdc import LCDC, fold_batch_norm
from lcdc_extract.network.streaming import HeadTaps


def randomise(module: nn.Module, seed: int) -> None:
    """Batch norm statistics away from 0 and 1, biases that matter, offset layers that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.running_mean, 0.1, 0.2, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, 0.0, 0.2, generator=generator)
        elif getattr(layer, "bias", None) is not None:
            nn.init.normal_(layer.bias, 0.0, 0.2, generator=generator)
        if name.endswith("_offset"):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)


def small_head(seed: int = 0) -> TemporalHead:
    torch.manual_seed(seed)
    head = TemporalHead(appearance_channels=5, motion_channels=6, channels=7, size=4)
    randomise(head, seed)
    return head.eval().requires_grad_(False)


def streaming(head: TemporalHead) -> HeadTaps:
    folded = copy.deepcopy(head)
    fold_batch_norm(folded)
    return HeadTaps(folded)


def random_frames(count: int, seed: int = 0, channels: int = 5, size: int = 4) -> EncodedFrames:
    generator = torch.Generator().manual_seed(seed)
    appearance = torch.rand(count, channels, size, size, generator=generator)
    return EncodedFrames(appearance, 2 * torch.randn(count, 6, size, size, generator=generator))


def random_lcdc(config: NetworkConfig = PAPER, seed: int = 0) -> LCDC:
    """The full network with random numbers everywhere."""
    torch.manual_seed(seed)
    network = LCDC(config)
    randomise(network, seed)
    return network.requires_grad_(False)


def relative_l2(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.double() - expected.double()).norm() / expected.double().norm())


__all__ = ["FEATURE_SIZE", "random_frames", "random_lcdc", "randomise", "relative_l2", "small_head", "streaming"]
