"""One video, from the file into the memory that is shared with the parent; runs in the child process."""

from __future__ import annotations

import os
import time
from collections import deque
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

import numpy as np

from lcdc_extract.errors import VideoError
from lcdc_extract.video.content import digest_of, stamp_of
from lcdc_extract.video.decoded import DecodedFrame, OpenVideo
from lcdc_extract.video.decoders import (
    Footage,
    chooses_decord,
    damaged_video,
    describe,
    open_av,
    open_decord,
    open_footage,
)
from lcdc_extract.video.events import Counts
from lcdc_extract.video.messages import BEAT_SECONDS, SLOTS, Beat, Ended, Filled, Job, Memory, Opened, Ring
from lcdc_extract.video.parts import Needed
from lcdc_extract.video.sampling import FrameSelector, check_rate

_LOG_BYTES = 1 << 20


def decode(job: Job, connection: Connection) -> None:
    """Opens a video, and unless that was all, sends its frames.

    Where decord fails and PyAV may take over, or frames outgrow the memory, decoding begins anew.

    Raises:
        VideoError: it cannot be decoded, or not to its end.
    """
    voice, reading, distrust = _Voice(connection), job.reading, job.distrust
    footage = open_footage(Path(job.path), reading, partial(voice.beat, 0))
    if not job.only_probe:
        check_rate(reading.fps, footage.nominal_fps)
    height, width = footage.height, footage.width
    while True:
        voice.say(Opened(describe(footage, reading, distrust), height, width))
        if job.only_probe:
            return
        decoding = _Decoding(job, footage, _receive_memory(connection, height, width), connection, voice)
        by_decord = chooses_decord(footage, reading, distrust)
        try:
            voice.say(decoding.run(open_decord(footage, _native_log) if by_decord else open_av(footage, reading)))
            return
        except OutgrownError as frame:
            height, width = frame.height, frame.width
        except VideoError as error:
            if not by_decord:
                raise
            if reading.decoder != "auto":
                raise VideoError(f"{error}. `decoder='auto'` lets PyAV read it") from error
            distrust = str(error)


class OutgrownError(Exception):
    """A frame is larger than the memory that was set aside for one."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.height, self.width = height, width


def _receive_memory(connection: Connection, height: int, width: int) -> Ring:
    while not isinstance(connection.recv(), Memory):
        pass  # slots of earlier memory that are freed
    descriptor = recv_handle(connection)
    try:
        return Ring(descriptor, height, width)
    finally:
        os.close(descriptor)


def _native_log() -> str:
    """What native code wrote to standard error about this video; the beginning, should it be very long."""
    return os.pread(2, _LOG_BYTES, 0).decode("utf-8", "replace")


class _Voice:
    """Speaks to the parent, and is never silent for long."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last_word = time.monotonic()

    def beat(self, frames_decoded: int) -> None:
        """Gives a sign of life, if it is time for one."""
        if time.monotonic() - self._last_word > BEAT_SECONDS:
            self.say(Beat(frames_decoded))

    def say(self, message: object) -> None:
        self._connection.send(message)
        self._last_word = time.monotonic()


class _Decoding:
    """One video on its way from the decoder into the ring."""

    def __init__(self, job: Job, footage: Footage, ring: Ring, connection: Connection, voice: _Voice) -> None:
        self._job, self._footage, self._ring = job, footage, ring
        self._connection, self._voice = connection, voice
        self._free = deque(range(SLOTS))

    def run(self, video: OpenVideo) -> Ended:
        """Sends what is needed of a video.

        Raises:
            VideoError: the decoder cannot be trusted with it, or the frames with what is asked of them.
            OutgrownError: the ring is too small for a frame.
        """
        self._video, self._chunk = video, _Chunk()
        self._decoded = self._sampled = self._repeated = self._damaged = 0
        self._last_seconds = 0.0
        reading, before = self._job.reading, None
        self._needed = Needed(self._job.parts, see_beyond=reading.part_edges == "see")
        selector = FrameSelector(reading.frame_step, reading.fps, reading.longest_gap_seconds)
        for frame in video.frames():
            count = selector.feed(frame.pts_seconds)
            if before is not None:
                self._sample(before, count)
            before = frame
            self._decoded, self._last_seconds = self._decoded + 1, frame.pts_seconds
            self._damaged += frame.damaged
            self._voice.beat(self._decoded)
        if before is not None:
            self._sample(before, selector.finish())
        self._flush()
        condition = video.condition()
        if reading.on_damage == "fail" and (self._damaged or condition.incomplete):
            raise VideoError(damaged_video(self._footage, condition, self._damaged))
        return Ended(self._counts(), condition)

    def _sample(self, frame: DecodedFrame, count: int) -> None:
        for _ in range(count):
            start_seconds = self._video.condition().start_seconds
            for place, needed in self._needed.take(frame, start_seconds):
                self._send(place, needed, start_seconds)
        self._sampled += count
        self._repeated += max(0, count - 1)

    def _send(self, place: int, frame: DecodedFrame, start_seconds: float) -> None:
        height, width, _ = frame.rgb.shape
        if not self._chunk.goes_on_with(place, height, width):
            self._flush()
            self._chunk = _Chunk(place, height, width, start_seconds)
            self._wait_for_slot()
        room = self._ring.room(height, width)
        if not room:
            raise OutgrownError(height, width)
        self._ring.frames(self._free[0], room, height, width)[len(self._chunk)] = frame.rgb
        self._chunk.add(frame)
        if len(self._chunk) == room:
            self._flush()

    def _wait_for_slot(self) -> None:
        while not self._free or self._connection.poll():
            self._free.append(self._connection.recv().slot)

    def _flush(self) -> None:
        if len(self._chunk):
            self._voice.say(self._chunk.filled(self._free.popleft(), self._decoded))
        self._chunk = _Chunk()

    def _counts(self) -> Counts:
        path = self._footage.path
        sha256, stamp = digest_of(path, on_block=partial(self._voice.beat, self._decoded)), stamp_of(path)
        return Counts(
            frames_decoded=self._decoded,
            frames_sampled=self._sampled,
            frames_repeated=self._repeated,
            frames_damaged=self._damaged,
            last_seconds=self._last_seconds,
            size_bytes=stamp.size_bytes,
            modified_ns=stamp.modified_ns,
            sha256=sha256,
        )


class _Chunk:
    """What is known of the frames in a slot that is being filled: they follow one another, and have one size."""

    def __init__(self, place: int = 0, height: int = 0, width: int = 0, start_seconds: float = 0.0) -> None:
        self._place, self._height, self._width, self._start_seconds = place, height, width, start_seconds
        self._index: list[int] = []
        self._seconds: list[float] = []
        self._damaged: list[bool] = []

    def __len__(self) -> int:
        return len(self._index)

    def goes_on_with(self, place: int, height: int, width: int) -> bool:
        following = self._place + len(self)
        return len(self) > 0 and (place, height, width) == (following, self._height, self._width)

    def add(self, frame: DecodedFrame) -> None:
        self._index.append(frame.index)
        self._seconds.append(frame.pts_seconds)
        self._damaged.append(frame.damaged)

    def filled(self, slot: int, frames_decoded: int) -> Filled:
        return Filled(
            slot,
            self._place,
            self._start_seconds,
            self._height,
            self._width,
            np.array(self._index, np.int64),
            np.array(self._seconds, np.float64),
            np.array(self._damaged, np.bool_),
            frames_decoded,
        )
