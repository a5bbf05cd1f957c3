"""PyTorch state dicts as names and arrays: .safetensors, or .pth without trusting its pickle."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert.checkpoint import Array, Checkpoint
from lcdc_extract.weights.limits import check_pth, check_safetensors

NESTED = "state_dict"
"""The key under which training programs keep the network beside the state of the optimiser."""


def read_state_dict(path: Path) -> Checkpoint:
    """The tensors of a state dict, not copied until they are asked for.

    Raises:
        WeightsError: the file is damaged, holds anything but tensors, or would unpack to more than its size.
    """
    tensors = _safetensors(path) if path.suffix == ".safetensors" else _pth(path)

    def read(name: str) -> Array:
        array: Array = tensors[name].detach().float().numpy()
        return array

    return Checkpoint({name: tuple(tensor.shape) for name, tensor in tensors.items()}, read)


def _safetensors(path: Path) -> dict[str, Tensor]:
    check_safetensors(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is not a complete safetensors file: {error}. Get it again.") from error


def _pth(path: Path) -> dict[str, Tensor]:
    check_pth(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused, and nothing of it was run: it holds more than tensors and plain containers "
            f"({str(error).splitlines()[0]}). Ask for a plain state dict or a .safetensors file."
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        raise WeightsError(f"{path} is not a readable .pth file: {type(error).__name__}: {error}") from error
    if isinstance(found, dict) and isinstance(found.get(NESTED), dict):
        found = found[NESTED]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path} holds no state dict; expected names and tensors, alone or under {NESTED!r}")
    return {str(name): tensor for name, tensor in found.items()}
