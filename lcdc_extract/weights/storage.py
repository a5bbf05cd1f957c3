"""How a weights file holds numbers: float32 as they are, or kernels in int8 with one scale per output channel.

A 43 M parameter network then takes 44 MB instead of 171. Kernels over space and time have a scale per pair of output
and input channel: spacetime_conv1 reads appearance and offset differences, and as the latter are small, their weights
may be a hundred times larger. Batch norm, biases and the offset layers stay float32: they are small, and motion is the
small change of the offsets from frame to frame.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Storage = Literal["float32", "int8"]
SCALE = ".scale"
"""After a kernel's name: what its integers are multiplied by, (out,) or (out, in)."""
LEVELS = 127
"""Integers run from -127 to 127."""


def pack(tensors: dict[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    """Tensors by layer name as a file holds them."""
    if storage == "float32":
        return tensors
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if _is_kernel(name, tensor):
            packed[name], packed[name + SCALE] = quantise(tensor)
        else:
            packed[name] = tensor
    return packed


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `pack`, in float32; int8 loses up to half a scale step per number."""
    return {
        name: tensor if tensor.dtype != torch.int8 else dequantise(tensor, stored[name + SCALE])
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def stored_form(tensors: dict[str, Tensor], storage: Storage) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and safetensors type of everything `pack` would store; the tensors need no numbers."""
    form: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, tensor in tensors.items():
        packed = storage == "int8" and _is_kernel(name, tensor)
        form[name] = (tuple(tensor.shape), "I8" if packed else "F32")
        if packed:
            form[name + SCALE] = (tuple(tensor.shape[: _scaled_axes(tensor)]), "F32")
    return form


def quantise(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """kernel (out, in, ...) float32; returns int8 of that shape and scales (out,), or (out, in) of 5-D kernels."""
    largest = kernel.flatten(_scaled_axes(kernel)).abs().amax(dim=-1)
    scale = torch.where(largest > 0, largest / LEVELS, torch.ones_like(largest))
    levels = (kernel / _along(scale, kernel)).round().clamp(-LEVELS, LEVELS)
    return levels.to(torch.int8), scale


def dequantise(levels: Tensor, scale: Tensor) -> Tensor:
    """The float32 kernel of `quantise`."""
    return levels.float() * _along(scale, levels)


def _scaled_axes(kernel: Tensor) -> int:
    return 2 if kernel.ndim == 5 else 1


def _along(scale: Tensor, like: Tensor) -> Tensor:
    return scale.reshape(*scale.shape, *[1] * (like.ndim - scale.ndim))


def _is_kernel(name: str, tensor: Tensor) -> bool:
    return tensor.ndim > 1 and "_offset." not in name
