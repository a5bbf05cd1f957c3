"""`lcdc doctor`: what this installation can do, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

import typer

from lcdc_extract import __version__
from lcdc_extract.terminal import BAD_INPUT, out

State = Literal["ok", "note", "missing"]
Finding = tuple[State, str, str]
COLOURS: dict[State, str] = {"ok": "green", "note": "yellow", "missing": "red"}


def doctor() -> None:
    """Check versions, devices, the operator, decoders and write access; say how to get what is missing."""
    from rich.table import Table
    from rich.text import Text

    findings = [finding for check in (_versions, _devices, _operator, _decoders, _storage) for finding in check()]
    table = Table("", "what", "found")
    for state, what, found in findings:
        table.add_row(Text(state, COLOURS[state]), what, found)
    out.print(table)
    if any(state == "missing" for state, _, _ in findings):
        raise typer.Exit(BAD_INPUT)


def _versions() -> Iterator[Finding]:
    yield "ok", "lcdc-extract", f"{__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    for name in ("torch", "numpy", "h5py", "safetensors"):
        yield ("ok", name, version(name)) if find_spec(name) else ("missing", name, f"pip install {name}")


def _devices() -> Iterator[Finding]:
    if not find_spec("torch"):
        return
    import torch

    yield "ok", "cpu", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    count = torch.cuda.device_count()
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield "ok", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if not count:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA; see pytorch.org for others"
        yield "note", "cuda", f"no device found; this torch is built {built}"


def _operator() -> Iterator[Finding]:
    if not find_spec("torch"):
        return
    import torch

    from lcdc_extract import ops

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        found = ops.implementation(device)
        yield "note" if found.startswith("reference") else "ok", f"operator on {device}", found


def _decoders() -> Iterator[Finding]:
    for module, packages, missing in (
        ("decord", ("decord", "decord2"), ("missing", "pip install decord (decord2 where it has no wheels)")),
        ("av", ("av",), ("note", "optional second decoder: pip install 'lcdc-extract[av]'")),
    ):
        found = [text for name in packages if (text := _installed(name))]
        yield ("ok", module, found[0]) if found else (missing[0], module, missing[1])  # type: ignore[misc]


def _storage() -> Iterator[Finding]:
    places: tuple[tuple[str, Callable[[], str]], ...] = (
        ("current directory", os.getcwd),
        ("temporary directory", tempfile.gettempdir),
    )
    for what, where in places:
        folder = where()
        writable = os.access(folder, os.W_OK)
        yield ("ok", what, folder) if writable else ("note", what, f"{folder} cannot be written")


def _installed(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
