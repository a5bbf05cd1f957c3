"""The build: its switch, and what the CUDA compiler says about the kernels. No GPU is needed for either."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "cuda_ext"


def configure(directory: Path, cuda: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["cmake", "-S", str(SOURCE), "-B", str(directory)]
    env = {**os.environ, "LCDC_CUDA": cuda, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def path_without_nvcc(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with the build's other tools; CMake also looks beside nvcc's usual places, so CUDACXX names none."""
    directory = tmp_path_factory.mktemp("bin")
    for tool in ("cmake", "c++", "g++", "make", "ninja", "ld", "as", "ar", "ranlib", "sh"):
        found = shutil.which(tool)
        if found:
            (directory / tool).symlink_to(found)
    return str(directory)


@pytest.mark.timeout(900)  # three times that of `configure`
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_cuda_on_without_a_compiler_fails_and_says_so(tmp_path: Path, path_without_nvcc: str) -> None:
    missing = {"PATH": path_without_nvcc, "CUDACXX": "/nonexistent/nvcc"}
    wanted = configure(tmp_path / "on", "on", **missing)
    assert wanted.returncode != 0
    assert "LCDC_CUDA=on, but no working nvcc was found" in wanted.stderr
    tolerated = configure(tmp_path / "auto", "auto", **missing)
    assert tolerated.returncode == 0, tolerated.stderr
    assert "building for processors only" in tolerated.stdout
    misspelt = configure(tmp_path / "misspelt", "yes", **missing)
    assert "LCDC_CUDA is 'yes'; expected auto, on or off" in misspelt.stderr


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ["75", "90"])
def test_kernels_do_not_spill(tmp_path: Path, architecture: str) -> None:
    """No register goes to memory, and none of the arrays indexed by corner ends up there either."""
    command = ["nvcc", "-std=c++17", "-O3", "-Xptxas=-v", f"-arch=sm_{architecture}", "-cubin"]
    defines = ['-DLCDC_VERSION=""', '-DLCDC_CUDA_BUILD=""', "-o", str(tmp_path / "kernels.cubin")]
    done = subprocess.run(
        [*command, *defines, str(SOURCE / "deform_cuda.cu")], capture_output=True, text=True, timeout=280, check=True
    )
    report = done.stdout + done.stderr
    used = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    assert len(used) == 20, report  # (sample, grad_offset) x 4 dtypes x (vectors, single values), grad_x x 4 dtypes
    assert set(used) == {("0", "0", "0")}
    assert max(int(count) for count in re.findall(r"Used (\d+) registers", report)) <= 128
