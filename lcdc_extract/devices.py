"""From the name of a device to the device."""

from __future__ import annotations

import torch

from lcdc_extract.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none; anything else is taken at its word.

    Args:
        name: auto, cpu, cuda or cuda:N.

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
        raise DeviceError(f"`device` is {name!r}; expected auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        cuda = torch.version.cuda
        build = f"is built for CUDA {cuda}" if cuda else "is a build without CUDA"
        raise DeviceError(
            f"`device` is {name!r}, and torch {torch.__version__}, which {build}, finds {found} CUDA devices. "
            "Use `device='cpu'`, or see `lcdc doctor`."
        )
    return device
