"""The parent's side of one decoding process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path

from lcdc_extract.video.discovery import VideoSource
from lcdc_extract.video.events import FrameChunk, VideoInfo
from lcdc_extract.video.messages import SLOTS, Filled, Free, Job, Memory, Opened, Ring

_LOG_TAIL_BYTES = 2000
_PACKAGE_PARENT = str(Path(__file__).parents[2])


class Child:
    """A decoding process, the video it works on, and how long it has kept us waiting."""

    def __init__(self) -> None:
        """Starts it.

        Raises:
            OSError: no more processes, files or memory are to be had.
        """
        with contextlib.ExitStack() as opened:
            self._log = opened.enter_context(tempfile.TemporaryFile(mode="a+b"))
            ours, theirs = map(opened.enter_context, socket.socketpair())
            with theirs:
                self._process = _start_worker(theirs.fileno(), self._log.fileno())
            opened.pop_all()  # started: from here on they are the child's
        self.connection = Connection(ours.detach())
        self.source: VideoSource | None = None
        self.job: Job | None = None
        self.info: VideoInfo | None = None
        self.frames_decoded = 0
        self.waited_seconds = 0.0
        self._ring: Ring | None = None
        self._slots_in_use = 0
        self._lock = threading.Lock()  # chunks may be released by another thread

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def owes_us(self) -> bool:
        """Whether it is its turn to say something: it is not while every slot is in use."""
        return self._slots_in_use < SLOTS

    def start(self, source: VideoSource, job: Job) -> None:
        with self._lock:
            self.source, self.job, self.info, self._ring, self._slots_in_use = source, job, None, None, 0
            self.frames_decoded, self.waited_seconds = 0, 0.0
            self._send(job)

    def share_memory(self, opened: Opened) -> None:
        """Gives the child, which has opened its video, memory for its frames, in place of any it had.

        Raises:
            OSError: there is not enough.
        """
        self.info = opened.info
        descriptor = Ring.reserve(opened.height, opened.width)
        try:
            ring = Ring(descriptor, opened.height, opened.width)
            with self._lock:
                self._ring, self._slots_in_use = ring, 0
                self._send(Memory())
                send_handle(self.connection, descriptor, self.pid)
        except ConnectionError:
            pass  # it died; the next receive tells
        finally:
            os.close(descriptor)

    def chunk(self, filled: Filled) -> FrameChunk:
        ring, source = self._ring, self.source
        assert ring is not None
        assert source is not None
        with self._lock:
            self._slots_in_use += 1
        self.frames_decoded = filled.frames_decoded
        rgb = ring.frames(filled.slot, len(filled.index), filled.height, filled.width)
        return FrameChunk(
            source,
            rgb,
            filled.index,
            filled.pts_seconds,
            filled.damaged,
            place=filled.place,
            start_seconds=filled.start_seconds,
            on_release=partial(self._release, ring, filled.slot),
        )

    def finish(self) -> None:
        """The video is over; chunks still in use keep their memory but have no one to go back to."""
        with self._lock:
            self.source, self.info, self._ring, self._slots_in_use = None, None, None, 0

    def kill(self) -> None:
        """Has the system end the process, whatever it does; `has_ended` tells when it is gone."""
        with self._lock:
            self._ring = None
            self.connection.close()
        self._process.kill()
        self._log.close()

    def has_ended(self, within_seconds: float) -> bool:
        """Waits for the end. One that waits for a disk that does not answer can outlive `kill`, until the disk does."""
        try:
            self._process.wait(max(0.0, within_seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def why_dead(self, within_seconds: float) -> str:
        """The end of a process that hung up: by which signal, and the last it wrote."""
        if not self.has_ended(within_seconds):
            return f"hung up without ending{self._last_words()}"
        code = self._process.returncode
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        hint = ", perhaps because memory ran out (fewer `decoders` need less)" if code == -signal.SIGKILL else ""
        return f"{how}{hint}{self._last_words()}"

    def _release(self, ring: Ring, slot: int) -> None:
        with self._lock:
            if self._ring is ring:
                self._slots_in_use -= 1
                self.waited_seconds = 0.0
                self._send(Free(slot))

    def _send(self, message: Job | Free | Memory) -> None:
        with contextlib.suppress(ConnectionError):  # it died; the next receive tells
            self.connection.send(message)

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES)).decode("utf-8", "replace")
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return f" ({lines[-1]})" if lines else ""


def _start_worker(descriptor: int, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "lcdc_extract.video.worker", str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[descriptor],
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """The child must find this package however the parent did, and must not pick up modules from the current folder."""
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([_PACKAGE_PARENT, path] if path else [_PACKAGE_PARENT]),
        "PYTHONSAFEPATH": "1",
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
