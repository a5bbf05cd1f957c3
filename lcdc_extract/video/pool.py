"""Decodes several videos side by side, each in a child process that may crash or hang without harm."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from lcdc_extract.video.child import Child
from lcdc_extract.video.discovery import VideoSource
from lcdc_extract.video.events import DecodingFailed, VideoEnded, VideoEvent, VideoInfo, VideoOpened
from lcdc_extract.video.messages import Beat, Ended, Filled, Job, Opened, Ready, Refused
from lcdc_extract.video.reading import Reading
from lcdc_extract.video.shortage import OPEN_FILES, shortage, shortage_in

_POLL_SECONDS = 1.0
"""Longest wait in one go."""

_END_SECONDS = 5.0
"""A process that is killed is gone sooner, unless it hangs in the system."""

DEFAULT_READING = Reading()


class DecoderPool:
    """Iterates over the events of all `sources`; those of different videos interleave.

    Per video the order is `VideoOpened`, `FrameChunk` ..., then `VideoEnded` or `DecodingFailed`; a video that cannot
    be opened has only `DecodingFailed`. Where PyAV takes over from decord, or frames outgrow their memory, there is
    another `VideoOpened`, and chunks from the first frame on. A decoder has three chunks of memory: it stops until
    chunks are released, so whoever keeps three of one video waits for ever.

    Use it as a context manager, from one thread (the children end with the thread that started them); only
    `FrameChunk.release` may be called from others. Leaving kills the children. Chunks still held stay readable.

    Iterating raises VideoError where no `decoders` processes can be had: it does not go on with fewer.
    """

    def __init__(
        self,
        sources: Sequence[VideoSource],
        reading: Reading = DEFAULT_READING,
        *,
        decoders: int = 2,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Prepares; children start when iteration does.

        Args:
            sources: videos, started in this order.
            reading: how each is read.
            decoders: processes side by side; no more than videos are started.
            timeout_seconds: a child that owes a frame and is silent for this long is killed and its video fails.
        """
        self._sources = deque(sources)
        self._reading, self._only_probe = reading, False
        self._distrust: dict[VideoSource, str] = {}  # why PyAV is to read a video that decord failed on
        self._decoders = decoders
        self._timeout_seconds = timeout_seconds
        self._children: list[Child] = []
        self._last_visit = 0.0

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._dismiss(*self._children)

    def __iter__(self) -> Iterator[VideoEvent]:
        for child, message in self._messages():
            if isinstance(message, Opened):
                yield self._opened(child, message)
            elif isinstance(message, Filled):
                yield child.chunk(message)
            else:
                yield self._over(child, message)

    def probes(self) -> Iterator[tuple[VideoSource, VideoInfo | DecodingFailed]]:
        """Opens each source without decoding it; see `probe`."""
        self._only_probe = True
        for child, message in self._messages():
            source = _source_of(child)
            child.finish()
            yield source, message.info if isinstance(message, Opened) else DecodingFailed(source, message.reason)

    def _messages(self) -> Iterator[tuple[Child, Any]]:
        """What children that work on a video say, until all sources are dealt with; silence and death are refusals."""
        self._last_visit = time.monotonic()
        while True:
            self._start_children()
            if not self._children:
                return
            ready = wait([child.connection for child in self._children], self._wait_seconds())
            elapsed = self._elapsed_seconds()
            for child in list(self._children):
                answered = child.connection in ready
                message = self._receive(child) if answered else self._check_patience(child, elapsed)
                if message is not None:
                    yield child, message

    def _start_children(self) -> None:
        while self._sources and len(self._children) < self._decoders:
            try:
                self._children.append(Child())
            except OSError as error:
                raise shortage(error, running=len(self._children)) from error
            self._assign(self._children[-1])

    def _receive(self, child: Child) -> Any:
        child.waited_seconds = 0.0
        try:
            message = child.connection.recv()
        except (EOFError, OSError):
            reason = f"the decoder process {child.why_dead(_END_SECONDS)} at about frame {child.frames_decoded}"
            self._dismiss(child)
            if lacking := shortage_in(reason):
                return _refusal(child, f"{reason}; {lacking}")  # the other decoder would find no more
            return self._failure(child, reason, self._other_decoder())
        if isinstance(message, Beat):
            child.frames_decoded = message.frames_decoded
            return None
        if isinstance(message, Ready):
            self._assign(child)
            return None
        return message

    def _check_patience(self, child: Child, elapsed: float) -> Refused | None:
        if not child.owes_us:
            return None
        child.waited_seconds += elapsed
        if child.waited_seconds < self._timeout_seconds:
            return None
        silence = (
            f"the decoder gave no sign of life for {self._timeout_seconds:g} s at about frame {child.frames_decoded}"
        )
        if self._dismiss(child):
            advice = f"{self._other_decoder()}; a slow disk needs a longer `decode_timeout_seconds`"
            return self._failure(child, f"{silence} and was stopped", advice)
        return _refusal(
            child,
            f"{silence} and cannot be stopped: process {child.pid} waits inside the system, perhaps for a disk that "
            "does not answer. Once the disk is back, give the same command again",
        )

    def _failure(self, child: Child, reason: str, advice: str) -> Refused | None:
        """A decoder that crashed or hung fails its video, unless PyAV is there to try it."""
        source, job = child.source, child.job
        if source and job and job.reading.decoder == "auto" and not job.distrust:
            self._distrust[source] = reason
            self._sources.appendleft(source)
            return None
        return _refusal(child, f"{reason}; {advice}")

    def _opened(self, child: Child, opened: Opened) -> VideoOpened | DecodingFailed:
        source = _source_of(child)
        try:
            child.share_memory(opened)
        except OSError as error:
            self._dismiss(child)
            if error.errno in OPEN_FILES:
                raise shortage(error, running=len(self._children)) from error
            size, why = f"{opened.width}x{opened.height}", error.strerror or error
            return DecodingFailed(source, f"no memory for frames of {size}: {why}; free some, or use fewer `decoders`")
        return VideoOpened(source, opened.info)

    def _over(self, child: Child, message: Ended | Refused) -> VideoEnded | DecodingFailed:
        source, info = _source_of(child), child.info
        child.finish()
        if isinstance(message, Refused):
            return DecodingFailed(source, message.reason)
        assert info is not None, "it was opened"
        return VideoEnded(source, info, message.counts, message.condition)

    def _assign(self, child: Child) -> None:
        if self._sources:
            source = self._sources.popleft()
            path, distrust = os.path.abspath(source.path), self._distrust.get(source, "")
            child.start(source, Job(path, self._reading, source.parts, self._only_probe, distrust))
        else:
            self._dismiss(child)

    def _dismiss(self, *children: Child) -> bool:
        """Ends children; False where one outlives that, which then ends with this process at the latest."""
        self._children = [child for child in self._children if child not in children]
        for child in children:
            child.kill()
        deadline = time.monotonic() + _END_SECONDS
        ended = [child.has_ended(deadline - time.monotonic()) for child in children]
        return all(ended)

    def _wait_seconds(self) -> float:
        return min(_POLL_SECONDS, self._timeout_seconds / 4)

    def _elapsed_seconds(self) -> float:
        """Since the last visit, but at most one wait: while nobody asked, or the machine slept, no child is late."""
        now = time.monotonic()
        elapsed = min(now - self._last_visit, self._wait_seconds())
        self._last_visit = now
        return elapsed

    def _other_decoder(self) -> str:
        if self._reading.decoder == "auto":
            return "neither decoder can read the file: convert it, ffmpeg -i IN OUT.mp4"
        return "the other decoder may read the file: `decoder='auto'`"


def probe(
    sources: Sequence[VideoSource],
    reading: Reading = DEFAULT_READING,
    *,
    decoders: int = 2,
    timeout_seconds: float = 60.0,
) -> dict[str, VideoInfo | DecodingFailed]:
    """Opens each video in a child process and returns, by id, what its container says or why it cannot be opened."""
    with DecoderPool(sources, reading, decoders=decoders, timeout_seconds=timeout_seconds) as pool:
        found = {source.id: result for source, result in pool.probes()}
    return {source.id: found[source.id] for source in sources}


def _refusal(child: Child, reason: str) -> Refused | None:
    """None where a child had no video any more: that is nobody's failure."""
    return Refused(reason) if child.source else None


def _source_of(child: Child) -> VideoSource:
    assert child.source is not None, "only a child with a video sends messages about one"
    return child.source
