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
from lcdc_extract.weights.file import layer_state, read_info
from lcdc_extract.weights.registry import package_folder, user_folder
from tests.weights.samples import initial_weights, small_file, torchvision_resnet50, write_pickle
from tests.weights.test_registry import fields, register


def lcdc(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, ["weights", *map(str, arguments)])


def test_convert_says_where_the_numbers_came_from(tmp_path: Path) -> None:
    source, out = tmp_path / "resnet50.safetensors", tmp_path / "w.safetensors"
    state = torchvision_resnet50()
    save_file(state, source)
    result = lcdc("convert", source, "--out", out, "--preset", "50salads", "--licence", "BSD-3-Clause")
    assert result.exit_code == 0, result.output
    flat = re.sub(r"[\s│┃]", "", result.output)  # names may be folded over two lines
    assert "265mapped,55leftout," in flat
    assert "NO:featuresofthisnetworkmeannothinguntilitistrained" in flat
    assert result.output.count("\n") < 120  # a row for each of 341 names takes more
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in result.output.splitlines()]
    assert ["conv1", "5", "9,664", "1", "64"] in rows  # 64 x 3 x 7 x 7 and 4 x 64 mapped, a bias that is new
    assert ["conv4x", "95", "7,118,848"] in rows  # layer3 has 7,098,368 parameters, and 2 x 10,240 statistics
    assert ["offsets", "0", "0", "6", "27,654"] in rows
    lines = result.output.splitlines()
    assert "zero: the source has no such term: 1 tensors, 64 numbers: conv1.bias" in lines
    assert "input channels / (255 * deviation): 1 tensors, 9,408 numbers: conv1.weight" in lines
    assert "left out: the classes of ImageNet: 2 tensors, 2,049,000 numbers: fc.bias, fc.weight" in lines
    (fresh,) = (line for line in lines if line.startswith("untrained, seed 0: 22 tensors"))
    assert "res5b_branch2b_offset.bias" in fresh
    assert "spacetime_bn2.running_var" in fresh
    assert any(line.endswith("and 50 more (--verbose)") for line in lines)
    verbose = lcdc("convert", source, "--out", tmp_path / "other.safetensors", "--verbose")
    assert "layer4.2.bn3.num_batches_tracked" in re.sub(r"[\s│┃]", "", verbose.output)
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
    torch.save(layer_state(network) | heads, tmp_path / "epoch.pth")
    (tmp_path / "labels.txt").write_text("\ufeffcut tomato\n\npeel cucumber\n", encoding="utf-8")  # as some editors do
    out = tmp_path / "w.safetensors"
    result = lcdc("convert", tmp_path / "epoch.pth", "--out", out, "--classes", tmp_path / "labels.txt")
    assert result.exit_code == 0, result.output
    assert read_info(out).class_names == ("cut tomato", "peel cucumber")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "w.bin"], "ends in .safetensors"),
        (["--out", "nowhere/w.safetensors"], "is not there"),
        (["--out", "w.safetensors", "--preset", "salad"], "--preset is 'salad'; the presets are 50salads, gtea"),
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
    register(user_folder(), lab=fields(path))
    listed = lcdc("list").output
    shown = re.sub(r"[\s│┃]", "", listed)
    places = [str(folder / "registry.toml") for folder in (own_folders, user_folder(), package_folder())]
    assert [shown.index(place) for place in places] == sorted(shown.index(place) for place in places)
    assert shown.index("nothere:lcdcweightsfetchfar") < shown.index(places[1]) < shown.index("hiddenbytheentryabove")
    assert str(path) in shown
    good = lcdc("verify")
    assert good.exit_code == 0
    assert "2 of 2 are good" in good.output  # the default weights are the other
    assert lcdc("verify", path).exit_code == 0
    register(own_folders, lab=fields(path, sha256="0" * 64))
    bad = lcdc("verify")
    assert bad.exit_code == 2
    assert re.search(r"failed\W+lab", bad.output)
    for command in ("info", "fetch", "verify"):
        missing = lcdc(command, "nobody")
        assert missing.exit_code == 2
        assert "nobody" in missing.output


def test_options_are_named_as_they_are_typed(tmp_path: Path) -> None:
    write_pickle(tmp_path / "init.pkl", initial_weights(groups=4))
    out = tmp_path / "w.safetensors"
    asked = lcdc("convert", tmp_path / "init.pkl", "--out", out)
    assert asked.exit_code == 2
    assert "Choose one: --group 0, 1, 2 or 3" in asked.output
    useless = lcdc("convert", tmp_path / "init.pkl", "--out", out, "--like", out)
    assert "--like means nothing for a pickle of the authors' initial weights" in useless.output


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from lcdc_extract.toolbox import app; assert not {'torch', 'safetensors'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
