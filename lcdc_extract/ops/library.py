"""Finds, loads and calls the compiled libraries. Nothing happens at import; the first use of the operator loads."""

from __future__ import annotations

import ctypes
import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lcdc_extract import __version__
from lcdc_extract.errors import OperatorError
from lcdc_extract.ops.geometry import check_choice

Implementation = Literal["auto", "reference", "native"]

_BUILD_HINT = {
    "cpu": "Build it with `pip install .` in the source directory; that needs a C++17 compiler.",
    "cuda": "Build it with `LCDC_CUDA=on pip install .` in the source directory; that needs nvcc.",
}


class Problem(ctypes.Structure):
    """`LcdcProblem` of cuda_ext/lcdc.h, where the fields are explained."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dtype", "border", "batch", "channels", "height", "width")),
        *((name, ctypes.c_int64) for name in ("out_height", "out_width")),
        *((name, ctypes.c_int64 * 2) for name in ("kernel", "stride", "padding", "dilation")),
        ("offset_groups", ctypes.c_int64),
        ("offset_stride", ctypes.c_int64 * 4),
    )


@dataclass(frozen=True)
class Library:
    """One loaded library: `lcdc_cpu_*` or `lcdc_cuda_*`."""

    handle: ctypes.CDLL
    device_type: str

    def text(self, name: str) -> str:
        """What a function without arguments, such as version or message, returns."""
        function = self.handle[f"lcdc_{self.device_type}_{name}"]
        function.restype = ctypes.c_char_p
        return str(function().decode())

    def call(self, name: str, problem: Problem, *arguments: Tensor | int) -> None:
        """Runs one kernel on the tensors' device, on its current stream or with torch's number of threads.

        Raises:
            OperatorError: the library refused the problem, or CUDA failed.
        """
        self.check(name, ctypes.byref(problem), *(_native(argument) for argument in arguments), *self._place(arguments))

    def check(self, name: str, *arguments: object) -> None:
        """Calls `lcdc_<device>_<name>` and turns an error code into an exception."""
        if self.handle[f"lcdc_{self.device_type}_{name}"](*arguments) != 0:
            raise OperatorError(f"lcdc_{self.device_type}_{name}: {self.text('message')}")

    def _place(self, arguments: tuple[Tensor | int, ...]) -> tuple[object, ...]:
        if self.device_type == "cpu":
            return (ctypes.c_int(torch.get_num_threads()),)
        device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
        return ctypes.c_int(device.index), ctypes.c_void_p(torch.cuda.current_stream(device).cuda_stream)


def _native(argument: Tensor | int) -> object:
    return ctypes.c_int(argument) if isinstance(argument, int) else ctypes.c_void_p(argument.data_ptr())


def implementation(device: str | torch.device = "cpu") -> str:
    """Which implementation `"auto"` means on a device, and why.

    Args:
        device: "cpu", "cuda:1" and so on; "cuda" is torch's current one.

    Returns:
        For example "native-cpu 0.1.0 (avx2)", "native-cuda 0.1.0 (CUDA 13.0.88, sm 75 80 ...)" or "reference (reason)".
    """
    found = _find(device)
    if isinstance(found, str):
        return f"reference ({found})"
    return f"native-{found.device_type} {found.text('version')} ({found.text('build')})"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def use_native(choice: Implementation, device: torch.device) -> bool:
    """Resolves `choice` for a device.

    Raises:
        OperatorError: `choice` is "native" and the library cannot run there.
    """
    check_choice("implementation", choice, Implementation)
    if choice == "reference":
        return False
    found = _find(device)
    if choice == "native" and isinstance(found, str):
        raise OperatorError(f"`implementation='native'` on {device}: {found}")
    if isinstance(found, str):
        _warn(device, found)
    return isinstance(found, Library)


def native_library(device: str | torch.device) -> Library:
    """The library for a device.

    Raises:
        OperatorError: there is none, or it cannot run.
    """
    found = _find(device)
    if isinstance(found, str):
        raise OperatorError(found)
    return found


@functools.cache
def _warn(device: torch.device, reason: str) -> None:
    warnings.warn(f"the deformable operator runs in plain PyTorch on {device}: {reason}", stacklevel=5)


def _find(device: str | torch.device) -> Library | str:
    """The library, or the reason why there is none."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        return _load("cuda", torch.cuda.current_device() if torch.cuda.is_available() else 0)
    return _load(device.type, device.index or 0)


@functools.cache
def _load(device_type: str, index: int) -> Library | str:
    if device_type not in _BUILD_HINT:
        return f"there are no compiled kernels for {device_type}"
    path = find_library(f"liblcdc_{device_type}.so")
    if path is None:
        return f"liblcdc_{device_type}.so is not part of this installation. {_BUILD_HINT[device_type]}"
    try:
        library = Library(ctypes.CDLL(str(path)), device_type)
    except OSError as error:
        return f"{path.name} does not load: {error}. {_BUILD_HINT[device_type]}"
    if library.text("version") != __version__:
        return (
            f"{path.name} is version {library.text('version')}, the package {__version__}. Install the package again."
        )
    try:
        if device_type == "cuda":
            library.check("probe", ctypes.c_int(index))
    except OperatorError as error:
        return f"{path.name} ({library.text('build')}) cannot run on cuda:{index}: {error}"
    return library


def find_library(name: str) -> Path | None:
    """A library installed with the package. An editable installation has the package in two directories."""
    from lcdc_extract import ops

    candidates = (Path(directory) / "_lib" / name for directory in ops.__path__)
    return next((path for path in candidates if path.is_file()), None)
