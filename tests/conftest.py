"""Fixtures every part of the tests may use, and the rule for tests that need a GPU."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Shells start background jobs with Ctrl-C ignored, which the processes that the tests start would inherit."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` skip where there is no CUDA device, and fail there when LCDC_REQUIRE_GPU=1 promises one."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("LCDC_REQUIRE_GPU") == "1":
        pytest.fail("LCDC_REQUIRE_GPU=1, but torch sees no CUDA device")
    pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full network with random numbers everywhere, offsets included, in a weights file."""
    from lcdc_extract.weights.file import WeightsInfo, save_weights
    from tests.network.random_networks import random_lcdc

    network = random_lcdc()
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, network, WeightsInfo(trained=True, network=network.config))
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two good videos, long/a.mp4 (23 frames) and b.mkv (18 frames)."""
    from tests.clips import render_clip  # needs PyAV, which a GPU machine may lack

    folder = tmp_path_factory.mktemp("videos")
    render_clip(folder / "long" / "a.mp4", num_frames=23)
    render_clip(folder / "b.mkv", num_frames=18, size=(80, 60))
    return folder
