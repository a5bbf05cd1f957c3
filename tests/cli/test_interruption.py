"""Stopped at any moment: what is finished stays, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from tests.clips import render_clip

TOOLBOX = "from lcdc_extract.toolbox import main; main()"
COMMAND = [sys.executable, "-c", "from lcdc_extract.cli import main; main()"]


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    options = ["--weights", "untrained", "--decoders", "1", "--batch-size", "4", "--json"]
    return subprocess.Popen(
        [*COMMAND, str(folder), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], kind: str, video: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == kind and event["id"] == video:
            return
    raise AssertionError(f"no {kind} of {video}: {process.stderr.read() if process.stderr else ''}")


def test_nobody_reads_the_events_any_more(tmp_path: Path) -> None:
    """`lcdc-extract ... --json | head -1`: neither failed videos nor a bug, and nothing finished is lost."""
    folder, out = tmp_path / "videos", tmp_path / "f.h5"
    render_clip(folder / "a.mp4", num_frames=4)
    render_clip(folder / "b.mp4", num_frames=400)
    process = start(folder, out)
    assert process.stdout is not None
    wait_for(process, "VideoFinished", "a")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    render_clip(folder / "b.mp4", num_frames=3)
    again = subprocess.run(
        [*COMMAND, str(folder), "--out", str(out), "--weights", "untrained"], capture_output=True, text=True, check=True
    )
    assert "1 already finished" in again.stderr


def test_a_table_that_nobody_reads(tmp_path: Path) -> None:
    """Rich prints it, in one piece, into a pipe that is closed."""
    command = f"import sys; sys.argv = ['lcdc', 'weights', 'list']; {TOOLBOX}"
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert (process.wait(timeout=120), errors) == (141, b"")


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_finished_videos_are_kept(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    folder, out = tmp_path / "videos", tmp_path / "f.h5"
    render_clip(folder / "a.mp4", num_frames=4)
    render_clip(folder / "b.mp4", num_frames=400)
    process = start(folder, out)
    wait_for(process, "VideoFinished", "a")
    wait_for(process, "Progress", "b")
    process.send_signal(sent)
    stopped = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert time.monotonic() - stopped < 20, "the video would have taken far longer"
    assert not out.exists()
    if sent != signal.SIGKILL:
        assert "Finished videos are kept" in errors
        assert "Traceback" not in errors
    render_clip(folder / "b.mp4", num_frames=3)
    again = subprocess.run(
        [*COMMAND, str(folder), "--out", str(out), "--weights", "untrained"], capture_output=True, text=True, check=True
    )
    assert "1 already finished" in again.stderr
    assert "WARNING: the network is untrained" in again.stderr
    with h5py.File(out) as file:
        assert {name: group["features"].shape for name, group in file["videos"].items()} == {
            "a": (4, 1024),
            "b": (3, 1024),
        }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "videos"]


@pytest.mark.parametrize(("handler", "code"), [("SIG_DFL", 129), ("SIG_IGN", 0)])
def test_a_terminal_that_closes(handler: str, code: int) -> None:
    """SIGHUP stops a run with the same words, but not under nohup, which has it ignored."""
    script = (
        "import os, signal, typer; from lcdc_extract.terminal import stoppable\n"
        f"signal.signal(signal.SIGHUP, signal.{handler})\n"
        "try:\n"
        "    with stoppable(lambda: 'Finished videos are kept'):\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "except typer.Exit as stop:\n"
        "    raise SystemExit(stop.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("Finished videos are kept" in done.stderr) == (code == 129)
