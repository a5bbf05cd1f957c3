"""The child processes: order, memory, and what happens when one hangs, crashes, or nobody listens."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.video import (
    DecoderPool,
    DecodingFailed,
    FrameChunk,
    Reading,
    VideoEnded,
    VideoEvent,
    VideoOpened,
    VideoSource,
)
from lcdc_extract.video.child import Child
from lcdc_extract.video.messages import SLOTS, Beat, Ended, Filled, Job, Opened, Ready
from tests.clips import read_number, render_clip
from tests.video.reference import decode, failure, source

LONG = 700
"""Frames of a clip that does not fit into the slots: they hold 3 times 64."""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_clip(tmp_path_factory.mktemp("clips") / "long.mp4", num_frames=LONG)


def copies(path: Path, count: int) -> list[VideoSource]:
    return [VideoSource(f"video{i}", path) for i in range(count)]


def first_chunk(events: Iterable[VideoEvent]) -> FrameChunk:
    return next(event for event in events if isinstance(event, FrameChunk))


def drain(events: Iterable[VideoEvent]) -> list[VideoEvent]:
    """The remaining events, chunks released and left out."""
    rest: list[VideoEvent] = []
    for event in events:
        if isinstance(event, FrameChunk):
            event.release()
        else:
            rest.append(event)
    return rest


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_events_of_each_video_come_in_order(long_clip: Path) -> None:
    seen: defaultdict[str, list[str]] = defaultdict(list)
    indices: defaultdict[str, list[int]] = defaultdict(list)
    pids = set()
    with DecoderPool(copies(long_clip, 5), decoders=2) as pool:
        for event in pool:
            seen[event.source.id].append(type(event).__name__)
            pids |= {child.pid for child in pool._children}
            assert len(pool._children) <= 2
            if isinstance(event, FrameChunk):
                assert 1 <= len(event) <= 64
                assert [read_number(picture) for picture in event.rgb] == event.index.tolist()
                indices[event.source.id] += event.index.tolist()
                event.release()
    assert sorted(seen) == [f"video{i}" for i in range(5)]
    for name, kinds in seen.items():
        assert kinds == ["VideoOpened", *["FrameChunk"] * (len(kinds) - 2), "VideoEnded"]
        assert indices[name] == list(range(LONG))
    assert len(pids) == 2, "children are used again"


def test_videos_are_decoded_side_by_side(long_clip: Path) -> None:
    held: list[FrameChunk] = []
    with DecoderPool(copies(long_clip, 2), decoders=2) as pool:
        for event in pool:  # a chunk kept back holds its decoder up, so neither can end before both have started
            if isinstance(event, FrameChunk):
                held.append(event)
                assert len(held) <= 6, "three chunks a decoder"
            if len({chunk.source.id for chunk in held}) == 2:
                break
            assert len(held) < 3 or len(pool._children) == 2, "one decoder is stuck and there is no other"
    assert len(held) >= 2


def test_no_more_children_than_videos(long_clip: Path) -> None:
    with DecoderPool(copies(long_clip, 2), decoders=8) as pool:
        next(iter(pool))
        assert len(pool._children) == 2


def test_no_videos_no_events() -> None:
    with DecoderPool([]) as pool:
        assert list(pool) == []


def test_digest_and_size_are_of_the_file(long_clip: Path) -> None:
    ended = decode(long_clip).ended
    assert ended.counts.sha256 == hashlib.sha256(long_clip.read_bytes()).hexdigest()
    assert ended.counts.size_bytes == long_clip.stat().st_size


def test_frames_larger_than_a_slot(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", size=(2048, 1440), num_frames=5, options={"preset": "ultrafast"})
    with DecoderPool([source(path)]) as pool:
        lengths = [len(event) for event in pool if isinstance(event, FrameChunk) and not event.release()]
    assert len(lengths) == 5


@pytest.mark.parametrize("decoder", ["decord", "av"])
def test_hung_child_is_stopped_and_the_rest_goes_on(decoder: str, long_clip: Path) -> None:
    with DecoderPool(copies(long_clip, 3), Reading(decoder=decoder), decoders=1) as pool:
        events = iter(pool)
        chunk = first_chunk(events)
        hung = pool._children[0].pid
        os.kill(hung, signal.SIGSTOP)
        chunk.release()
        pool._timeout_seconds = 3  # for this child only: others may need longer to start on a busy machine
        failed = next(event for event in events if not isinstance(event, FrameChunk) or event.release())
        pool._timeout_seconds = 60
        rest = drain(events)
        assert not alive(hung)
    assert isinstance(failed, DecodingFailed)
    assert failed.reason.startswith("the decoder gave no sign of life for 3 s at about frame ")
    assert "`decode_timeout_seconds`" in failed.reason
    assert [type(event) for event in rest] == [VideoOpened, VideoEnded] * 2


def test_decoder_that_spins_while_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decord.py").write_text("while True: pass")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path, silence = render_clip(tmp_path / "a.mp4"), "the decoder gave no sign of life for 3 s at about frame 0"
    reason = failure(path, timeout_seconds=3, decoder="decord")
    assert reason.startswith(f"{silence} and was stopped")
    assert "`decoder='auto'`" in reason
    found = decode(path, timeout_seconds=3)
    assert [read_number(picture) for picture in found.rgb] == list(range(30))
    assert found.opened.info.decoder_reason == f"{silence} and was stopped"


@pytest.mark.parametrize(("number", "words"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL, perhaps")])
def test_crashed_child_fails_its_video_only(number: int, words: str, long_clip: Path) -> None:
    with DecoderPool(copies(long_clip, 2), Reading(decoder="decord"), decoders=1) as pool:
        events = iter(pool)
        chunk = first_chunk(events)
        os.kill(pool._children[0].pid, number)
        chunk.release()
        rest = drain(events)
    assert isinstance(rest[0], DecodingFailed)
    assert f"the decoder process was ended by {words}" in rest[0].reason
    assert "at about frame" in rest[0].reason
    assert [type(event) for event in rest[1:]] == [VideoOpened, VideoEnded]


@pytest.mark.parametrize("crashes", [1, 2])
def test_pyav_tries_a_video_that_its_decoder_crashed_on_once(crashes: int, long_clip: Path) -> None:
    numbers: list[int] = []
    with DecoderPool(copies(long_clip, 2), decoders=1) as pool:
        events = iter(pool)
        for _ in range(crashes):
            chunk = first_chunk(events)
            os.kill(pool._children[0].pid, signal.SIGSEGV)
            chunk.release()
        over: VideoEvent | None = None
        while not isinstance(over, VideoEnded | DecodingFailed):
            over = next(events)
            if isinstance(over, VideoOpened):
                numbers = []
            if isinstance(over, FrameChunk):
                numbers += [read_number(picture) for picture in over.rgb]
                over.release()
        rest = drain(events)
    assert over.source.id == "video0"
    assert isinstance(over, DecodingFailed) == (crashes == 2)
    if isinstance(over, VideoEnded):
        assert numbers == list(range(LONG)), "from the first frame on"
        assert over.info.decoder.startswith("av ")
        assert over.info.decoder_reason.startswith("the decoder process was ended by SIGSEGV at about frame")
    else:
        assert "neither decoder can read the file" in over.reason
    assert [type(event) for event in rest] == [VideoOpened, VideoEnded]


def test_error_nobody_thought_of_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decord.py").write_text("raise ValueError('surprise')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    reason = failure(render_clip(tmp_path / "a.mp4"), decoder="decord")
    assert "ended with exit code 1 (ValueError: surprise)" in reason


def test_child_waits_for_slots_and_is_not_blamed_for_it(long_clip: Path) -> None:
    timeout_seconds = 4.0
    held: list[FrameChunk] = []
    with DecoderPool([source(long_clip)], decoders=1) as pool:
        events = iter(pool)
        while len(held) < SLOTS:
            held.append(first_chunk(events))
        pool._timeout_seconds = timeout_seconds  # only now, so that a slow start on a busy machine does not count
        connection = pool._children[0].connection
        assert not connection.poll(0.5), "no frame is decoded into a slot in use"
        before = [chunk.rgb.copy() for chunk in held]
        threading.Timer(1.5 * timeout_seconds, lambda: [chunk.release() for chunk in held]).start()
        next_chunk = first_chunk(events)  # waits longer than the timeout; then the child has all of it for a chunk
        assert next_chunk.index[0] == SLOTS * 64
        next_chunk.release()
        pool._timeout_seconds = 60
        rest = drain(events)
    assert [type(event) for event in rest] == [VideoEnded]
    assert [[read_number(picture) for picture in rgb] for rgb in before] == [
        list(range(64 * i, 64 * (i + 1))) for i in range(SLOTS)
    ]


def test_slow_consumer_is_not_the_childs_fault(long_clip: Path) -> None:
    with DecoderPool([source(long_clip)], decoders=1) as pool:
        events = iter(pool)
        chunks = [first_chunk(events) for _ in range(SLOTS)]
        child = pool._children[0].pid
        pool._timeout_seconds = 5.0
        os.kill(child, signal.SIGSTOP)
        for chunk in chunks:
            chunk.release()
        time.sleep(4.5)  # nobody asks the pool meanwhile; all it may blame the child for is what follows
        threading.Timer(1.2, os.kill, (child, signal.SIGCONT)).start()  # one wait in vain, of the 1 s that waits last
        rest = drain(events)
    assert [type(event) for event in rest] == [VideoEnded]


def test_nothing_is_left_behind(long_clip: Path) -> None:
    gc.collect()
    files_before = len(os.listdir("/proc/self/fd"))  # frames live in memory that has a descriptor and no name
    with DecoderPool(copies(long_clip, 4), decoders=2) as pool:
        chunk = first_chunk(iter(pool))
        pids = [child.pid for child in pool._children]
    assert not any(alive(pid) for pid in pids)
    assert read_number(chunk.rgb[5]) == chunk.index[5], "a chunk outlives the pool"
    chunk.release()
    del chunk, pool
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == files_before


def test_leaving_by_keyboard_interrupt_is_prompt(long_clip: Path) -> None:
    pool = DecoderPool(copies(long_clip, 4))
    first_chunk(iter(pool))
    pids = [child.pid for child in pool._children]
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), pool:
        raise KeyboardInterrupt
    assert time.monotonic() - started < 20, "a third of the time after which a silent child is given up"
    assert not any(alive(pid) for pid in pids)


def test_children_ignore_ctrl_c(long_clip: Path) -> None:
    with DecoderPool([source(long_clip)], decoders=1) as pool:
        events = iter(pool)
        chunk = first_chunk(events)
        os.kill(pool._children[0].pid, signal.SIGINT)
        chunk.release()
        assert [type(event) for event in drain(events)] == [VideoEnded]


def test_no_memory_for_frames(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    reason = failure(long_clip)
    assert reason == "no memory for frames of 64x48: No space left on device; free some, or use fewer `decoders`"


def test_a_long_digest_sends_signs_of_life(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", num_frames=3)
    padding = 1 << 30
    with path.open("ab") as file:
        file.write((1).to_bytes(4, "big") + b"free" + (16 + padding).to_bytes(8, "big"))
        file.truncate(file.tell() + padding)  # takes no space on disk
    child = Child()
    try:
        child.start(source(path), Job(str(path), Reading()))
        messages = [child.connection.recv()]
        assert isinstance(messages[0], Opened)
        child.share_memory(messages[0])
        while not isinstance(messages[-1], Ready):
            messages.append(child.connection.recv())
    finally:
        child.kill()
        assert child.has_ended(within_seconds=60)
    kinds = [type(message) for message in messages]
    assert kinds == [Opened, Filled, *[Beat] * (len(kinds) - 4), Ended, Ready]
    assert Beat in kinds


def test_chunk_checks_its_shapes() -> None:
    video = VideoSource("a", Path("a.mp4"))
    rgb, index, times = np.zeros((2, 4, 6, 3), np.uint8), np.zeros(2, np.int64), np.zeros(2)
    damaged = np.zeros(2, np.bool_)
    chunk = FrameChunk(video, rgb, index, times, damaged)
    assert len(chunk) == 2
    with pytest.raises(ValueError, match=r"rgb is float64 .*expected uint8 \(T, H, W, 3\)"):
        FrameChunk(video, rgb.astype(float), index, times, damaged)
    with pytest.raises(ValueError, match=r"index is int64 \(3,\); expected int64 \(2,\)"):
        FrameChunk(video, rgb, np.zeros(3, np.int64), times, damaged)
    with pytest.raises(ValueError, match=r"pts_seconds is float32"):
        FrameChunk(video, rgb, index, times.astype(np.float32), damaged)
    with pytest.raises(ValueError, match=r"damaged is float64"):
        FrameChunk(video, rgb, index, times, times)


def test_chunk_is_released_once_and_empty_then() -> None:
    calls: list[int] = []
    rgb = np.zeros((2, 4, 6, 3), np.uint8)
    index, times, damaged = np.zeros(2, np.int64), np.zeros(2), np.zeros(2, np.bool_)
    video = VideoSource("a", Path("a"))
    chunk = FrameChunk(video, rgb, index, times, damaged, on_release=lambda: calls.append(1))
    chunk.release()
    chunk.release()
    assert calls == [1]
    assert chunk.rgb.shape == (0, 4, 6, 3)
