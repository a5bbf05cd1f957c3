"""The child process that decodes: `python -m lcdc_extract.video.worker DESCRIPTOR PARENT`.

DESCRIPTOR is a socket to the parent, PARENT its process id.
decord and ffmpeg can crash, spin for ever holding the interpreter lock, or write to standard output; here none of that
reaches the user's process. Standard output and error are a file the parent gave us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

import numpy as np

from lcdc_extract.errors import VideoError
from lcdc_extract.files import sha256_of
from lcdc_extract.video.decoders import DecodedFrame, OpenVideo, open_video
from lcdc_extract.video.events import Counts
from lcdc_extract.video.messages import BEAT_SECONDS, SLOTS, Beat, Ended, Filled, Job, Opened, Ready, Refused, Ring
from lcdc_extract.video.sampling import FrameSelector, check_rate
from lcdc_extract.video.shortage import in_words

_LOG_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Does one job after the other until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    _die_with(parent)
    connection = Connection(descriptor)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            message = connection.recv()
            if isinstance(message, Job):  # a slot of the last video may still be freed after its end
                _do(message, connection)
                connection.send(Ready())


def _die_with(parent: int) -> None:
    """Has the kernel end us with our parent, even while native code spins."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        sys.exit()


def _do(job: Job, connection: Connection) -> None:
    os.ftruncate(2, 0)
    try:
        video = _open(job)
        connection.send(Opened(video.info))
        if not job.only_probe:
            connection.send(_Decoding(job, video, connection).run())
    except VideoError as error:
        connection.send(Refused(str(error)))
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        connection.send(Refused(f"cannot read the file: {in_words(error)}"))


def _open(job: Job) -> OpenVideo:
    path = Path(job.path)
    if not path.is_file():
        raise VideoError("the file is no longer there")
    with path.open("rb") as file:
        if not file.read(1):
            raise VideoError("the file is empty (0 bytes); copy it again")
    video = open_video(path, job.decoder, _native_log)
    check_rate(job.fps, video.info.fps)
    return video


def _native_log() -> str:
    """What native code wrote to standard error about this video; the beginning, should it be very long."""
    return os.pread(2, _LOG_BYTES, 0).decode("utf-8", "replace")


class _Decoding:
    """One video on its way from the decoder into the ring."""

    def __init__(self, job: Job, video: OpenVideo, connection: Connection) -> None:
        self._path = Path(job.path)
        self._video = video
        self._connection = connection
        self._selector = FrameSelector(job.frame_step, job.fps)
        descriptor = recv_handle(connection)
        self._slots = Ring(descriptor, video.info.height, video.info.width).slots
        os.close(descriptor)
        self._free = deque(range(SLOTS))
        self._index: list[int] = []
        self._times: list[float] = []
        self._decoded = self._sampled = self._repeated = 0
        self._last_word = time.monotonic()

    def run(self) -> Ended:
        before: DecodedFrame | None = None
        for frame in self._video.frames():
            count = self._selector.feed(frame.pts_seconds)
            if before is not None:
                self._sample(before, count)
            before = frame
            self._decoded += 1
            self._beat()
        if before is not None:
            self._sample(before, self._selector.finish())
        self._flush()
        return Ended(self._counts())

    def _sample(self, frame: DecodedFrame, count: int) -> None:
        for _ in range(count):
            if not self._index:
                self._wait_for_slot()
            self._slots[self._free[0], len(self._index)] = frame.rgb
            self._index.append(frame.index)
            self._times.append(frame.pts_seconds)
            if len(self._index) == self._slots.shape[1]:
                self._flush()
        self._sampled += count
        self._repeated += max(0, count - 1)

    def _wait_for_slot(self) -> None:
        while not self._free or self._connection.poll():
            self._free.append(self._connection.recv().slot)

    def _flush(self) -> None:
        if not self._index:
            return
        index, times = np.array(self._index, np.int64), np.array(self._times, np.float64)
        self._say(Filled(self._free.popleft(), index, times, self._decoded))
        self._index, self._times = [], []

    def _counts(self) -> Counts:
        sha256, status = sha256_of(self._path, on_block=self._beat), self._path.stat()
        return Counts(
            frames_decoded=self._decoded,
            frames_sampled=self._sampled,
            frames_repeated=self._repeated,
            damaged_packets=self._video.damaged_packets,
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
            sha256=sha256,
        )

    def _beat(self) -> None:
        if time.monotonic() - self._last_word > BEAT_SECONDS:
            self._say(Beat(self._decoded))

    def _say(self, message: Filled | Beat) -> None:
        self._connection.send(message)
        self._last_word = time.monotonic()


if __name__ == "__main__":
    main()
