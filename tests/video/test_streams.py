"""Which of several streams is the video, against the choice of the ffmpeg program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ffmpeg import ffmpeg, pattern, render, shown
from tests.video.reference import decode, failure


@pytest.fixture(scope="module")
def cover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cover picture, larger than the video."""
    path = tmp_path_factory.mktemp("cover") / "cover.png"
    ffmpeg(f"{pattern('320x240')} -frames:v 1 {{}}", path)
    return path


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("first", ["cover", "video"])
def test_a_cover_is_never_the_video(cover: Path, tmp_path: Path, extension: str, first: str) -> None:
    path, video = tmp_path / f"a.{extension}", render(tmp_path / "v.mp4", "-c:v libx264", seconds=0.4)
    number = 0 if first == "cover" else 1
    order = "-map 0 -map 1" if first == "cover" else "-map 1 -map 0"
    ffmpeg(f"-i {{}} -i {{}} {order} -c copy -disposition:v:{number} attached_pic {{}}", cover, video, path)
    np.testing.assert_array_equal(decode(path).rgb, shown(video))


@pytest.mark.parametrize(
    ("streams", "default", "chosen"),
    [("64x48 96x64", None, 1), ("96x64 64x48", 1, 1), ("64x48 96x64", 0, 0), ("96x64 96x64", None, 0)],
)
def test_the_stream_that_ffmpeg_takes(tmp_path: Path, streams: str, default: int | None, chosen: int) -> None:
    path = tmp_path / "a.mkv"
    sizes = streams.split()
    inputs = f"{pattern(sizes[0], 25, 0.4)} {pattern(sizes[1], 25, 0.4).replace('testsrc2', 'smptebars')}"
    flags = " ".join(f"-disposition:v:{n} {'default' if n == default else '0'}" for n in range(2))
    ffmpeg(f"{inputs} -map 0 -map 1 -c:v libx264 -pix_fmt yuv420p {flags} {{}}", path)
    width, height = map(int, sizes[chosen].split("x"))
    expected = shown(path, size=(width, height))
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, expected)
    note = f"the file has 2 video streams; number {chosen} ({width}x{height}) is taken"
    assert note in found.opened.info.notes
    other = 1 - chosen
    size = tuple(map(int, sizes[other].split("x")))
    by_number = decode(path, video_stream=other)
    np.testing.assert_array_equal(by_number.rgb, shown(path, f"-map 0:v:{other}", size=(size[0], size[1])))


def test_a_stream_that_is_not_there(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", "-c:v libx264", seconds=0.4)
    assert failure(path, video_stream=1) == "`video_stream=1`: the file has 1 video streams, counted from 0"


def test_sound_with_a_cover_is_no_video(cover: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    ffmpeg("-f lavfi -i sine=d=1 -i {} -map 0 -map 1 -c:v copy -disposition:v:0 attached_pic {}", cover, path)
    assert "the file holds no video, only a cover picture: it is an audio file" in failure(path)
