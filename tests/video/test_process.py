"""The package as a user's script meets it: imports, no main guard, Ctrl-C, and death of the script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clips import render_clip

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os, sys
from pathlib import Path
from lcdc_extract.video import DecoderPool, FrameChunk, VideoSource
os.chdir(os.environ.get("GO_TO", "."))
with DecoderPool([VideoSource(str(i), Path(sys.argv[1])) for i in range(2)], timeout_seconds=600) as pool:
    events = iter(pool)
    if len(sys.argv) > 2:  # show the children's ids once they run, then keep waiting
        import threading, time
        def show():
            while len(pool._children) < 2:
                time.sleep(0.05)
            print(*[child.pid for child in pool._children], flush=True)
        threading.Thread(target=show, daemon=True).start()
    print(sum(len(event) for event in events if isinstance(event, FrameChunk) and not event.release()))
"""

HANG = """
import ctypes, os
from pathlib import Path
Path(__file__).with_name(f"{os.getpid()}.hangs").touch()
while True:
    ctypes.PyDLL(None).pause()
"""
"""In the place of decord: native code that never comes back and keeps the interpreter's lock, and costs no core."""


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def gone(pid: int) -> bool:
    """Whether a process is dead, also one nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 100
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def test_importing_loads_neither_decoder_nor_torch() -> None:
    heavy = "{'torch', 'decord', 'av'} & set(sys.modules)"
    for module in ("lcdc_extract.video", "lcdc_extract.video.worker"):
        with start(f"import sys, {module}; print({heavy})") as script:
            assert script.communicate()[0].strip() == "set()"


def test_script_without_main_guard(tmp_path: Path) -> None:
    with start(SCRIPT, str(render_clip(tmp_path / "a.mp4", num_frames=20))) as script:
        assert script.communicate(timeout=200) == ("40\n", "")


def test_modules_in_the_current_folder_do_not_get_in_the_way(tmp_path: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("needs PYTHONSAFEPATH of Python 3.11")
    path = render_clip(tmp_path / "a.mp4", num_frames=20)
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')")
    with start(SCRIPT, str(path), GO_TO=str(tmp_path)) as script:
        assert script.communicate(timeout=200) == ("40\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_the_script_even_if_they_hang(number: int, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4")
    hanging = tmp_path / "modules"
    hanging.mkdir()
    (hanging / "decord.py").write_text(HANG)
    with start(SCRIPT, str(path), "show", PYTHONPATH=f"{ROOT}{os.pathsep}{hanging}") as script:
        assert script.stdout is not None
        pids = [int(word) for word in script.stdout.readline().split()]
        assert len(pids) == 2
        wait_until(lambda: all((hanging / f"{pid}.hangs").exists() for pid in pids), "not all children started")
        assert not any(gone(pid) for pid in pids)
        os.killpg(script.pid, number) if number == signal.SIGINT else os.kill(script.pid, number)
        script.wait(timeout=60)
        wait_until(lambda: all(gone(pid) for pid in pids), f"of {pids} some live on")
