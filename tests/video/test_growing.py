"""Frames whose size changes in the middle of a video, beyond the memory that was set aside for them too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.video import VideoEnded, VideoOpened
from tests.clips import draw_frame, read_number, render_clip
from tests.video.reference import run, source


def joined(folder: Path, sizes: list[tuple[int, int]], extension: str) -> Path:
    """Clips of 20 frames each, one behind the other in one file."""
    clips = [render_clip(folder / f"{n}.{extension}", size=size, num_frames=20) for n, size in enumerate(sizes)]
    path = folder / f"joined.{extension}"
    path.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    return path


@pytest.mark.parametrize("decoder", ["auto", "av"])
@pytest.mark.parametrize("extension", ["ts", "h264"])
def test_frames_that_outgrow_their_memory(tmp_path: Path, extension: str, decoder: str) -> None:
    sizes = [(64, 48), (640, 480), (1280, 960), (96, 64)]
    *_, ended = events = list(run([source(joined(tmp_path, sizes, extension))], decoder=decoder))
    assert isinstance(ended, VideoEnded)
    begin = max(place for place, event in enumerate(events) if isinstance(event, VideoOpened))
    frames = [picture for event in events[begin + 1 : -1] for picture in event[0]]
    assert [picture.shape[1::-1] for picture in frames] == [size for size in sizes for _ in range(20)]
    assert [read_number(picture) for picture in frames] == [*range(20)] * 4
    for number in (0, 25, 50, 79):
        drawn = draw_frame(number % 20, *sizes[number // 20])
        assert np.abs(frames[number].astype(int) - drawn).mean() < 20
    index = np.concatenate([event[1] for event in events[begin + 1 : -1]])
    np.testing.assert_array_equal(index, np.arange(80))
    notes = [note for note in ended.condition.notes if "frame size" in note]
    assert notes[0] == "the frame size changes from 64x48 to 640x480 at frame 20"
    assert len(notes) == 3


def test_memory_that_grows_while_chunks_are_held(tmp_path: Path) -> None:
    """Chunks of the smaller memory that are released late free no slot of the larger one."""
    from lcdc_extract.video import DecoderPool, FrameChunk, Reading

    path = joined(tmp_path, [(64, 48), (640, 480)], "ts")
    numbers: list[int] = []
    early: list[FrameChunk] = []
    with DecoderPool([source(path)], Reading(decoder="av")) as pool:
        for event in pool:
            if isinstance(event, VideoOpened):
                numbers, held = [], early
                early = []
                for chunk in held:
                    assert read_number(chunk.rgb[0]) == 0
                    chunk.release()
            elif isinstance(event, FrameChunk):
                numbers += [read_number(picture) for picture in event.rgb]
                if event.rgb.shape[2] == 64 and len(early) < 2:
                    early.append(event)
                else:
                    event.release()
    assert numbers == [*range(20)] * 2
