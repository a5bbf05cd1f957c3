"""The network on a GPU against the same network on the CPU."""

from __future__ import annotations

import pytest
import torch

from lcdc_extract import Extractor
from lcdc_extract.config import PAPER, RELEASED, NetworkConfig
from lcdc_extract.weights.file import WeightsInfo, save_weights
from tests.network.random_networks import random_lcdc, relative_l2

FRAMES = 24


@pytest.mark.gpu
@pytest.mark.parametrize("config", [PAPER, RELEASED], ids=["paper", "released"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_features_are_the_cpus(config: NetworkConfig, precision: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, random_lcdc(config), WeightsInfo(trained=True, network=config))
    expected = features(str(path), "cpu", "float32")
    found = features(str(path), "cuda", precision)
    assert found.isfinite().all()
    if precision == "float32":
        assert relative_l2(found, expected) < 1e-4
    else:
        assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.999


def features(weights: str, device: str, precision: str) -> torch.Tensor:
    """Rows of a random video."""
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (FRAMES, 60, 80, 3), generator=generator, dtype=torch.uint8)
    extractor = Extractor(weights, device=device, precision=precision, batch_size=7)
    return torch.from_numpy(extractor.features(video.numpy()))
