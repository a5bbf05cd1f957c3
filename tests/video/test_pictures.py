"""Folders and archives of pictures, against the video they were cut from and against an ffmpeg program."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.video import digest_of, discover, stamp_of
from tests.clips import draw_frame, read_number
from tests.ffmpeg import ffmpeg, shown
from tests.video.reference import decode, failure

FRAMES = 12


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 1.png to 12.png, losslessly what `draw_frame` draws."""
    folder = tmp_path_factory.mktemp("frames")
    raw = np.stack([draw_frame(number) for number in range(FRAMES)]).tobytes()
    ffmpeg("-f rawvideo -pix_fmt rgb24 -s 64x48 -i - {}", folder / "%d.png", stdin=raw)
    return folder


def copy_of(frames: Path, target: Path) -> Path:
    return Path(shutil.copytree(frames, target))


def zipped(frames: Path, target: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(frames.iterdir()):
            archive.write(path, f"inside/{path.name}")
    return target


def tarred(frames: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as archive:
        archive.add(frames, "inside")
    return target


PACK: dict[str, Callable[[Path, Path], Path]] = {
    "folder": lambda frames, place: copy_of(frames, place / "a"),
    "zip": lambda frames, place: zipped(frames, place / "a.zip"),
    "deflated": lambda frames, place: zipped(frames, place / "a.zip", zipfile.ZIP_DEFLATED),
    "tar": lambda frames, place: tarred(frames, place / "a.tar"),
}


@pytest.mark.parametrize("kind", PACK)
def test_the_frames_are_the_pictures(kind: str, frames: Path, tmp_path: Path) -> None:
    path = PACK[kind](frames, tmp_path)
    (found,) = discover([str(tmp_path)]).videos
    assert (found.path, found.id) == (path, "a")
    video = decode(path, frames_fps=10)
    np.testing.assert_array_equal(video.rgb, np.stack([draw_frame(number) for number in range(FRAMES)]))
    np.testing.assert_allclose(video.times, np.arange(FRAMES) / 10)
    assert not video.ended.condition.incomplete
    assert video.ended.counts.frames_decoded == FRAMES
    assert video.ended.counts.sha256 == digest_of(path)
    assert video.opened.info.notes == ()


def test_sampling_by_rate(frames: Path) -> None:
    video = decode(frames, frames_fps=30, fps=10)
    assert [read_number(picture) for picture in video.rgb] == [0, 3, 6, 9]
    assert "`fps=10` needs times, and pictures have none; say how many there are" in failure(frames, fps=10)
    assert "`fps=40` is more than the video's 30" in failure(frames, fps=40, frames_fps=30)


def test_without_a_rate_25_count_and_it_is_said(frames: Path) -> None:
    video = decode(frames)
    assert video.times[5] == pytest.approx(0.2)
    assert any("times count 25, as ffmpeg does; `frames_fps` sets another rate" in n for n in video.opened.info.notes)


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("jpg", "-q:v 2"),
        ("bmp", ""),
        ("tiff", ""),
        ("webp", "-c:v libwebp -lossless 1"),
        ("png", "-pix_fmt gray"),
        ("png", "-pix_fmt rgb48be"),
        ("png", "-pix_fmt pal8"),
        ("png", "-pix_fmt rgba"),
    ],
)
def test_every_kind_equals_ffmpeg(extension: str, options: str, frames: Path, tmp_path: Path) -> None:
    pattern = tmp_path / f"f_%03d.{extension}"
    ffmpeg(f"-i {{}} {options} -f image2 {{}}", frames / "%d.png", pattern)
    found = decode(tmp_path, frames_fps=25)
    np.testing.assert_array_equal(found.rgb, shown(pattern, size=(64, 48)))


def test_gaps_keep_their_place_in_time(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    for number in (1, 5, 6):
        (folder / f"{number}.png").unlink()
    video = decode(folder, frames_fps=10)
    assert [read_number(picture) for picture in video.rgb] == [1, 2, 3, 6, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(video.times, np.array([0, 1, 2, 5, 6, 7, 8, 9, 10]) / 10)
    assert (video.ended.condition.frames_lost, video.ended.condition.incomplete) == (2, True)
    assert "2 pictures are missing between 4 and 7" in video.opened.info.notes
    reason = failure(folder, frames_fps=10, on_damage="fail")
    assert "2 frames are lost; 2 pictures are missing between 4 and 7" in reason


def test_a_picture_that_cannot_be_read_harms_no_other(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    (folder / "4.png").write_bytes(b"no picture")
    (folder / "6.png").write_bytes(b"")
    cut = (folder / "8.png").read_bytes()
    (folder / "8.png").write_bytes(cut[: len(cut) // 2])
    video = decode(folder, frames_fps=10)
    assert [read_number(p) for p, spoilt in zip(video.rgb, video.damaged, strict=True) if not spoilt] == [
        *range(3),
        4,
        6,
        *range(8, 12),
    ]
    condition = video.ended.condition
    assert condition.frames_lost + int(video.damaged.sum()) == 3
    assert "4.png: it does not begin like a picture" in condition.complaints
    assert "6.png: it is empty" in condition.complaints
    assert any(complaint.startswith("8.png: png: ") for complaint in condition.complaints)


def test_a_name_does_not_say_what_a_file_is(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(".jpg"))
    np.testing.assert_array_equal(decode(folder).rgb, decode(frames).rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, frames: Path, tmp_path: Path) -> None:
    """The eight of the EXIF standard, tag 0x0112, by the rows and columns that it says are first."""
    for number in (1, 2):
        ffmpeg("-i {} -q:v 2 {}", frames / f"{number}.png", tmp_path / f"{number}.jpg")
    plain = decode(tmp_path).rgb
    turn: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda p: p,
        lambda p: p[:, ::-1],
        lambda p: p[::-1, ::-1],
        lambda p: p[::-1],
        lambda p: p.transpose(1, 0, 2),
        lambda p: p[::-1].transpose(1, 0, 2),
        lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        lambda p: p[:, ::-1].transpose(1, 0, 2),
    ]
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    for number in (1, 2):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(path.read_bytes().replace(b"\xff\xd8", b"\xff\xd8" + segment, 1))
    np.testing.assert_array_equal(decode(tmp_path).rgb, np.stack([turn[orientation - 1](p) for p in plain]))


def test_sizes_that_change(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    ffmpeg("-i {} -vf scale=32:24 {}", frames / "5.png", folder / "5.png")
    from tests.video.reference import run, source

    sizes = [event[0].shape[1:3] for event in run([source(folder)]) if isinstance(event, tuple)]
    assert sizes == [(48, 64), (24, 32), (48, 64)]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_is_cut_off(kind: str, frames: Path, tmp_path: Path) -> None:
    path = PACK[kind](frames, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    if kind == "zip":  # its list of members is at the end
        assert "this zip file cannot be read" in failure(path)
        return
    video = decode(path)
    assert 0 < len(video.rgb) < FRAMES
    assert "the archive breaks off after" in (video.ended.condition.cut_off or "")
    assert video.ended.condition.incomplete


def hostile_zip(path: Path, name: str, size: int | None = None) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * (size or 10))
        archive.writestr("1.png", b"\0")


@pytest.mark.parametrize("name", ["../2.png", "/etc/2.png", "a/../../2.png", "C:/2.png", "..\\2.png"])
def test_paths_that_lead_out_of_an_archive(name: str, tmp_path: Path) -> None:
    hostile_zip(tmp_path / "a.zip", name)
    assert "a path that leads out of it" in failure(tmp_path / "a.zip")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for member in (name, "1.png"):
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    assert "a path that leads out of it" in failure(tmp_path / "a.tar")


def test_a_picture_that_would_fill_the_memory(tmp_path: Path) -> None:
    hostile_zip(tmp_path / "a.zip", "2.png", 300 << 20)
    assert (tmp_path / "a.zip").stat().st_size < 1 << 20
    assert f"2.png has {300 << 20} bytes; expected at most" in failure(tmp_path / "a.zip")


def test_a_picture_of_too_many_pixels(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    content = bytearray((folder / "2.png").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    (folder / "2.png").write_bytes(content)
    assert decode(folder).ended.condition.frames_lost == 1


def test_links_and_devices_in_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "1.png in the archive is a link or a device; expected a file" in failure(tmp_path / "a.tar")


def test_archives_that_are_not_read(frames: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(frames, "a")
    assert "pictures in a .tgz file cannot be read one by one; unpack it" in failure(tmp_path / "a.tgz")


def test_size_time_and_digest_of_a_folder(frames: Path, tmp_path: Path) -> None:
    folder = copy_of(frames, tmp_path / "a")
    (folder / "notes.txt").write_text("not a frame")
    os.utime(folder / "3.png", ns=(5, 4_000_000_000_000_000_000))
    names = [f"{number}.png" for number in range(1, FRAMES + 1)]
    sums = [hashlib.sha256((folder / name).read_bytes()).hexdigest() + f"  {name}\n" for name in names]
    assert digest_of(folder) == hashlib.sha256("".join(sums).encode()).hexdigest()
    assert stamp_of(folder).size_bytes == sum((folder / name).stat().st_size for name in names)
    assert stamp_of(folder).modified_ns == 4_000_000_000_000_000_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder": "decord"}, "decord does not read pictures; `decoder='auto'` does"),
        ({"video_stream": 1}, "`video_stream=1`: pictures are one video stream, number 0"),
    ],
)
def test_settings_that_pictures_do_not_have(settings: dict[str, object], message: str, frames: Path) -> None:
    assert message in failure(frames, **settings)


def test_folders_among_videos(frames: Path, tmp_path: Path) -> None:
    copy_of(frames, tmp_path / "set" / "P01.cam")
    copy_of(frames, tmp_path / "set" / "with")
    (tmp_path / "set" / "with" / "video.mp4").touch()  # its pictures are thumbnails
    zipped(frames, tmp_path / "set" / "P02.zip")
    with zipfile.ZipFile(tmp_path / "set" / "labels.zip", "w") as archive:
        archive.writestr("labels.txt", "0")
    found = discover([str(tmp_path / "set")])
    assert sorted(video.id for video in found.videos) == ["P01.cam", "P02", "with/video"]
    assert found.skipped == (f"{tmp_path}/set/labels.zip (an archive without numbered pictures)",)
    assert [video.id for video in discover([str(frames)]).videos] == [frames.name]
