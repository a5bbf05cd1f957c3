"""What can be said of the benchmarks without running them for long."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def test_results_are_named_in_one_style() -> None:
    names = [path.name for path in (BENCHMARKS / "results").glob("*.json")]
    assert names
    assert [name for name in names if "-" in name] == []
