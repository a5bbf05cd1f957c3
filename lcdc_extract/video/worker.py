"""The child process that decodes: `python -m lcdc_extract.video.worker DESCRIPTOR PARENT`.

DESCRIPTOR is a socket to the parent, PARENT its process id.
decord and ffmpeg can crash, spin for ever holding the interpreter lock, or write to standard output; here none of that
reaches the user's process. Standard output and error are a file the parent gave us.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
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
from lcdc_extract.video.decoders import DecodedFrame, Decoder, open_decoder
from lcdc_extract.video.messages import BEAT_SECONDS, SLOTS, Beat, Ended, Failed, Filled, Job, Opened, Ready, Ring
from lcdc_extract.video.sampling import FrameSelector, check_rate

_HASH_BYTES = 4 << 20
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
        decoder = _open(job)
        connection.send(Opened(decoder.info))
        if not job.only_probe:
            connection.send(_Decoding(job, decoder, connection).run())
    except VideoError as error:
        connection.send(Failed(str(error)))
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        connection.send(Failed(f"cannot read the file: {error.strerror or error}"))


def _open(job: Job) -> Decoder:
    path = Path(job.path)
    if not path.is_file():
        raise VideoError("the file is no longer there")
    with path.open("rb") as file:
        if not file.read(1):
            raise VideoError("the file is empty (0 bytes); copy it again")
    decoder = open_decoder(path, job.decoder, _native_log)
    check_rate(job.fps, decoder.info.fps)
    return decoder


def _native_log() -> str:
    """What native code wrote to standard error about this video; the beginning, should it be very long."""
    return os.pread(2, _LOG_BYTES, 0).decode("utf-8", "replace")


class _Decoding:
    """One video on its way from the decoder into the ring."""

    def __init__(self, job: Job, decoder: Decoder, connection: Connection) -> None:
        self._path = Path(job.path)
        self._decoder = decoder
        self._connection = connection
        self._selector = FrameSelector(job.frame_step, job.fps)
        descriptor = recv_handle(connection)
        self._slots = Ring(descriptor, decoder.info.height, decoder.info.width).slots
        os.close(descriptor)
        self._free = deque(range(SLOTS))
        self._index: list[int] = []
        self._times: list[float] = []
        self._decoded = self._sampled = self._repeated = 0
        self._last_word = time.monotonic()

    def run(self) -> Ended:
        before: DecodedFrame | None = None
        for frame in self._decoder.frames():
            count = self._selector.feed(frame.pts_seconds)
            if before is not None:
                self._sample(before, count)
            before = frame
            self._decoded += 1
            self._beat()
        if before is not None:
            self._sample(before, self._selector.finish())
        self._flush()
        size_bytes, sha256 = self._digest()
        return Ended(
            frames_decoded=self._decoded,
            frames_sampled=self._sampled,
            frames_repeated=self._repeated,
            damaged_packets=self._decoder.damaged_packets,
            size_bytes=size_bytes,
            modified_ns=self._path.stat().st_mtime_ns,
            sha256=sha256,
        )

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

    def _digest(self) -> tuple[int, str]:
        digest, size_bytes = hashlib.sha256(), 0
        with self._path.open("rb") as file:
            while piece := file.read(_HASH_BYTES):
                digest.update(piece)
                size_bytes += len(piece)
                self._beat()
        return size_bytes, digest.hexdigest()

    def _beat(self) -> None:
        if time.monotonic() - self._last_word > BEAT_SECONDS:
            self._say(Beat(self._decoded))

    def _say(self, message: Filled | Beat) -> None:
        self._connection.send(message)
        self._last_word = time.monotonic()


if __name__ == "__main__":
    main()
