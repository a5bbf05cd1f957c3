"""Every frame and every time, from both decoders, against ffmpeg."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lcdc_extract.video import Reading, probe
from tests.clips import draw_frame, read_number, render_clip
from tests.video.reference import decode, decode_with_ffmpeg, failure, source

both_decoders = pytest.mark.parametrize("decoder", ["decord", "av"])

VARIABLE_TICKS = np.cumsum([0, *[10, 20, 50, 10, 40, 200] * 6])[:36].tolist()

EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "h264-b-frames": ("a.mp4", {"b_frames": 3}),
    "h264-with-audio": ("a.mp4", {"audio": True}),
    "h264-mkv-without-frame-count": ("a.mkv", {}),
    "hevc": ("a.mp4", {"codec": "libx265", "b_frames": 3}),
    "vp9": ("a.webm", {"codec": "libvpx-vp9"}),
    "mpeg4-avi": ("a.avi", {"codec": "mpeg4", "b_frames": 0}),
    "mjpeg-avi": ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "variable-rate": ("a.mp4", {"num_frames": 36, "ticks": VARIABLE_TICKS, "time_base": Fraction(1, 1000)}),
    "variable-rate-mkv": ("a.mkv", {"num_frames": 36, "ticks": VARIABLE_TICKS, "time_base": Fraction(1, 1000)}),
    "late-start": ("a.mkv", {"ticks": [75 + i for i in range(30)]}),
    "late-start-mp4": ("a.mp4", {"ticks": [75 + i for i in range(30)]}),
    "odd-size": ("a.mp4", {"size": (321, 241), "pix_fmt": "yuv444p", "num_frames": 10}),
    "width-whose-rows-are-padded": ("a.mp4", {"size": (48, 64)}),
    "another-padded-width": ("a.mp4", {"size": (72, 48)}),
    "greyscale": ("a.mp4", {"pix_fmt": "gray"}),
    "ntsc-rate": ("a.mp4", {"rate": Fraction(30000, 1001)}),
    "colours-bt709": ("a.mp4", {"options": {"colorspace": "bt709"}}),
    "one-frame": ("a.mp4", {"num_frames": 1}),
    "15-frames": ("a.mp4", {"num_frames": 15}),
    "16-frames": ("a.mp4", {"num_frames": 16}),
    "17-frames": ("a.mp4", {"num_frames": 17}),
    "200-frames": ("a.mp4", {"num_frames": 200, "gop": 30}),
}


@both_decoders
@pytest.mark.parametrize("name", EXACT)
def test_frames_and_times_equal_ffmpeg(name: str, decoder: str, tmp_path: Path) -> None:
    file, options = EXACT[name]
    path = render_clip(tmp_path / file, **options)
    rgb, times = decode_with_ffmpeg(path)
    found = decode(path, decoder=decoder)
    np.testing.assert_array_equal(found.rgb, rgb)
    np.testing.assert_array_equal(found.index, np.arange(len(rgb)))
    np.testing.assert_allclose(found.times, times - times[0], rtol=2e-7, atol=1e-6)
    assert [read_number(picture) for picture in found.rgb] == list(range(options.get("num_frames", 30)))
    assert found.ended.counts.frames_decoded == found.ended.counts.frames_sampled == len(rgb)
    assert (found.ended.counts.frames_damaged, found.ended.counts.frames_repeated) == (0, 0)
    assert not found.ended.condition.incomplete


@both_decoders
@pytest.mark.parametrize(
    ("file", "options", "mean_difference"),
    [
        ("a.mp4", {"pix_fmt": "yuv420p10le"}, {"decord": 2.5, "av": 2.5}),
        ("a.webm", {"codec": "libvpx-vp9", "size": (321, 241), "num_frames": 10}, {"decord": 3.0, "av": 0.001}),
    ],
    ids=["10-bit", "odd-size-with-halved-colour"],
)
def test_conversions_that_differ_between_versions_of_ffmpeg(
    file: str, options: dict[str, Any], mean_difference: dict[str, float], decoder: str, tmp_path: Path
) -> None:
    """The way ffmpeg converts the colours of these has changed, and depends on who calls it."""
    path = render_clip(tmp_path / file, **options)
    rgb, times = decode_with_ffmpeg(path)
    found = decode(path, decoder=decoder)
    assert found.rgb.shape == rgb.shape
    assert np.abs(found.rgb.astype(float) - rgb).mean() < mean_difference[decoder]
    assert [read_number(picture) for picture in found.rgb] == list(range(len(rgb)))
    np.testing.assert_allclose(found.times, times - times[0], atol=1e-6)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("size", [(64, 48), (72, 56)])
def test_rotation_is_applied(rotation: int, size: tuple[int, int], tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", rotation=rotation, num_frames=5, size=size)
    rgb, _ = decode_with_ffmpeg(path)
    clockwise_turns = rotation // 90
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, np.rot90(rgb, -clockwise_turns, axes=(1, 2)))
    assert (found.opened.info.height, found.opened.info.width) == found.rgb.shape[1:3]
    upright = draw_frame(3, *size).astype(float)
    assert np.abs(np.rot90(found.rgb[3], clockwise_turns) - upright).mean() < 25


def test_b_frames_in_avi_have_even_times(tmp_path: Path) -> None:
    """AVI stores no presentation times, so decord cannot know them."""
    path = render_clip(tmp_path / "a.avi", codec="mpeg4", b_frames=2)
    rgb, _ = decode_with_ffmpeg(path)
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, rgb)
    np.testing.assert_allclose(found.times, np.arange(30) / 25, atol=1e-6)
    assert found.opened.info.decoder_reason == "packets do not say when their frames are shown"
    assert "packets do not say" in failure(path, decoder="decord")


def test_frames_before_the_edit_list_are_not_shown(tmp_path: Path) -> None:
    """As in a clip cut with `ffmpeg -ss ... -c copy`: ten frames are there to be decoded but not to be seen."""
    whole = render_clip(tmp_path / "whole.mp4")
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as old, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                shift = int(10 / 25 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                new.mux(packet)
    found = decode(path)
    assert [read_number(picture) for picture in found.rgb] == list(range(10, 30))
    np.testing.assert_allclose(found.times, np.arange(20) / 25, atol=1e-6)


@both_decoders
def test_what_the_container_says(decoder: str, tmp_path: Path) -> None:
    found = decode(render_clip(tmp_path / "a.mp4"), decoder=decoder)
    info = found.opened.info
    assert found.ended.info == info
    assert (info.width, info.height, info.fps, info.frames_expected) == (64, 48, 25.0, 30)
    assert info.decoder.startswith(f"{decoder} ")
    assert probe([source(tmp_path / "a.mp4")], Reading(decoder=decoder)) == {"a": info}


@both_decoders
def test_sampling(decoder: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", num_frames=200)
    by_step = decode(path, decoder=decoder, frame_step=3)
    assert by_step.index.tolist() == list(range(0, 200, 3))
    assert [read_number(picture) for picture in by_step.rgb] == by_step.index.tolist()
    np.testing.assert_allclose(by_step.times, by_step.index / 25, atol=1e-6)
    assert (by_step.ended.counts.frames_decoded, by_step.ended.counts.frames_sampled) == (200, 67)
    by_rate = decode(path, decoder=decoder, fps=10.0)
    assert by_rate.index[:5].tolist() == [0, 2, 5, 7, 10]


@both_decoders
def test_fps_on_a_variable_rate_repeats_and_says_so(decoder: str, tmp_path: Path) -> None:
    path = render_clip(tmp_path / "a.mp4", num_frames=5, ticks=[0, 10, 20, 120, 130], time_base=Fraction(1, 100))
    found = decode(path, decoder=decoder, fps=3.5)
    assert found.index.tolist() == [0, 2, 2, 3, 3]
    assert [read_number(picture) for picture in found.rgb] == [0, 2, 2, 3, 3]
    assert (found.ended.counts.frames_sampled, found.ended.counts.frames_repeated) == (5, 2)


ROOT = Path(__file__).parents[2]
OPTIONAL = Path(os.environ.get("LCDC_CLIPS") or ROOT.parent / "shared" / "clips")
OPTIONAL_CLIPS = {OPTIONAL / "indoor_activity_320x240.mp4": 355, OPTIONAL / "pancake_426x240.mkv": 310}
LONG_CLIPS = {ROOT / "demo" / "clip.mp4": 300} | {
    path: count for path, count in OPTIONAL_CLIPS.items() if path.is_file()
}
"""Clips of seconds, by their number of frames: the one of the demo, and recordings where they are at hand."""


@both_decoders
@pytest.mark.parametrize(("path", "count"), LONG_CLIPS.items(), ids=[path.name for path in LONG_CLIPS])
def test_long_clips(path: Path, count: int, decoder: str) -> None:
    rgb, times = decode_with_ffmpeg(path)
    found = decode(path, decoder=decoder)
    assert len(found.rgb) == count
    np.testing.assert_array_equal(found.rgb, rgb)
    assert np.all(np.diff(found.times) > 0)
    np.testing.assert_allclose(found.times, times - times[0], rtol=2e-7, atol=1e-6)


def test_rendering_is_deterministic(tmp_path: Path) -> None:
    first, second = (decode_with_ffmpeg(render_clip(tmp_path / name)) for name in ("a.mp4", "b.mp4"))
    np.testing.assert_array_equal(first[0], second[0])
