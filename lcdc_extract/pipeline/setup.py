"""What a run works with once the options, the weights and the machine are put together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.devices import choose_device
from lcdc_extract.weights.file import Weights
from lcdc_extract.weights.resolve import resolve_weights


@dataclass(frozen=True)
class Setup:
    """Nothing is left open here."""

    weights: Weights
    sampling: Sampling
    device: torch.device


def set_up(config: ExtractConfig) -> Setup:
    """Chooses the device, loads the weights, and fills in what the options leave to them.

    Raises:
        DeviceError: the device is not there.
        WeightsError: the weights cannot be used.
    """
    device = choose_device(config.device)
    weights = resolve_weights(config.weights)
    return Setup(weights, config.sampling(weights.info.sampling), device)
