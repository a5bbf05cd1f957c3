"""What a change of the numbers does to the features, on inputs that are the same on every machine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import SNIPPET_LENGTH, PreprocessConfig
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.preprocess import preprocess

SNIPPETS = 2
GRAINS = ((4, 60.0), (12, 30.0), (48, 12.0))
"""Cells across the picture and grey levels of each octave of a texture: mostly smooth, as photographs are."""
SHIFT_PX = 3
"""How far the texture moves from frame to frame."""


def storage_error(network: LCDC, stored: LCDC, config: PreprocessConfig) -> dict[str, float]:
    """fc_new_2 of `stored` against `network`, on moving textures.

    Returns:
        `relative_l2` over all snippets, and the smallest `cosine` of one.
    """
    snippets = torch.stack([preprocess(moving_texture(seed), config, torch.float32) for seed in range(SNIPPETS)])
    with torch.inference_mode():
        expected, found = network(snippets).double(), stored(snippets).double()  # (SNIPPETS, 1024)
    return {
        "relative_l2": float((found - expected).norm() / expected.norm()),
        "cosine": float(functional.cosine_similarity(found, expected).min()),
    }


def moving_texture(seed: int) -> Tensor:
    """(16, 224, 224, 3) uint8: smooth random colours that slide over the picture."""
    generator = torch.Generator().manual_seed(seed)
    travel = SHIFT_PX * SNIPPET_LENGTH
    canvas = torch.full((1, 3, 224, 224 + travel), 118.0)
    for cells, levels in GRAINS:
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        canvas += levels * functional.interpolate(noise, canvas.shape[-2:], mode="bicubic", align_corners=False)
    pixels = canvas[0].clamp(0, 255).to(torch.uint8).permute(1, 2, 0)  # (224, 272, 3)
    return torch.stack([pixels[:, SHIFT_PX * t : SHIFT_PX * t + 224] for t in range(SNIPPET_LENGTH)])
