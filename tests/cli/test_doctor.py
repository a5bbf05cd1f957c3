"""`lcdc doctor` loads what it says is there, and outlives what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcdc_extract import toolbox
from lcdc_extract.toolbox.doctor import Finding, Package, check_package

doctor = import_module("lcdc_extract.toolbox.doctor")  # in its package the name is that of the command
DECORD = next(package for package in doctor.PACKAGES if package.module == "decord")
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def put_decord(folder: Path, code: str) -> Path:
    """A package of that name which does `code` when it is imported."""
    (folder / "decord").mkdir()
    (folder / "decord" / "__init__.py").write_text(code)
    return folder


def test_it_names_what_matters() -> None:
    result = CliRunner().invoke(toolbox.app, ["doctor"])
    assert result.exit_code == 0
    for word in ("torch", "operator on cpu", "decord", "h5py", "temporary directory"):
        assert word in result.output
    assert "missing" not in result.output


def test_a_crash_on_loading_is_reported_and_not_suffered(tmp_path: Path) -> None:
    """The first decord on the path counts."""
    path = os.pathsep.join(filter(None, (str(put_decord(tmp_path, CRASH)), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    command = [sys.executable, "-c", "from lcdc_extract.toolbox import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2, done.stderr
    assert "does not load: it crashes (Segmentation fault)" in done.stdout
    assert "temporary directory" in done.stdout, "the rest is there all the same"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise OSError('libdecord.so: cannot open shared object file')", "OSError: libdecord.so: cannot open shared"),
        ("raise SystemExit(7)", "exit code 7"),
        (CRASH, "it crashes (Segmentation fault)"),
        ("import time; time.sleep(60)", "it hangs, for 2 s so far"),
    ],
)
def test_what_does_not_load_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, problem: str
) -> None:
    monkeypatch.syspath_prepend(put_decord(tmp_path, code))
    monkeypatch.setattr(doctor, "LOAD_SECONDS", 2.0)
    found = check_package(DECORD)
    assert found.state == "missing"
    assert f"does not load: {problem}" in found.found
    assert "pip install --force-reinstall decord" in found.found


def test_what_is_not_there() -> None:
    assert check_package(Package("no_such_thing", ("thing",))) == Finding(
        "missing", "no_such_thing", "pip install no_such_thing"
    )
    optional = Package("no_such_thing", ("thing",), "note", "pip install 'lcdc-extract[more]'")
    assert check_package(optional) == Finding("note", "no_such_thing", "pip install 'lcdc-extract[more]'")
