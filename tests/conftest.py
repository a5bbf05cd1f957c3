"""Fixtures every part of the tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcdc_extract.weights.file import WeightsInfo, save_weights
from tests.clips import render_clip
from tests.network.random_networks import random_lcdc


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full network with random numbers everywhere, offsets included, in a weights file."""
    network = random_lcdc()
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, network, WeightsInfo(trained=True, network=network.config))
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two good videos, long/a.mp4 (23 frames) and b.mkv (18 frames)."""
    folder = tmp_path_factory.mktemp("videos")
    render_clip(folder / "long" / "a.mp4", num_frames=23)
    render_clip(folder / "b.mkv", num_frames=18, size=(80, 60))
    return folder
