"""Decoded frames to network input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import FRAME_SIZE, PreprocessConfig


def preprocess(rgb: Tensor, config: PreprocessConfig, dtype: torch.dtype) -> Tensor:
    """Resizes to 224x224 ignoring the aspect ratio, bilinear with half-pixel centres, and subtracts the means.

    Args:
        rgb: (T, H, W, 3) uint8, on any device.
        dtype: of the result; the arithmetic is float32.

    Returns:
        (T, 3, 224, 224), R first, 0..255 minus the mean; nothing is divided.
    """
    x = rgb.permute(0, 3, 1, 2).float()
    size = (FRAME_SIZE, FRAME_SIZE)
    if x.shape[-2:] != size:
        x = functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=config.antialias)
    mean = torch.tensor(config.mean, device=x.device)[:, None, None]
    return (x - mean).to(dtype)
