"""`lcdc weights` as it is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from lcdc_extract.config import PRESETS
from lcdc_extract.files import sha256_of
from lcdc_extract.toolbox import app
from lcdc_extract.weights import measure
from lcdc_extract.weights.file import read_info
from tests.weights.samples import small_file, torchvision_resnet50
from tests.weights.test_registry import fields, register


def lcdc(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["weights", *map(str, arguments)])


def test_convert_prints_every_name(tmp_path: Path) -> None:
    source, out = tmp_path / "resnet50.safetensors", tmp_path / "w.safetensors"
    state = torchvision_resnet50()
    save_file(state, source)
    result = lcdc("convert", source, "--out", out, "--preset", "50salads", "--licence", "BSD-3-Clause")
    assert result.exit_code == 0, result.output
    flat = re.sub(r"[\s│┃]", "", result.output)  # names may be folded over two lines
    assert "265mapped,55leftout," in flat
    assert "untrained,seed0" in flat
    assert "NO:featuresofthisnetworkmeannothinguntilitistrained" in flat
    assert read_info(out).sampling == PRESETS["50salads"]
    assert read_info(out).provenance["licence"] == "BSD-3-Clause"
    assert read_info(out).provenance["source_sha256"] == sha256_of(source)
    again = lcdc("convert", source, "--out", out)
    assert again.exit_code == 2
    assert "exists" in again.output
    assert lcdc("convert", source, "--out", out, "--overwrite").exit_code == 0


def test_convert_stores_class_names(tmp_path: Path) -> None:
    network = small_file(tmp_path / "start.safetensors")
    heads = {"cls_score.weight": torch.ones(2, 1024), "cls_score.bias": torch.ones(2)}
    torch.save(network.state_dict() | heads, tmp_path / "epoch.pth")
    (tmp_path / "labels.txt").write_text("cut tomato\n\npeel cucumber\n")
    out = tmp_path / "w.safetensors"
    result = lcdc("convert", tmp_path / "epoch.pth", "--out", out, "--classes", tmp_path / "labels.txt")
    assert result.exit_code == 0, result.output
    assert read_info(out).class_names == ("cut tomato", "peel cucumber")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "w.bin"], "ends in .safetensors"),
        (["--out", "nowhere/w.safetensors"], "is not there"),
        (["--out", "w.safetensors", "--preset", "salad"], "the presets are 50salads, gtea"),
        (["--out", "w.safetensors", "--classes", "none.txt"], "cannot be read"),
        (["--out", "w.safetensors"], "source.pth is not there"),
    ],
)
def test_convert_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = lcdc("convert", "source.pth", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_pack_measures_and_info_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "storage_error", lambda *_: {"relative_l2": 0.0123, "cosine": 0.9991})
    small_file(tmp_path / "w.safetensors", provenance={"licence": "MIT"})
    result = lcdc("pack", tmp_path / "w.safetensors", "--out", tmp_path / "small.safetensors", "--int8")
    assert result.exit_code == 0, result.output
    assert read_info(tmp_path / "small.safetensors").storage_error == {"relative_l2": 0.0123, "cosine": 0.9991}
    shown = lcdc("info", tmp_path / "small.safetensors").output
    for text in ("int8", "0.0123", "0.999", "MIT", "paper"):
        assert text in shown
    back = lcdc("pack", tmp_path / "small.safetensors", "--out", tmp_path / "big.safetensors", "--float32")
    assert back.exit_code == 0
    assert read_info(tmp_path / "big.safetensors").storage == "float32"


def test_list_and_verify(own_folders: Path) -> None:
    path = own_folders / "lab.safetensors"
    small_file(path)
    away = fields(path, file="far.safetensors", url="https://weights.invalid/far.safetensors")
    register(own_folders, lab=fields(path), far=away)
    listed = lcdc("list").output
    assert "lab" in listed
    assert "far" in listed
    good = lcdc("verify")
    assert good.exit_code == 0
    assert "2 of 2 are good" in good.output  # the default weights are the other
    assert lcdc("verify", path).exit_code == 0
    register(own_folders, lab=fields(path, sha256="0" * 64))
    bad = lcdc("verify")
    assert bad.exit_code == 2
    assert "failed  lab" in bad.output
    for command in ("info", "fetch", "verify"):
        missing = lcdc(command, "nobody")
        assert missing.exit_code == 2
        assert "nobody" in missing.output


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from lcdc_extract.toolbox import app; assert not {'torch', 'safetensors'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
