"""Finding and loading the libraries: never at import, never silently something else."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import lcdc_extract
from lcdc_extract import ops
from lcdc_extract.errors import OperatorError
from lcdc_extract.ops import library

X, OFFSET = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forgets what was resolved, before and after."""
    library._load.cache_clear()
    library._warn.cache_clear()
    yield
    library._load.cache_clear()
    library._warn.cache_clear()


def test_the_compiled_library_runs_here() -> None:
    assert ops.implementation("cpu").startswith(f"native-cpu {lcdc_extract.__version__} (")
    assert ops.implementation("cpu:0") == ops.implementation()


@pytest.mark.gpu
def test_the_cuda_library_runs_here() -> None:
    assert ops.implementation("cuda").startswith(f"native-cuda {lcdc_extract.__version__} (CUDA ")


@pytest.mark.usefixtures("fresh")
def test_a_missing_library_is_said_once_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_library", lambda name: None)
    with pytest.warns(UserWarning, match=r"runs in plain PyTorch on cpu: liblcdc_cpu\.so is not part of this") as said:
        ops.warp(X, OFFSET)
    assert said[0].filename == __file__  # the line that called the operator
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.warp(X, OFFSET)
    assert ops.implementation("cpu").startswith("reference (liblcdc_cpu.so is not part of this installation. Build it")
    with pytest.raises(OperatorError, match=r"`implementation='native'` on cpu: .* Build it with `pip install \.`"):
        ops.warp(X, OFFSET, implementation="native")


@pytest.mark.usefixtures("fresh")
def test_a_damaged_library_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "liblcdc_cpu.so"
    damaged.write_bytes(b"not a library")
    monkeypatch.setattr(library, "find_library", lambda name: damaged)
    assert ops.implementation("cpu").startswith("reference (liblcdc_cpu.so does not load: ")


@pytest.mark.usefixtures("fresh")
def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "__version__", "9.9.9")
    assert "the package 9.9.9. Install the package again" in ops.implementation("cpu")


class FakeLibrary(dict[str, Callable[..., Any]]):
    """liblcdc_cuda.so on a machine with two GPUs, of which only the first has an architecture that it was built for."""

    def __init__(self, path: str) -> None:
        texts = {"version": lcdc_extract.__version__, "build": "CUDA 13.0", "message": "no kernel image"}
        super().__init__({f"lcdc_cuda_{name}": lambda text=text: text.encode() for name, text in texts.items()})
        self["lcdc_cuda_probe"] = lambda device: device.value

    def __missing__(self, name: str) -> None:
        raise AssertionError(f"{name} was called")


@pytest.mark.usefixtures("fresh")
def test_the_device_that_is_asked_about_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_library", Path)
    monkeypatch.setattr("ctypes.CDLL", FakeLibrary)
    usable = f"native-cuda {lcdc_extract.__version__} (CUDA 13.0)"
    refused = "reference (liblcdc_cuda.so (CUDA 13.0) cannot run on cuda:1: lcdc_cuda_probe: no kernel image)"
    assert ops.implementation("cuda:0") == usable
    assert ops.implementation("cuda:1") == refused
    assert ops.implementation(torch.device("cuda", 1)) == refused
    assert library.use_native("auto", torch.device("cuda:0"))
    with pytest.raises(OperatorError, match=r"`implementation='native'` on cuda:1: .* no kernel image"):
        library.use_native("native", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for current, expected in ((0, usable), (1, refused)):
        monkeypatch.setattr(torch.cuda, "current_device", lambda current=current: current)
        assert ops.implementation("cuda") == expected


def test_devices_without_kernels_and_unknown_choices() -> None:
    assert ops.implementation("meta") == "reference (there are no compiled kernels for meta)"
    with pytest.raises(OperatorError, match="`implementation` is 'fast'; expected one of auto, reference, native"):
        ops.warp(X, OFFSET, implementation="fast")


@pytest.mark.timeout(600)
def test_import_loads_nothing_and_one_openmp_runs_everything() -> None:
    """A second OpenMP runtime would mean a second pool of threads that fight over the cores."""
    script = """
import lcdc_extract.ops as ops, torch
def mapped(): return {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
assert not [name for name in mapped() if "liblcdc" in name]
x = torch.randn(4, 64, 14, 14)
ops.warp(x, torch.zeros(4, 2, 14, 14), implementation="native")
names = mapped()
assert [name for name in names if "liblcdc_cpu" in name]
assert len([name for name in names if "libgomp" in name or "libiomp" in name or "libomp" in name]) == 1, names
assert float(torch.tensor(1e-42) * 0.5) > 0, "denormals are flushed"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=280)
