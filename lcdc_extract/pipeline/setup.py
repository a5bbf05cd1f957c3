"""What a run works with once the options, the weights and the machine are put together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lcdc_extract.config import ExtractConfig, Sampling
from lcdc_extract.errors import DeviceError
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


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none; anything else is taken at its word.

    Raises:
        DeviceError: the device is unknown, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name}; expected auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        built = (
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
            if torch.version.cuda
            else (f"torch {torch.__version__} is a build without CUDA")
        )
        raise DeviceError(
            f"--device {name}: found {found} CUDA devices ({built}). Use --device cpu, or see `lcdc doctor`."
        )
    return device
