"""Inputs, tolerances and devices that the operator's tests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.ops import oracle
from tests.ops.oracle import Settings

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
IMPLEMENTATIONS = ["reference", "native"]
LAYOUTS = ["per_tap", "per_site", "released"]
BORDERS = ["zero", "released"]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]

TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Largest error allowed, over the largest value. Half types: about two units in the last place, one rounding of the
sampled values and one of the result; x and weight are rounded before either side sees them."""


@dataclass
class Case:
    """One problem. No two sizes are equal, so that a swap cannot pass."""

    x: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor
    settings: Settings

    @property
    def options(self) -> dict[str, Any]:
        return dict(vars(self.settings))

    def to(self, device: str, dtype: torch.dtype, offset_dtype: torch.dtype | None = None) -> Case:
        x, weight, bias = (tensor.to(device, dtype) for tensor in (self.x, self.weight, self.bias))
        return Case(x, self.offset.to(device, offset_dtype or dtype), weight, bias, self.settings)

    def expected(self) -> Tensor:
        tensors = (self.x, self.offset, self.weight, self.bias)
        x, offset, weight, bias = (tensor.detach().double().cpu().numpy() for tensor in tensors)
        return torch.from_numpy(oracle.deform_conv2d(x, offset, weight, bias, self.settings))


def make_case(layout: str = "per_tap", border: str = "zero", batch: int = 2, seed: int = 0, **changes: Any) -> Case:
    """A case in float64 on the CPU, with offsets of about two pixels, some of them leaving the image."""
    released = layout == "released"
    options: dict[str, Any] = {"stride": (2, 1), "padding": (1, 3), "dilation": (2, 1)}
    if released:
        options = {"stride": (1, 1), "padding": (1, 1), "dilation": (2, 2)}
    settings = Settings(**{**options, "offset_layout": layout, "border": border, **changes})
    channels, out_channels, (height, width) = 8, 12, (7, 5)
    kernel = (3, 3) if released else (3, 2)
    reach = (1, 1) if released else settings.dilation
    size = [
        (pixels + 2 * pad - step * (taps - 1) - 1) // stride + 1
        for pixels, pad, step, taps, stride in zip(
            (height, width), settings.padding, reach, kernel, settings.stride, strict=True
        )
    ]
    pairs = settings.offset_groups * (kernel[0] * kernel[1] if layout == "per_tap" else 1)
    offset_size = (height, width) if layout == "per_site" else tuple(size)
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.from_numpy(random.normal(scale=scale, size=shape))

    return Case(
        normal(batch, channels, height, width),
        normal(batch, 2 * pairs, *offset_size, scale=2.0),
        normal(out_channels, channels // settings.groups, *kernel, scale=0.3),
        normal(out_channels),
        settings,
    )


def error(got: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value; infinite where `got` is not finite."""
    assert got.shape == expected.shape
    if expected.numel() == 0:
        return 0.0
    difference = (got.detach().double().cpu() - expected.detach().double().cpu()).abs()
    if not bool(difference.isfinite().all()):
        return float("inf")
    return float(difference.max() / expected.detach().abs().max().clamp(min=1e-30))


def leaves(case: Case) -> list[Tensor]:
    """The case's tensors as leaves that want gradients: x, offset, weight, bias."""
    return [t.detach().clone().requires_grad_() for t in (case.x, case.offset, case.weight, case.bias)]
