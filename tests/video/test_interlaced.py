"""Interlaced pictures, and pixel formats that change in the middle of a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.errors import ConfigError
from tests.ffmpeg import render, shown
from tests.video.reference import decode

FIELDS = "-vf interlace=lowpass=0,setfield=tff -flags +ildct+ilme"


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.ts", "mpeg2video"), ("a.mkv", "libx264 -bf 2")])
def test_deinterlacing_is_that_of_ffmpeg(tmp_path: Path, name: str, codec: str) -> None:
    path = render(tmp_path / name, f"-c:v {codec} {FIELDS}", rate=50)
    plain, whole = decode(path), decode(path, deinterlace=True)
    assert plain.opened.info.interlaced
    assert any("the pictures are interlaced" in note for note in plain.opened.info.notes)
    np.testing.assert_array_equal(plain.rgb, shown(path))
    differing = whole.rgb != shown(path, "-vf bwdif=send_frame:auto:interlaced")
    assert differing.mean() < 0.005  # the program is newer than PyAV's libraries: some pixels of the first rows differ
    assert (whole.rgb != plain.rgb).mean() > 0.05
    np.testing.assert_array_equal(whole.times, plain.times)
    assert not any("the pictures are interlaced" in note for note in whole.opened.info.notes)
    assert "deinterlaced by bwdif" in whole.opened.info.decoder


def test_progressive_pictures_stay_as_they_are(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", "-c:v libx264", seconds=0.4)
    found = decode(path, deinterlace=True)
    np.testing.assert_array_equal(found.rgb, shown(path))
    assert not found.opened.info.interlaced
    with pytest.raises(ConfigError, match="`deinterlace` needs PyAV"):
        decode(path, deinterlace=True, decoder="decord")


def test_a_pixel_format_that_changes_is_noted(tmp_path: Path) -> None:
    formats = ("yuv420p", "yuv422p")
    parts = [render(tmp_path / f"{kind}.ts", f"-c:v libx264 -pix_fmt {kind}", seconds=0.4) for kind in formats]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, np.concatenate([shown(part) for part in parts]))
    assert "the pixel format changes from yuv420p to yuv422p at frame 10" in found.ended.condition.notes
