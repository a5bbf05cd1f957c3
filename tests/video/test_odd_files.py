"""Files that are rare and good: joined ones, odd sizes, sizes that grow; and what is said of those that are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from lcdc_extract.video.transport_stream import begins_anew
from tests.clips import read_number, render_clip
from tests.ffmpeg import render, shown
from tests.video.reference import decode, decode_with_ffmpeg, failure

PACKET = 188
"""Bytes of a transport stream's packet."""


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("seconds", [5, 36000])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_recording_that_follows_later_in_a_transport_stream_damages_nothing(
    codec: str, seconds: int, tmp_path: Path
) -> None:
    first = render_clip(tmp_path / "a.ts", codec=codec)
    second = render_clip(tmp_path / "b.ts", codec=codec, ticks=[25 * seconds + i for i in range(30)])
    path = joined(tmp_path / "c.ts", first, second)
    rgb, times = decode_with_ffmpeg(path)
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, rgb)
    np.testing.assert_allclose(found.times, times - times[0], atol=1e-6)
    assert [read_number(picture) for picture in found.rgb] == [*range(30), *range(30)]
    assert not found.damaged.any()
    assert not found.ended.condition.incomplete
    assert any("counted anew at frame 30: recordings were joined" in note for note in found.opened.info.notes)


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of several packets each."""
    return render_clip(tmp_path_factory.mktemp("clips") / "a.ts", num_frames=60, options={"qp": "8"})


def packets(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[place : place + PACKET] for place in range(0, len(data), PACKET)]


@pytest.mark.parametrize("begin", range(30, 60, 5))
def test_packets_lost_from_a_transport_stream_are_told(begin: int, transport_stream: Path, tmp_path: Path) -> None:
    whole = packets(transport_stream)
    first, end = len(whole) * begin // 100, len(whole) * (begin + 20) // 100
    path = tmp_path / "lost.ts"
    path.write_bytes(b"".join(whole[:first] + whole[end:]))
    found = decode(path)
    assert found.damaged.any()
    assert found.ended.condition.complaints


def test_frame_that_lost_its_end_does_not_look_like_the_end_of_a_recording(
    transport_stream: Path, tmp_path: Path
) -> None:
    """In both, the counter jumps where a key frame begins."""
    whole = packets(transport_stream)
    with av.open(str(transport_stream)) as file:
        keys = [packet.pos // PACKET for packet in file.demux(video=0) if packet.is_keyframe]
    broken, recordings = tmp_path / "broken.ts", tmp_path / "joined.ts"
    broken.write_bytes(b"".join(whole[: keys[2] + 2] + whole[keys[4] :]))
    assert not begins_anew(broken, (keys[2] + 2) * PACKET)
    joined(recordings, transport_stream, render_clip(tmp_path / "other.ts"))
    assert begins_anew(recordings, (len(whole) + keys[0]) * PACKET)
    assert not begins_anew(transport_stream, keys[2] * PACKET)


def test_packed_b_frames_keep_their_times_where_frames_were_dropped(tmp_path: Path) -> None:
    """Ten frames were not recorded before frame 10; Xvid's packets and frames come in pairs."""
    path = tmp_path / "a.avi"
    render(path, "-c:v libxvid -bf 2 -bsf:v setts=ts='N+10*gte(N,10)'", seconds=1.6)
    assert b"DivX503b1393p" in path.read_bytes()
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, shown(path))
    places = np.arange(len(found.rgb))
    np.testing.assert_allclose(found.times, (places + 10 * (places >= 10)) / 25, atol=1e-6)
    assert found.ended.condition.start_seconds == 0


UNFINISHED = """
import sys
import subprocess
import sys
from pathlib import Path
from lcdc_extract.errors import VideoError
from lcdc_extract.video.container import read_container
from lcdc_extract.video.decord_video import DecordVideo
container = read_container(Path(sys.argv[1]))
print(len(list(DecordVideo(container, lambda: "[in @ 0x1] ").frames())))
try:
    list(DecordVideo(container, lambda: "[in @ 0x1] bad\\n").frames())
except VideoError as error:
    print(error)
"""


def test_line_that_decord_has_not_finished_is_no_complaint(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4")
    done = subprocess.run([sys.executable, "-c", UNFINISHED, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["30", "ffmpeg inside decord complains near frame 0: [in @ 0x1] bad"]


def test_a_codec_without_a_decoder_is_not_called_damaged(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mkv", codec="ffv1", num_frames=3)
    path.write_bytes(path.read_bytes().replace(b"V_FFV1", b"V_NEW1"))
    assert failure(path).startswith("PyAV's ffmpeg does not know how the video is coded; convert it")
