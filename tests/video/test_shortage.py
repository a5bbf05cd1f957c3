"""When processes, open files or memory run out, the message says so, and never speaks of a disk to repair."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lcdc_extract.errors import VideoError
from lcdc_extract.video import DecoderPool, FrameChunk, VideoEnded, VideoSource, probe
from lcdc_extract.video import pool as pool_module
from lcdc_extract.video.child import Child
from tests.clips import render_clip
from tests.video.reference import failure, source

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More frames than fit into the slots."""
    return render_clip(tmp_path_factory.mktemp("clips") / "a.mp4", num_frames=400)


def copies(path: Path, count: int) -> list[VideoSource]:
    return [VideoSource(f"video{i}", path) for i in range(count)]


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def fails_after(good: int, function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """`function`, which the system refuses from the call `good` + 1 on."""
    calls = iter(range(good))

    def refused(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))
        return function(*args, **options)

    return refused


PROCESSES = r"no more processes are allowed; raise the limit \(`ulimit -u`, or that of the container or job\)"
FILES = r"too many files are open; raise the limit \(`ulimit -n`\)"
PLACES = {
    "processes": (subprocess, "Popen", errno.EAGAIN, PROCESSES),
    "files for a process": (subprocess, "Popen", errno.EMFILE, FILES),
    "memory for a process": (subprocess, "Popen", errno.ENOMEM, "memory ran out; end other programs"),
    "files for a socket": (socket, "socketpair", errno.EMFILE, FILES),
    "files of the machine": (socket, "socketpair", errno.ENFILE, "too many files are open on this machine"),
    "files for the log": (tempfile, "TemporaryFile", errno.EMFILE, FILES),
    "room for the log": (
        tempfile,
        "TemporaryFile",
        errno.ENOSPC,
        "No space left on device; TMPDIR must be a folder with",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_decoders_that_cannot_be_started(place: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, number, words = PLACES[place]
    before = open_files()
    monkeypatch.setattr(module, name, fails_after(0, getattr(module, name), number))
    with pytest.raises(VideoError, match=rf"^decoder process 1 cannot be set up: .*{words}") as error:
        probe(copies(clip, 3), decoders=3)
    assert "`decoders`" not in str(error.value), "there cannot be fewer than one"
    assert open_files() == before


@pytest.mark.parametrize("place", PLACES)
def test_fewer_decoders_than_asked_for_are_not_taken_silently(
    place: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, number, words = PLACES[place]
    before = open_files()
    monkeypatch.setattr(module, name, fails_after(2, getattr(module, name), number))
    words = rf"^decoder process 3 cannot be set up: .*{words}.*, or use fewer `decoders`: 2 run$"
    with pytest.raises(VideoError, match=words), DecoderPool(copies(clip, 3), decoders=3) as pool:
        list(pool)
    assert open_files() == before


def test_a_real_limit_of_open_files(clip: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from lcdc_extract.video import VideoSource, probe; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)); "
        "probe([VideoSource(str(i), Path(sys.argv[1])) for i in range(20)], decoders=20)"
    )
    run = subprocess.run([sys.executable, "-c", script, clip], check=False, capture_output=True, text=True, cwd=ROOT)
    last = run.stderr.splitlines()[-1]
    assert re.search(
        rf"VideoError: decoder process \d cannot be set up: {FILES}, or use fewer `decoders`: \d run$", last
    )


@pytest.mark.parametrize("name", ["memfd_create", "dup"])
def test_no_open_files_left_for_the_frames(name: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, name, fails_after(0, getattr(os, name), errno.EMFILE))
    if name == "dup":  # what sending a descriptor begins with
        monkeypatch.setattr("socket.dup", os.dup)
    with pytest.raises(VideoError, match=FILES), DecoderPool([source(clip)]) as pool:
        list(pool)


def test_no_memory_for_the_frames_of_one_video_does_not_stop_the_others(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = fails_after(0, os.posix_fallocate, errno.ENOMEM)
    monkeypatch.setattr(os, "posix_fallocate", refused)
    with DecoderPool(copies(clip, 2), decoders=1) as pool:
        events = iter(pool)
        failed = next(events)
        monkeypatch.undo()
        rest = [event for event in events if not isinstance(event, FrameChunk) or event.release()]
    assert failed.reason == "no memory for frames of 64x48: Cannot allocate memory; free some, or use fewer `decoders`"
    assert isinstance(rest[-1], VideoEnded)


def test_a_decoder_that_finds_no_more_threads(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decord.py").write_text("raise RuntimeError('thread: Resource temporarily unavailable')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    reason = failure(clip)
    assert "(RuntimeError: thread: Resource temporarily unavailable)" in reason
    assert "no more processes are allowed; raise the limit" in reason
    assert "`decoder=" not in reason, "the other decoder would find no more"


STUB = """
import errno
from types import SimpleNamespace
class DECORDError(Exception): pass
_ffi = SimpleNamespace(base=SimpleNamespace(DECORDLimitReachedError=DECORDError))
logging = SimpleNamespace(INFO=0, set_level=id)
cpu = id
def VideoReader(*args, **options): raise OSError(errno.EMFILE, "Too many open files")
"""


def test_files_that_run_out_in_the_child(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decord.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert failure(clip) == "cannot read the file: too many files are open; raise the limit (`ulimit -n`)"


class Unkillable:
    """A process in uninterruptible sleep: signals wait until the disk answers."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        self.waits = 0

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "this would take for ever"
        self.waits += 1
        raise subprocess.TimeoutExpired("worker", timeout)


def test_a_process_that_cannot_be_killed_is_left_behind(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_END_SECONDS", 0.1)
    with DecoderPool(copies(clip, 2), decoders=1, timeout_seconds=60) as pool:
        events = iter(pool)
        chunk = next(event for event in events if isinstance(event, FrameChunk))
        process = pool._children[0]._process
        process.send_signal(signal.SIGSTOP)
        pool._children[0]._process = Unkillable(process)  # type: ignore[assignment]
        chunk.release()
        pool._timeout_seconds = 1.0  # for this child only: others may need longer to start on a busy machine
        failed = next(event for event in events if not isinstance(event, FrameChunk) or event.release())
        pool._timeout_seconds = 60
        rest = [event for event in events if not isinstance(event, FrameChunk) or event.release()]
    process.kill()
    process.wait()
    assert f"and cannot be stopped: process {process.pid} waits inside the system" in failed.reason
    assert "`decode_timeout_seconds`" not in failed.reason, "waiting longer is no help"
    assert isinstance(rest[-1], VideoEnded)


def test_leaving_does_not_wait_for_processes_that_cannot_be_killed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_END_SECONDS", 0.1)
    with DecoderPool(copies(clip, 2)) as pool:
        next(iter(pool))
        processes = [child._process for child in pool._children]
        for child in pool._children:
            child._process = Unkillable(child._process)  # type: ignore[assignment]
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_hangs_up_and_does_not_end() -> None:
    child = Child()
    process = child._process
    child._process = Unkillable(process)  # type: ignore[assignment]
    assert child.why_dead(within_seconds=0.1) == "hung up without ending"
    child.kill()
    process.kill()
    process.wait()
