"""The README's commands, run as a reader would, in a folder with `videos/` and labels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lcdc_extract.weights.file import read_info
from tests.clips import render_clip
from tests.weights import released_oracle
from tests.weights.samples import torchvision_resnet50

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = {"lcdc-extract": "lcdc_extract.cli", "lcdc": "lcdc_extract.toolbox"}
FRAMES = 16

SHORT_TRAINING = """
import dataclasses
from lcdc_extract.train import recipe
phase = recipe.Phase("snippets", "classify", epochs=1, batch=1, learning_rate=1e-3, size=32)
recipe.RECIPES["modern"] = dataclasses.replace(recipe.MODERN, phases=(phase,))
"""
"""One step on a small view in place of hours."""

CHECKPOINT_READER = """
import numpy, types
def load_checkpoint(prefix):
    arrays = dict(numpy.load(prefix + ".npz"))
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    return types.SimpleNamespace(get_variable_to_shape_map=lambda: shapes, get_tensor=arrays.__getitem__)
"""
"""In the place of tensorflow.train, a gigabyte; `test_tensorflow.py` has the real one where it is installed."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who types the README's commands in a folder with videos and labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("S1", "S2"):
            render_clip(folder / "videos" / name / "clip.mp4", num_frames=FRAMES)
        write_labels(folder)
        scripts = folder / "bin"
        scripts.mkdir()
        for name, module in COMMANDS.items():
            patch = f"if 'train' in sys.argv:\n    exec({SHORT_TRAINING!r})"
            (scripts / name).write_text(f"#!{sys.executable}\nimport sys\n{patch}\nfrom {module} import main\nmain()\n")
            (scripts / name).chmod(0o755)
        path = f"{scripts}:{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path, "PYTHONPATH": f"{folder / 'packages'}:{ROOT}"}

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def type(self, lines: list[str]) -> None:
        for line in lines:
            if not line.startswith("pip install"):  # how this environment was made
                self.run("bash", "-c", f"{line} --epochs 2" if line.startswith("lcdc score") else line)


@pytest.mark.timeout(900)  # a dozen commands, each of which imports torch
def test_shell_and_python_blocks_run(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert lines[0] == "pip install ."
    assert len(lines) >= 5
    reader.type(lines)
    for block in blocks("python"):
        reader.run(sys.executable, "-c", block)
    with h5py.File(tmp_path / "feats.h5") as file:
        assert file["videos/S1/clip/features"].shape == (FRAMES, 1024)
    assert (tmp_path / "S1_clip.npy").exists()
    assert (tmp_path / "python.h5").exists()
    assert sorted(path.name for path in (tmp_path / "feats-score").rglob("*.*")) == [
        "clip.png",
        "clip.txt",
        "scores.json",
    ]
    assert not (tmp_path / "all.h5").exists()


@pytest.mark.timeout(900)
def test_blocks_that_need_more_than_videos_run(tmp_path: Path) -> None:
    """Conversion of the authors' checkpoint and of a ResNet-50, and training from that."""
    reader = Reader(tmp_path)
    torch.save(torchvision_resnet50(), tmp_path / "resnet50.pth")
    for name in ("index", "data-00000-of-00001"):
        (tmp_path / f"model.ckpt-1000.{name}").touch()
    np.savez(tmp_path / "model.ckpt-1000.npz", **released_oracle.random_variables())
    stand_in = tmp_path / "packages" / "tensorflow"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "train.py").write_text(CHECKPOINT_READER)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 5
    reader.type(lines)
    assert read_info(tmp_path / "lcdc.safetensors").network.variant == "released"
    with h5py.File(tmp_path / "lcdc.h5") as file:
        assert file["videos/S2/clip/features"].shape == (-(-FRAMES // 5 // 2), 1024), "as the preset 50salads says"
    trained = read_info(tmp_path / "run" / "weights.safetensors")
    assert trained.trained
    assert trained.class_names == ("background", "wave")
    assert trained.network.stride_position == "3x3", "it started from the ResNet-50"


def write_labels(folder: Path) -> None:
    (folder / "mapping.txt").write_text("0 background\n1 wave\n")
    (folder / "splits").mkdir()
    for part, video in (("train", "S1/clip"), ("test", "S2/clip")):
        (folder / "splits" / f"{part}.split1.bundle").write_text(f"{video}.txt\n")
        labels = folder / "groundTruth" / f"{video}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("background\n" + "wave\n" * (FRAMES - 1))


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
    commands = (["verify"], ["plot"], ["synth"], ["score"], ["train"], ["weights", "convert"])
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
