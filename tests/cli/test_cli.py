"""The command line in-process: options, messages, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from lcdc_extract import cli, pipeline, toolbox
from lcdc_extract.config import ExtractConfig
from lcdc_extract.pipeline import RunSummary
from tests.clips import render_audio, render_clip

runner = CliRunner()


def run(*arguments: str | Path) -> tuple[int, str]:
    result = runner.invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_every_option_reaches_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ExtractConfig] = []

    def record(config: ExtractConfig, report: object) -> RunSummary:
        seen.append(config)
        return RunSummary(config.out, (), (), (), (), 1, 0, 0.0)

    monkeypatch.setattr(pipeline, "extract", record)
    options = {
        "--weights": ("weights", "w.safetensors"),
        "--preset": ("preset", "gtea"),
        "--frame-step": ("frame_step", 3),
        "--stride": ("stride", 4),
        "--edges": ("edges", "repeat-frame"),
        "--align": ("align", "exact"),
        "--device": ("device", "cpu"),
        "--precision": ("precision", "bfloat16"),
        "--batch-size": ("batch_size", 8),
        "--decoder": ("decoder", "av"),
        "--decoders": ("decoders", 5),
        "--decode-timeout": ("decode_timeout_seconds", 7.0),
    }
    flat = [str(part) for option, (_, value) in options.items() for part in (option, value)]
    assert run("a", "b", "--out", tmp_path / "f.h5", *flat, "--overwrite")[0] == 0
    expected = dict(options.values())
    assert seen == [ExtractConfig(("a", "b"), tmp_path / "f.h5", overwrite=True, **expected)]
    assert run("a", "--out", tmp_path / "f.h5", "--fps", "2.5", "--align", "released")[0] == 0
    assert seen[1] == ExtractConfig(("a",), tmp_path / "f.h5", fps=2.5, align="released")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stride", "0"], "--stride is 0; expected a whole number of at least 1"),
        (["--frame-step", "-1"], "--frame-step is -1"),
        (["--fps", "3", "--frame-step", "2"], "exclude each other"),
        (["--fps", "nan"], "--fps is nan; expected a positive number"),
        (["--preset", "breakfast"], "--preset is 'breakfast'; the presets are 50salads, gtea"),
        (
            ["--align", "released", "--edges", "repeat-frame"],
            "--align released fixes what happens at the edges, --edges repeat-frame asks for something else. Give one",
        ),
        (["--weights", "nope"], "neither a file nor a name this package knows"),
        (["--device", "cuda:9"], "CUDA devices"),
        (["--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
        (["--weights", "."], "is a directory"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    videos: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    code, output = run(videos, "--out", tmp_path / "f.h5", *options)
    assert code == 2
    assert message in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("position", "damage"), [(100_000, "truncate"), (0, "overwrite"), (9, "overwrite")])
def test_damaged_weights(weights_file: Path, videos: Path, tmp_path: Path, position: int, damage: str) -> None:
    content = bytearray(weights_file.read_bytes()[:1_000_000])
    if damage == "overwrite":
        content[position : position + 8] = b"\xff" * 8
    (tmp_path / "w.safetensors").write_bytes(bytes(content))
    code, output = run(videos, "--out", tmp_path / "f.h5", "--weights", tmp_path / "w.safetensors")
    assert code == 2
    assert "is not a complete safetensors file" in output


def test_weights_of_another_network(videos: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"layer": torch.zeros(3)}, tmp_path / "w.safetensors")
    code, output = run(videos, "--out", tmp_path / "f.h5", "--weights", tmp_path / "w.safetensors")
    assert code == 2
    assert "holds other weights" in output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_without_write_permission(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    code, output = run(videos, "--out", tmp_path / "locked" / "f.h5", "--weights", "untrained")
    assert code == 2
    assert "no permission to write" in output


def test_bad_places_for_the_output(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.h5").write_text("mine")
    for place, message in (
        (tmp_path, "is a directory"),
        (tmp_path / "missing" / "f.h5", "mkdir -p"),
        (tmp_path / "notes.h5", "left untouched"),
    ):
        code, output = run(videos, "--out", place, "--weights", "untrained")
        assert code == 2
        assert message in output
    assert (tmp_path / "notes.h5").read_text() == "mine"


def test_no_videos(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--out", tmp_path / "f.h5", "--weights", "untrained")
    assert code == 2
    assert "no videos found" in output


def test_bad_videos_are_listed_and_the_good_one_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    render_clip(folder / "good.mp4", num_frames=2)
    (folder / "empty.mp4").touch()
    (folder / "random.mp4").write_bytes(os.urandom(4000))
    render_audio(folder / "sound.mp4")
    (folder / "cut.mp4").write_bytes((folder / "good.mp4").read_bytes()[:-300])
    code, output = run(folder, "--out", tmp_path / "f.h5", "--weights", "untrained", "--json")
    assert code == 1
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    failed = {event["id"]: event["reason"] for event in events if event["event"] == "VideoFailed"}
    assert set(failed) == {"empty", "random", "sound", "cut"}
    for video, message in {
        "empty": "0 bytes",
        "random": "not recognise",
        "sound": "no video stream",
        "cut": "cut off",
    }.items():
        assert message in failed[video]
    assert events[-1]["event"] == "RunSummary"
    with h5py.File(tmp_path / "f.h5") as file:
        assert {name: group["features"].shape for name, group in file["videos"].items()} == {"good": (2, 1024)}
        assert {row["id"].decode(): row["reason"].decode() for row in file["failures"]} == failed


def test_names_with_brackets(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip [ab].mp4", num_frames=2)
    (tmp_path / "bad [red].mp4").touch()
    code, output = run(tmp_path, "--out", tmp_path / "f.h5", "--weights", "untrained")
    assert code == 1
    assert "clip [ab]" in output
    assert "bad [red]" in output
    shown = runner.invoke(toolbox.app, ["inspect", str(tmp_path / "f.h5")])
    assert "clip [ab]" in shown.output
    assert "bad [red]" in shown.output


def test_a_bug_is_no_failed_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "extract", broken)
    code, output = run("a", "--out", tmp_path / "f.h5")
    assert code == 3
    assert "ZeroDivisionError" in output


def test_fps_above_the_videos(videos: Path, tmp_path: Path) -> None:
    code, output = run(videos / "b.mkv", "--out", tmp_path / "f.h5", "--weights", "untrained", "--fps", "60")
    assert code == 1
    assert "--fps 60 is more than the video's 25 frames per second" in output
    code, output = run(
        videos / "b.mkv", "--out", tmp_path / "f.h5", "--weights", "untrained", "--fps", "60", "--dry-run"
    )
    assert "will fail" in output


def test_inspect(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    assert run(videos / "b.mkv", "--out", out, "--weights", "untrained", "--stride", "6")[0] == 0
    table = runner.invoke(toolbox.app, ["inspect", str(out)])
    assert table.exit_code == 0
    assert "UNTRAINED" in table.output
    assert "80x60" in table.output
    content = json.loads(runner.invoke(toolbox.app, ["inspect", str(out), "--json"]).output)
    expected = {"id": "b", "rows": 3, "edge_rows": 3, "frames_decoded": 18, "width": 80, "height": 60}
    assert content["videos"] == [expected | {"frames_per_second": 25.0, "damaged_rows": 0, "incomplete": False}]
    assert content["attributes"]["schema"] == "lcdc-features/1"
    refused = runner.invoke(toolbox.app, ["inspect", str(videos / "b.mkv")])
    assert refused.exit_code == 2
    assert "cannot be read as HDF5" in refused.output


@pytest.mark.parametrize("module", ["cli", "toolbox"])
def test_help_does_not_import_torch(module: str) -> None:
    code = (
        f"import sys, lcdc_extract.{module} as m\n"
        "try: m.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'h5py', 'decord', 'av', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_version() -> None:
    from lcdc_extract import __version__

    assert run("--version") == (0, f"lcdc-extract {__version__}\n")
