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
from lcdc_extract.toolbox.train import Lines
from lcdc_extract.train import run as run_module
from lcdc_extract.train.config import CHECKPOINT, TrainConfig

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
        ("--recipe best", "--recipe best; expected one of authors, modern, synthetic-cpu, synthetic-gpu"),
        ("", "--recipe modern needs --videos and --labels. Without videos of your own, train on synthetic actions"),
        ("--recipe authors --videos v", "--recipe authors needs --labels."),
        ("--recipe synthetic-cpu --videos v --frame-step 2", "draws its own videos; found --videos, --frame-step."),
        ("--recipe synthetic-cpu --mapping m", "found --mapping. Leave that out"),
        ("--videos v --labels l --precision float16", "--precision float16; expected one of float32, bfloat16"),
        ("--videos v --labels l --decoder vlc", "--decoder vlc; expected one of decord, av"),
        ("--videos v --labels l --stride 0", "--stride is 0; expected at least 1"),
        ("--recipe synthetic-cpu --seed -1", "--seed is -1; expected 0 or more"),
        ("--recipe synthetic-cpu --device tpu", "--device tpu; expected auto, cpu, cuda or cuda:N"),
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
    assert "at most 2 minutes back" in output


def test_ctrl_c_in_the_middle_of_a_step(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from lcdc_extract.toolbox import main; main()", "train", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--recipe", "synthetic-cpu", "--device", "cpu"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if "step" in line)
    assert re.match(r"frames: step 1 of \d+, loss \d", line)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Stopped before the first checkpoint." in errors
    assert "Traceback" not in errors


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    step = {"phase": "a", "step": 1, "steps": 4, "loss": 1.25, "rate": 0.1}
    lines(step)
    lines(step | {"step": 2})  # too soon for another line
    lines({"phase": "a", "epoch": 1, "clips": 8, "loss": 1.5, "validation_accuracy": 0.5, "learning_rate": 1.0})
    lines({"phase": "a", "epoch": 2, "clips": 16, "loss": 1.0, "learning_rate": 1.0})
    lines({"video": "S1/[a]", "number": 1, "of": 2})
    lines({"note": "no pictures"})
    lines({"weights": Path("out/weights.safetensors")})
    found = capsys.readouterr()
    assert found.err.splitlines() == [
        "a: step 1 of 4, loss 1.250",
        "a: epoch 1, loss 1.500, validation accuracy 0.500",
        "a: epoch 2, loss 1.000",
        "decoded S1/[a], 1 of 2",
        "note: no pictures",
    ]
    assert found.out == "weights are in out/weights.safetensors\n"
