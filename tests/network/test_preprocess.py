"""The resize against SciPy, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from lcdc_extract.config import PreprocessConfig
from lcdc_extract.network.preprocess import preprocess


@pytest.mark.parametrize("size", [(48, 64), (241, 321), (480, 640), (224, 224), (300, 100)])
def test_half_pixel_bilinear_then_minus_means(size: tuple[int, int]) -> None:
    height, width = size
    rgb = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    rows = np.clip((np.arange(224) + 0.5) * height / 224 - 0.5, 0, height - 1)
    columns = np.clip((np.arange(224) + 0.5) * width / 224 - 0.5, 0, width - 1)
    grid = np.meshgrid(rows, columns, indexing="ij")
    found = preprocess(torch.from_numpy(rgb), PreprocessConfig(), torch.float32).numpy()
    assert found.shape == (2, 3, 224, 224)
    for frame in range(2):
        for channel, mean in enumerate((123.68, 116.78, 103.94)):
            expected = map_coordinates(rgb[frame, :, :, channel].astype(float), grid, order=1) - mean
            np.testing.assert_allclose(
                found[frame, channel], expected, atol=0.02
            )  # grey levels of 255; the code is float32


def smoothing_matrix(size: int) -> np.ndarray[Any, Any]:
    """(224, size): weights of a triangle as wide as an output pixel, or two input pixels where that is more."""
    scale = size / 224
    centres = (np.arange(224) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = (1 - distance).clip(min=0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(480, 640), (100, 500)])
def test_antialias_smooths_what_becomes_smaller(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    found = preprocess(torch.from_numpy(rgb), PreprocessConfig(mean=(0, 0, 0), antialias=True), torch.float32).numpy()
    plain = preprocess(torch.from_numpy(rgb), PreprocessConfig(mean=(0, 0, 0)), torch.float32).numpy()
    for channel in range(3):
        expected = smoothing_matrix(size[0]) @ rgb[0, :, :, channel].astype(float) @ smoothing_matrix(size[1]).T
        np.testing.assert_allclose(found[0, channel], expected, atol=0.02)
    assert np.abs(found - plain).max() > 10
