"""The ffmpeg program, which renders inputs and says what is right; the package uses other libraries than its."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

PROGRAM = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(arguments: str, *paths: Path, stdin: bytes | None = None) -> bytes:
    """Runs the program and returns its standard output.

    Args:
        arguments: split at blanks; `{}` stands for the paths, one after the other.
        stdin: what it reads.
    """
    left = iter(paths)
    words = [str(next(left)) if word == "{}" else word for word in arguments.split()]
    command = [PROGRAM, "-v", "error", "-y", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, input=stdin or b"").stdout


def pattern(size: str = "96x64", rate: float | str = 25, seconds: float = 1) -> str:
    """Arguments for a test picture that moves, as an input."""
    return f"-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds}"


def render(path: Path, encoder: str, seconds: float = 1, rate: float | str = 25, size: str = "96x64") -> Path:
    """The test picture in a file."""
    ffmpeg(f"{pattern(size, rate, seconds)} {encoder} {{}}", path)
    return path


def shown(path: Path, options: str = "", size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """The frames as the program shows them: (T, H, W, 3); it neither drops nor repeats any."""
    width, height = size
    raw = ffmpeg(f"-i {{}} -fps_mode passthrough {options} -f rawvideo -pix_fmt rgb24 -", path)
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def times(path: Path, options: str = "") -> np.ndarray:
    """When the program shows each frame, in seconds on the file's clock, which players show too: (T,)."""
    command = [PROGRAM, "-copyts", *options.split(), "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-vf", "showinfo=checksum=0", "-f", "null", "-"]
    log = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stderr.decode()
    return np.array([float(found) for found in re.findall(r"\] n: *\d+ .*?pts_time:(-?[\d.e+]+)", log)])
