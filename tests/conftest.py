"""Tests marked `gpu` skip where there is no CUDA device, and fail there when LCDC_REQUIRE_GPU=1 promises one."""

from __future__ import annotations

import os

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("LCDC_REQUIRE_GPU") == "1":
        pytest.fail("LCDC_REQUIRE_GPU=1, but torch sees no CUDA device")
    pytest.skip("needs a CUDA device")
