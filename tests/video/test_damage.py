"""What is told of damaged, cut and whole files, against the packets that were harmed."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lcdc_extract.video.damage import Damage
from lcdc_extract.video.endings import missing_end
from tests.ffmpeg import render, shown
from tests.video.reference import decode, failure

GOP = "-g 10 -bf 2 -sc_threshold 0 -threads 1"


# --- the judge alone


def test_damage_lasts_until_the_next_key_frame() -> None:
    """Packets in the order of decoding I P B B P B B, I P: packet 4 is damaged."""
    damage = Damage()
    damage.in_packet(4, "h264: error")
    spoilt = [place for place in (0, 2, 3, 1, 5, 6, 4, 7, 8) if damage.spoils(place, key_frame=place in (0, 7))]
    assert spoilt == [5, 6, 4]
    assert damage.complaints == ["h264: error"]
    assert damage.gaps == 0


def test_frames_in_front_of_a_key_frame_may_refer_to_the_damage_before() -> None:
    """An open GOP: I(5) is decoded before B(6), which is shown before it and refers to P(4) too."""
    damage = Damage()
    damage.in_packet(4, "")
    assert [damage.spoils(place, key_frame=key) for place, key in [(4, False), (6, False), (5, True), (7, False)]] == [
        True,
        True,
        False,
        False,
    ]


def test_a_damaged_key_frame_spoils_what_follows() -> None:
    damage = Damage()
    damage.in_packet(0, "")
    assert [damage.spoils(place, key_frame=key) for place, key in [(0, True), (1, False), (2, True), (3, False)]] == [
        True,
        True,
        False,
        False,
    ]


def test_data_missing_between_packets_spoils_both_sides() -> None:
    damage = Damage()
    damage.ahead_of(3, "matroska: File ended prematurely")
    assert [damage.spoils(place, key_frame=place == 0) for place in range(5)] == [False, False, True, True, True]
    assert damage.gaps == 1
    behind = Damage()
    behind.ahead_of(3, "")
    assert [behind.spoils(place, key_frame=place in (0, 3)) for place in range(5)] == [False, False, True, False, False]


# --- whole videos


def packets(path: Path) -> list[tuple[int, int, bool]]:
    """(place in the file, size, key frame) of each packet, in the order of decoding."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size, packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def harm(path: Path, number: int, target: Path) -> Path:
    """Overwrites the middle of a packet."""
    content = bytearray(path.read_bytes())
    place, size, _ = packets(path)[number]
    begin = place + size // 3
    content[begin : begin + size // 3] = bytes(size // 3)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(("codec", "extension"), [("libx264", "mp4"), ("mpeg4", "mp4"), ("mpeg2video", "mkv")])
def test_wrong_frames_are_marked_and_right_ones_are_not(tmp_path: Path, codec: str, extension: str) -> None:
    path = render(tmp_path / f"a.{extension}", f"-c:v {codec} {GOP}", seconds=1.6)
    whole = shown(path)
    first = next(number for number, (_, _, key) in enumerate(packets(path)) if key and number)
    found = decode(harm(path, first, tmp_path / f"b.{extension}"))
    assert len(found.rgb) == len(whole)
    wrong = (found.rgb != whole).any(axis=(1, 2, 3))
    assert wrong.any()
    assert not (wrong & ~found.damaged).any()
    assert not found.damaged[:8].any()  # two B frames in front of the key frame may refer to it
    assert not found.damaged[22:].any()  # nor do those behind the next one
    assert found.ended.counts.frames_damaged == found.damaged.sum()
    assert found.ended.condition.complaints
    assert found.opened.info.decoder.startswith("av")
    reason = failure(tmp_path / f"b.{extension}", on_damage="fail")
    assert f"{found.damaged.sum()} frames are damaged (ffmpeg: " in reason
    assert "`on_damage='mark'`" in reason


def test_lost_frames_keep_their_place_in_time(tmp_path: Path) -> None:
    """The packets of a second GOP are gone: its headers, too, so nothing of it can be decoded."""
    path = render(tmp_path / "a.ts", f"-c:v mpeg2video {GOP}", seconds=1.6)
    places = packets(path)
    content = path.read_bytes()
    begin, end = places[10][0], places[20][0]
    (tmp_path / "b.ts").write_bytes(content[: begin + 188] + content[end:])
    found = decode(tmp_path / "b.ts")
    whole = shown(path)
    right = ~found.damaged
    numbers = np.round(found.times * 25).astype(int)
    assert right.sum() >= 15
    np.testing.assert_array_equal(found.rgb[right], whole[numbers[right]])
    assert found.damaged.any() or found.ended.condition.incomplete


KINDS = {
    "a.mp4": "-c:v libx264 -bf 2",
    "faststart.mp4": "-c:v libx264 -movflags +faststart",
    "fragmented.mp4": "-c:v libx264 -movflags frag_keyframe+empty_moov -g 10",
    "a.mov": "-c:v mjpeg -pix_fmt yuvj420p",
    "a.mkv": "-c:v libx264 -bf 2",
    "a.webm": "-c:v libvpx-vp9 -deadline realtime",
    "a.avi": "-c:v mpeg4",
    "a.ts": "-c:v libx264 -bf 2",
    "a.mpg": "-c:v mpeg2video -bf 2",
    "a.flv": "-c:v flv1",
    "a.wmv": "-c:v wmv2",
    "a.ogv": "-c:v libtheora",
    "a.gif": "",
    "a.mxf": "-c:v mpeg2video",
    "a.y4m": "-pix_fmt yuv420p",
}


@pytest.mark.parametrize("name", KINDS)
def test_whole_files_are_called_whole_and_cut_ones_cut(tmp_path: Path, name: str) -> None:
    path = render(tmp_path / name, KINDS[name], seconds=1.6)
    whole = decode(path)
    assert not whole.damaged.any()
    assert whole.ended.condition.complaints == ()
    assert not whole.ended.condition.incomplete
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5 + 1])
    if name in ("a.mp4", "a.mov"):  # their index is at the end
        assert "probably cut off" in failure(cut)
        return
    found = decode(cut)
    condition = found.ended.condition
    assert len(found.rgb) < len(whole.rgb)
    assert condition.incomplete or found.damaged.any()
    right = ~found.damaged
    np.testing.assert_array_equal(found.rgb[right], whole.rgb[found.index[right]])


# --- ends alone


@pytest.mark.parametrize(
    ("container", "whole", "frame_bytes"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x18mdat" + bytes(16), 0),
        ("avi", b"RIFF\x20\0\0\0AVI " + bytes(28), 0),
        ("mpegts", (b"\x47" + bytes(187)) * 6, 0),
        ("gif", b"GIF89a" + bytes(20) + b";", 0),
        ("ogg", b"OggS\0\x02" + bytes(40) + b"OggS\0\x04" + bytes(40), 0),
        ("dv", bytes(3 * 144), 144),
        ("yuv4mpegpipe", b"YUV4MPEG2 W4 H2\n" + (b"FRAME\n" + bytes(12)) * 3, 12),
    ],
)
def test_where_files_end(tmp_path: Path, container: str, whole: bytes, frame_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(whole)
    assert missing_end(path, container, frame_bytes) is None
    for missing in (1, 2, 7, 20) if container not in ("ogg", "avi") else (10, 20) if container == "avi" else (90,):
        path.write_bytes(whole[: len(whole) - missing])
        assert missing_end(path, container, frame_bytes) is not None, missing


def test_formats_of_which_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"any")
    assert missing_end(tmp_path / "file", "nut", 100) is None


def test_what_the_reader_of_a_file_says_while_it_opens_it_is_told(tmp_path: Path) -> None:
    """Of small files ffmpeg looks at all packets before it gives one; the first cluster lost its header."""
    path = render(tmp_path / "a.mkv", "-c:v libx265 -x265-params log-level=none -g 5")
    content, cluster = path.read_bytes(), b"\x1f\x43\xb6\x75"
    path.write_bytes(content[: content.index(cluster) - 2] + content[packets(path)[10][0] + 7 :])
    for decoder in ("auto", "av"):
        found = decode(path, decoder=decoder)
        assert len(found.rgb) < 25
        assert found.ended.condition.incomplete
        assert any("matroska,webm: " in complaint for complaint in found.ended.condition.complaints)
