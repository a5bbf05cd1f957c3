"""The README's commands, run as a reader would, in a folder with `videos/` and labels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.clips import render_clip

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = {"lcdc-extract": "lcdc_extract.cli", "lcdc": "lcdc_extract.toolbox"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(900)  # a dozen commands, each of which imports torch
def test_shell_and_python_blocks_run(tmp_path: Path) -> None:
    for folder in ("S1", "S2"):
        render_clip(tmp_path / "videos" / folder / "clip.mp4", num_frames=3)
    write_labels(tmp_path)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    for name, module in COMMANDS.items():
        (scripts / name).write_text(f"#!{sys.executable}\nfrom {module} import main\nmain()\n")
        (scripts / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(command: list[str]) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert lines[0] == "pip install ."  # how this environment was made
    quick = [f"{line} --epochs 2" if line.startswith("lcdc score") else line for line in lines[1:]]
    outputs = [run(["bash", "-c", line]) for line in quick]
    assert len(outputs) >= 4
    for block in blocks("python"):
        run([sys.executable, "-c", block])
    with h5py.File(tmp_path / "feats.h5") as file:
        assert file["videos/S1/clip/features"].shape == (3, 1024)
    assert (tmp_path / "S1_clip.npy").exists()
    assert (tmp_path / "python.h5").exists()
    assert sorted(path.name for path in (tmp_path / "feats-score").rglob("*.*")) == [
        "clip.png",
        "clip.txt",
        "scores.json",
    ]
    assert not (tmp_path / "all.h5").exists()


def write_labels(folder: Path) -> None:
    (folder / "mapping.txt").write_text("0 background\n1 wave\n")
    (folder / "splits").mkdir()
    for part, video in (("train", "S1/clip"), ("test", "S2/clip")):
        (folder / "splits" / f"{part}.split1.bundle").write_text(f"{video}.txt\n")
        labels = folder / "groundTruth" / f"{video}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("background\nwave\nwave\n")


def test_nothing_is_left_to_fill_in() -> None:
    assert re.findall(r"@[A-Z]+@|TODO|TBD", README) == []


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)) | set(re.findall(r"`make ([a-z-]+)`", README))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_option_named_exists() -> None:
    commands = (["plot"], ["synth"], ["score"], ["train"], ["weights", "convert"])
    help_text = help_of("lcdc_extract.cli") + "".join(help_of("lcdc_extract.toolbox", *command) for command in commands)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert named - set(re.findall(r"--[a-z][a-z-]+", help_text)) == set()


def help_of(module: str, *command: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main()", *command, "--help"],
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
