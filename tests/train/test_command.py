"""`lcdc train` in-process: options, messages, exit codes."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lcdc_extract import toolbox
from lcdc_extract.train import run as run_module
from lcdc_extract.train.config import CHECKPOINT, TrainConfig
from lcdc_extract.train.recipe import SYNTHETIC_CPU
from lcdc_extract.train.synthetic import STEPS_PER_EPOCH

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(toolbox.app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The configs that would have been trained."""
    configs: list[TrainConfig] = []
    monkeypatch.setattr(run_module, "train", lambda config, report: configs.append(config))
    return configs


def test_every_option_reaches_the_config(seen: list[TrainConfig]) -> None:
    options: dict[str, tuple[str, Any]] = {
        "--recipe": ("recipe", "authors"),
        "--videos": ("videos", Path("v")),
        "--labels": ("labels", Path("l")),
        "--mapping": ("mapping", Path("m")),
        "--split": ("split", Path("s")),
        "--validation": ("validation", Path("t")),
        "--init": ("init", "w.safetensors"),
        "--frame-step": ("frame_step", 3),
        "--stride": ("stride", 5),
        "--device": ("device", "cpu"),
        "--precision": ("precision", "bfloat16"),
        "--seed": ("seed", 7),
        "--decoder": ("decoder", "av"),
    }
    assert run("out", *(part for option, (_, value) in options.items() for part in (option, value))) == (0, "")
    assert run("out", "--recipe", "synthetic-gpu") == (0, "")
    assert seen == [
        TrainConfig(Path("out"), **dict(options.values())),
        TrainConfig(Path("out"), recipe="synthetic-gpu"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--recipe best", "--recipe is 'best'; expected one of authors, modern, synthetic-cpu, synthetic-gpu"),
        ("", "--recipe modern needs --videos and --labels. Without videos of your own, train on synthetic actions"),
        ("--recipe authors --videos v", "--recipe authors needs --labels."),
        ("--recipe synthetic-cpu --videos v --frame-step 2", "draws its own videos; found --videos, --frame-step."),
        ("--recipe synthetic-cpu --mapping m", "found --mapping. Leave that out"),
        ("--videos v --labels l --precision float16", "--precision is 'float16'; expected one of float32, bfloat16"),
        ("--videos v --labels l --decoder vlc", "--decoder is 'vlc'; expected one of auto, decord, av"),
        ("--videos v --labels l --stride 0", "--stride is 0; expected a whole number of at least 1"),
        ("--recipe synthetic-cpu --seed -1", "--seed is -1; expected a whole number of at least 0"),
        ("--recipe synthetic-cpu --device tpu", "--device is 'tpu'; expected auto, cpu, cuda or cuda:N"),
        ("--videos v --labels l", "mapping.txt cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_words(tmp_path: Path, options: str, message: str) -> None:
    code, output = run(tmp_path / "out", *options.split())
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_help_has_groups() -> None:
    code, output = run("--help")
    assert code == 0
    groups = {name: output.partition(f"─ {name} ─")[2].partition("╭")[0] for name in ("Data", "Recipe")}
    options = {name: set(re.findall(r"--[a-z-]+", text)) for name, text in groups.items()}
    assert options == {
        "Data": {
            "--videos",
            "--labels",
            "--mapping",
            "--split",
            "--validation",
            "--frame-step",
            "--stride",
            "--decoder",
        },
        "Recipe": {"--recipe", "--init", "--device", "--precision", "--seed"},
    }


@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_the_commands_of_the_documentation_are_understood(page: str, seen: list[TrainConfig]) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if "lcdc train" in line]
    assert lines
    for line in lines:
        arguments = shlex.split(line.partition("lcdc train ")[2])
        assert run(*arguments) == (0, "")
    assert len(seen) == len(lines)


def test_stopped_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(config: TrainConfig, report: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "train", interrupt)
    code, output = run(tmp_path, "--recipe", "synthetic-cpu")
    assert code == 130
    assert "Stopped before the first checkpoint." in output
    (tmp_path / CHECKPOINT).touch()
    code, output = run(tmp_path, "--recipe", "synthetic-cpu")
    assert code == 130
    assert "goes on from the last checkpoint" in output
    assert "about 2 minutes back at most" in output


def test_ctrl_c_in_the_middle_of_a_step(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from lcdc_extract.toolbox import main; main()", "train", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--recipe", "synthetic-cpu", "--device", "cpu"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "step" in line)  # the first is under way
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert f"frames: begins at step 1 of {SYNTHETIC_CPU.phases[0].epochs * STEPS_PER_EPOCH}" in line
    assert process.returncode == 130, errors
    assert "Stopped before the first checkpoint." in errors
    assert "Traceback" not in errors
