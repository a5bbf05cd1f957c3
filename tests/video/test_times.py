"""Times of files that do not simply say them, against the recipe that rendered them and the ffmpeg program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ffmpeg import ffmpeg, pattern, render, shown, times
from tests.video.reference import decode, failure

either = pytest.mark.parametrize("decoder", ["auto", "av"])


@pytest.mark.parametrize("encoder", ["mpeg4 -bf 2", "mpeg4", "mpeg4 -vtag XVID", "libx264 -bf 0"])
def test_frames_that_a_recorder_dropped_in_avi(tmp_path: Path, encoder: str) -> None:
    drop = "-vf select='not(between(n,10,19))' -fps_mode passthrough -enc_time_base 1/25"
    path = render(tmp_path / "g.avi", f"{drop} -c:v {encoder}", seconds=2)
    found = decode(path)
    kept = [n for n in range(50) if not 10 <= n <= 19]
    np.testing.assert_allclose(found.times, np.array(kept) / 25, atol=1e-6)
    assert (found.times[10], found.times[-1]) == pytest.approx((0.80, 1.96))
    np.testing.assert_array_equal(found.rgb, shown(path))


@pytest.mark.parametrize("encoder", ["libx264 -bf 3", "mpeg4 -bf 2", "mpeg4 -bf 2 -bsf:v mpeg4_unpack_bframes"])
def test_times_in_the_order_of_decoding_in_avi(tmp_path: Path, encoder: str) -> None:
    path = render(tmp_path / "a.avi", f"-c:v {encoder}")
    np.testing.assert_allclose(decode(path).times, np.arange(25) / 25, atol=1e-6)
    assert decode(path, fps=5).index.tolist() == [0, 5, 10, 15, 20]


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two recordings of a second each, one behind the other in one file."""
    folder = tmp_path_factory.mktemp("joined")
    encoders = {"a.ts": "-c:v libx264 -bf 2", "a.mpg": "-c:v mpeg2video -bf 2", "a.m2ts": "-c:v mpeg2video -g 1"}
    found = {}
    for name, encoder in encoders.items():
        whole = render(folder / name, encoder).read_bytes()
        found[name] = folder / f"joined_{name}"
        found[name].write_bytes(whole * 2)
    late = render(folder / "late.ts", "-c:v libx264 -bf 2 -output_ts_offset 36000").read_bytes()
    found["leap"] = folder / "leap.ts"
    found["leap"].write_bytes((folder / "a.ts").read_bytes() + late)
    return found


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.m2ts"])
def test_clocks_that_start_again_go_on(joined: dict[str, Path], name: str) -> None:
    found = decode(joined[name])
    np.testing.assert_allclose(found.times, np.arange(50) / 25, atol=1e-6)
    assert "the clock of the file starts again at frame 25" in "; ".join(found.opened.info.notes)
    assert not found.damaged.any()
    assert not found.ended.condition.incomplete
    assert len(decode(joined[name], fps=12.5).index) == 25


def test_a_clock_that_leaps_is_kept_and_noted(joined: dict[str, Path]) -> None:
    found = decode(joined["leap"])
    np.testing.assert_allclose(found.times[:25], np.arange(25) / 25, atol=1e-6)
    np.testing.assert_allclose(found.times[25:] - found.times[25], np.arange(25) / 25, atol=1e-6)
    assert found.times[25] == pytest.approx(36000, abs=2)
    assert "frame 25 comes 3599" in "; ".join(found.opened.info.notes)
    assert not found.damaged.any()


def test_a_long_gap_is_not_filled_without_asking(tmp_path: Path) -> None:
    """Five frames, an hour between the third and the fourth."""
    late = "-vf setpts=N/25/TB+if(gt(N\\,2)\\,3600/TB\\,0) -fps_mode passthrough -c:v libx264"
    path = render(tmp_path / "a.mkv", late, seconds=0.2)
    assert times(path)[3] == pytest.approx(3600.12)
    reason = failure(path, fps=15)
    assert "frame 3 comes 3600.0 s after the one before, of which `fps=15` would make 54001 copies" in reason
    assert "`longest_gap_seconds=3601`" in reason
    assert len(decode(path, fps=0.5, longest_gap_seconds=3601).index) == 1801
    assert decode(path).index.tolist() == [0, 1, 2, 3, 4]


@either
@pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "late.ts"])
def test_a_picture_that_begins_after_the_sound(tmp_path: Path, name: str, decoder: str) -> None:
    path = tmp_path / name
    sound = "-f lavfi -i sine=d=3"
    ffmpeg(f"-itsoffset 1 {pattern()} {sound} -map 0 -map 1 -c:v libx264 -c:a aac {{}}", path)
    found = decode(path, decoder=decoder)
    np.testing.assert_allclose(found.times, np.arange(25) / 25, atol=1e-3)
    assert found.ended.condition.start_seconds == pytest.approx(1.0, abs=0.03)  # AAC begins before its first sample


def test_a_picture_that_begins_with_the_sound_starts_at_zero(tmp_path: Path) -> None:
    path = render(tmp_path / "a.ts", "-c:v libx264 -bf 2")  # whose clock begins at 1.48 s
    assert decode(path).ended.condition.start_seconds == 0


@either
def test_the_nominal_rate_may_be_asked_for(tmp_path: Path, decoder: str) -> None:
    """A phone that drops a frame now and then: 30 a second between most, 29.5 in the mean."""
    drop = "-vf select='mod(n+30,60)' -fps_mode passthrough -c:v libx264"
    path = render(tmp_path / "a.mp4", drop, rate=30, seconds=4)
    found = decode(path, decoder=decoder, fps=30)
    assert found.ended.counts.frames_decoded == 118
    assert len(found.index) == 120  # neighbours stand for the two that were dropped
    assert "more than the video's 30 frames per second" in failure(path, decoder=decoder, fps=31)


@either
def test_very_fast_frames(tmp_path: Path, decoder: str) -> None:
    path = render(tmp_path / "a.mp4", "-c:v libx264 -video_track_timescale 1000", rate=1000, seconds=0.1)
    assert decode(path, decoder=decoder, fps=100).index.tolist() == list(range(0, 100, 10))


@either
@pytest.mark.parametrize("name", ["a.mkv", "a.nut"])
def test_times_do_not_drift(tmp_path: Path, name: str, decoder: str) -> None:
    """In single precision they are off by 4 ms after 20 hours."""
    path = tmp_path / name
    ffmpeg(
        f"{pattern(rate='30000/1001', seconds=0.3)} -vf setpts=PTS+if(N\\,72000/TB\\,0) -fps_mode passthrough "
        "-c:v libx264 {}",
        path,
    )
    found = decode(path, decoder=decoder)
    expected = times(path)
    np.testing.assert_allclose(found.times, expected - expected[0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "encoder", "size", "rate"),
    [
        ("a.dv", "-c:v dvvideo -pix_fmt yuv411p", "720x480", 30000 / 1001),
        ("a.mxf", "-c:v mpeg2video -flags +ildct+ilme -vf setfield=tff", "96x64", 25),
        ("a.ts", "-c:v libx264 -flags +ildct+ilme -vf setfield=tff", "96x64", 25),
    ],
)
def test_rates_are_those_of_frames_not_of_fields(
    tmp_path: Path, name: str, encoder: str, size: str, rate: float
) -> None:
    path = render(tmp_path / name, encoder, 0.4, "30000/1001" if name == "a.dv" else 25, size)
    info = decode(path).opened.info
    assert info.fps == pytest.approx(rate)
    assert info.interlaced


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.flv", "a.wmv", "a.ogv", "a.mxf", "a.nut", "a.y4m", "a.mov"])
def test_kinds_of_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    ffmpeg(f"{pattern(seconds=0.8)} {'-pix_fmt yuv420p' if name != 'a.gif' else ''} {{}}", path)
    found = decode(path)
    expected = times(path)
    np.testing.assert_allclose(found.times, expected - expected[0], atol=1e-6)
    np.testing.assert_array_equal(found.rgb, shown(path))
    assert not found.damaged.any()
    assert not found.ended.condition.incomplete
