"""Pixels bit by bit as the ffmpeg program gives them, where conversions differ: depths, siting, fields, odd sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ffmpeg import ffmpeg, pattern, shown
from tests.video.reference import decode

FIELDS = ",setfield=tff"
INTERLACED = "-flags +ildct+ilme"

KINDS: dict[str, tuple[str, str, tuple[int, int], str]] = {
    "8 bit": ("mp4", "-c:v libx264 -pix_fmt yuv420p", (96, 64), ""),
    "10 bit": ("mp4", "-c:v libx264 -pix_fmt yuv420p10le", (96, 64), ""),
    "10 bit 4:2:2": ("mp4", "-c:v libx264 -pix_fmt yuv422p10le", (96, 64), ""),
    "16 bit": ("mkv", "-c:v ffv1 -pix_fmt yuv420p16le", (96, 64), ""),
    "4:1:1": ("dv", "-c:v dvvideo -pix_fmt yuv411p", (720, 480), ",fps=30000/1001"),
    "odd size": ("mp4", "-c:v mpeg4 -pix_fmt yuv420p", (97, 65), ""),
    "odd size, VP9": ("webm", "-c:v libvpx-vp9 -pix_fmt yuv420p", (35, 35), ""),
    "odd width, JPEG": ("avi", "-c:v mjpeg -pix_fmt yuvj422p", (97, 65), ""),
    "interlaced": ("ts", f"-c:v mpeg2video {INTERLACED} -pix_fmt yuv420p", (96, 64), FIELDS),
    "interlaced, MP4": ("mp4", f"-c:v libx264 {INTERLACED} -pix_fmt yuv420p", (96, 64), FIELDS),
    "full range": ("ts", "-c:v libx264 -color_range pc -pix_fmt yuv420p", (96, 64), ""),
    "BT.709": ("ts", "-c:v libx264 -colorspace bt709 -pix_fmt yuv420p", (96, 64), ""),
    "BT.2020": ("ts", "-c:v libx264 -colorspace bt2020nc -pix_fmt yuv420p10le", (96, 64), ""),
    "colours sited elsewhere": ("mp4", "-c:v libx264 -chroma_sample_location topleft -pix_fmt yuv420p", (96, 64), ""),
    "with alpha": ("mov", "-c:v qtrle -pix_fmt argb", (96, 64), ""),
}
BY_DECORD = {"8 bit", "interlaced, MP4", "colours sited elsewhere"}


@pytest.mark.parametrize("kind", KINDS)
def test_colours_equal_the_ffmpeg_program(kind: str, tmp_path: Path) -> None:
    extension, encoder, (width, height), more = KINDS[kind]
    path = tmp_path / f"a.{extension}"
    crop = f"format=gbrp,crop={width}:{height}:0:0{more}"
    ffmpeg(f"{pattern(f'{width + width % 2}x{height + height % 2}', 25, 0.2)} -vf {crop} {encoder} {{}}", path)
    found = decode(path)
    assert found.opened.info.decoder.startswith("decord" if kind in BY_DECORD else "av")
    np.testing.assert_array_equal(found.rgb, shown(path, size=(width, height)))
    if kind in BY_DECORD:
        np.testing.assert_array_equal(decode(path, decoder="av").rgb, found.rgb)
