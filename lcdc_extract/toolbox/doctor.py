"""`lcdc doctor`: what this installation can do, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal, NamedTuple

import typer

from lcdc_extract import __version__
from lcdc_extract.terminal import BAD_INPUT, out, plain_errors

State = Literal["ok", "note", "missing"]
COLOURS: dict[State, str] = {"ok": "green", "note": "yellow", "missing": "red"}
LOAD_SECONDS = 60.0
"""By then a package is loaded, even from a slow disk, or hangs."""


class Finding(NamedTuple):
    """A line of the table."""

    state: State
    what: str
    found: str


class Package(NamedTuple):
    """A package with native code, which a broken installation shows only when it is loaded."""

    module: str
    distributions: tuple[str, ...]
    """Under these names it may be installed."""
    absent: State = "missing"
    """What it is not to have it."""
    install: str = ""
    """How to get it; "" for pip install and the name."""


PACKAGES = (
    Package("torch", ("torch",)),
    Package("numpy", ("numpy",)),
    Package("h5py", ("h5py",)),
    Package("safetensors", ("safetensors",)),
    Package("decord", ("decord", "decord2"), install="pip install decord (decord2 where it has no wheels)"),
    Package("av", ("av",)),
)


@plain_errors
def doctor() -> None:
    """Check versions, devices, the operator, decoders and write access; say how to get what is missing."""
    from rich.table import Table
    from rich.text import Text

    findings = [_version(), *map(check_package, PACKAGES)]
    if ("ok", "torch") in [finding[:2] for finding in findings]:
        findings += [*_devices(), *_operator()]
    findings += _storage()
    table = Table("", "what", "found")
    for state, what, found in findings:
        table.add_row(Text(state, COLOURS[state]), what, found)
    out.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(BAD_INPUT)


def check_package(package: Package) -> Finding:
    """Whether a package is there and loads."""
    module = package.module
    if find_spec(module) is None:
        return Finding(package.absent, module, package.install or f"pip install {module}")
    installed = next(filter(None, map(_installed, package.distributions)), module)
    if problem := why_not_loaded(module):
        name = installed.split()[0]
        return Finding("missing", module, f"{installed} does not load: {problem}; pip install --force-reinstall {name}")
    return Finding("ok", module, installed)


def why_not_loaded(module: str) -> str | None:
    """Imports a module in a process of its own, which its native code may crash or hang; None where that went well."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import {module}"
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it hangs, for {LOAD_SECONDS:g} s so far"
    if done.returncode < 0:
        return f"it crashes ({signal.strsignal(-done.returncode)})"
    if done.returncode > 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        return lines[-1]
    return None


def _version() -> Finding:
    system = f"Python {platform.python_version()}, {platform.platform(terse=True)}"
    return Finding("ok", "lcdc-extract", f"{__version__}, {system}")


def _installed(distribution: str) -> str | None:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("ok", "cpu", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    count = torch.cuda.device_count()
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if not count:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA; see pytorch.org for others"
        yield Finding("note", "cuda", f"no device found; this torch is built {built}")


def _operator() -> Iterator[Finding]:
    import torch

    from lcdc_extract import ops

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        found = ops.implementation(device)
        yield Finding("note" if found.startswith("reference") else "ok", f"operator on {device}", found)


def _storage() -> Iterator[Finding]:
    places: tuple[tuple[str, Callable[[], str]], ...] = (
        ("current directory", os.getcwd),
        ("temporary directory", tempfile.gettempdir),
    )
    for what, where in places:
        folder = where()
        writable = os.access(folder, os.W_OK)
        yield Finding("ok", what, folder) if writable else Finding("note", what, f"{folder} cannot be written")
