"""What can be said of the benchmarks without running them for long."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from lcdc_extract.config import PreprocessConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("evidence")


def test_too_few_videos_are_refused_at_once(
    evidence: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evidence.py", "--videos", "3", "--weights", "there are none of this name"])
    with pytest.raises(SystemExit) as stopped:
        evidence.main()
    assert stopped.value.code == 2
    assert "--videos is 3; expected at least 4" in capsys.readouterr().err


def test_usage_names_every_option(
    evidence: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evidence.py", "--help"])
    with pytest.raises(SystemExit):
        evidence.main()
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert options == set(re.findall(r"--[a-z]+", evidence.__doc__ or ""))


def test_the_mean_is_that_of_the_weights(evidence: ModuleType) -> None:
    seen: list[torch.Tensor] = []

    def encoder(frames: torch.Tensor) -> SimpleNamespace:
        seen.append(frames)
        return SimpleNamespace(appearance=frames, offsets=frames)

    info = SimpleNamespace(preprocess=PreprocessConfig(mean=(1.0, 2.0, 3.0)))
    weights = SimpleNamespace(info=info, network=SimpleNamespace(encoder=encoder))
    evidence.encode(weights, torch.full((1, 3, 2, 2), 10, dtype=torch.uint8))
    assert seen[0][0, :, 0, 0].tolist() == [9.0, 8.0, 7.0]


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("decoding_inputs")


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(importlib.import_module("machine"), "RESULTS", tmp_path)
    module = importlib.import_module("decoding_damage")
    monkeypatch.setattr(module, "CODECS", {name: module.CODECS[name] for name in ("H.264", "MJPEG")})
    return module


def test_every_kind_of_input_has_a_name_and_a_recipe_of_its_own(inputs: ModuleType) -> None:
    for what in ("name", "recipe"):
        counted = Counter(getattr(case, what) for case in inputs.CASES)
        assert [text for text, count in counted.items() if count > 1] == []


def test_inputs_are_rendered_and_judged(
    inputs: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["H.264 in MP4, dropped frames", "joined MPEG-TS, key frames only", "cut off: AVI, MJPEG", "text file"]
    monkeypatch.setattr(sys, "argv", ["decoding_inputs.py", "--only", *names])
    inputs.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.count(" | ") == 4]
    auto = {name: cell for name, _, _, cell, _ in rows}
    assert auto["H.264 in MP4, dropped frames"] == "right, decord"
    assert auto["joined MPEG-TS, key frames only"].startswith("right, PyAV (")
    assert auto["cut off: AVI, MJPEG"].startswith("the file is cut off: ")
    assert auto["text file"].startswith("refused: not recognised as a video")


def test_a_decoder_that_is_wrong_is_found_out(inputs: ModuleType, tmp_path: Path) -> None:
    case = inputs.Case("a", "S a.mp4; S -vf negate b.mp4")
    path = case.make(tmp_path)
    truth = inputs.truth_of(case, path)
    ((_, found),) = inputs.by_pool({"a": path}, "av")
    assert inputs.judge(case, truth, found).words == "right"
    later = truth._replace(seconds=truth.seconds * 1.1)
    assert inputs.judge(case, later, found).words == "times off by up to 0.096 s"
    other = inputs.by_ffmpeg(tmp_path / "a.mp4")
    assert inputs.judge(case, other, found).words == "25 of 25 frames are wrong"
    longer = truth._replace(pictures=[*truth.pictures, truth.pictures[0]])
    assert inputs.judge(case, longer, found).words == "25 frames instead of 26"
    found.damaged[3] = True
    assert inputs.judge(case, truth, found).words == "told of damage: 1 frames are damaged"


def test_whole_videos_are_not_called_damaged(
    damage: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["decoding_damage.py", "--count", "1"])
    damage.main()
    found = json.loads((tmp_path / "decoding_damage.json").read_text())
    assert {kind: row["files"] for kind, row in found["by_kind"].items()} == {
        **dict.fromkeys(damage.HARM, "2"),
        "whole": "8",
    }
    assert found["wrongly_told"] == []
    assert found["by_kind"]["cut off"]["told where ffmpeg complains"] == "2 of 2"


def test_frames_are_compared_at_their_times(damage: ModuleType) -> None:
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in range(10)]
    right = [damage._checksum(picture) for picture in pictures]
    found = damage.Outcome(pictures=pictures[2:8], seconds=[number / 25 for number in range(6)])
    assert damage._wrong(right, found).tolist() == [False] * 6
    found.pictures[1], found.seconds[4] = pictures[0], 4.4 / 25
    assert damage._wrong(right, found).tolist() == [False, True, False, False, True, False]


def test_results_are_named_in_one_style() -> None:
    names = [path.name for path in (BENCHMARKS / "results").glob("*.json")]
    assert names
    assert [name for name in names if "-" in name] == []
