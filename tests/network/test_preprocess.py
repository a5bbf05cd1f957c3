"""The resize against SciPy, coordinate by coordinate."""

from __future__ import annotations

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
