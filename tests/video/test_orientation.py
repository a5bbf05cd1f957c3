"""Turned and mirrored pictures, against what the ffmpeg program shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ffmpeg import ffmpeg, render, shown
from tests.video.reference import decode, failure

TURNS = [f"-display_rotation {turn} {flip}" for turn in (0, 90, 180, 270) for flip in ("", "-display_hflip")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that no turn leaves as it is."""
    return render(tmp_path_factory.mktemp("plain") / "plain.mp4", "-c:v libx264 -bf 2", seconds=0.6)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("turn", TURNS)
def test_every_display_matrix(plain: Path, tmp_path: Path, turn: str, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    ffmpeg(f"{turn} -i {{}} -c copy {{}}", plain, path)
    upright = "0" in turn.split()[1:2] or "180" in turn
    expected = shown(path, size=(96, 64) if upright else (64, 96))
    found = decode(path)
    np.testing.assert_array_equal(found.rgb, expected)
    assert (found.opened.info.height, found.opened.info.width) == expected.shape[1:3]


def test_the_eight_are_different(plain: Path, tmp_path: Path) -> None:
    pictures = set()
    for turn in TURNS:
        ffmpeg(f"{turn} -i {{}} -c copy {{}}", plain, tmp_path / "a.mp4")
        picture = decode(tmp_path / "a.mp4").rgb[0]
        pictures.add((picture.shape, picture.tobytes()))
    assert len(pictures) == 8


@pytest.mark.parametrize("extension", ["mp4", "ts"])
@pytest.mark.parametrize("turn", ["rotate=90", "rotate=180:flip=horizontal", "rotate=270:flip=vertical"])
def test_orientation_in_h264_itself(plain: Path, tmp_path: Path, turn: str, extension: str) -> None:
    """The message comes with some frames only and holds for those that follow."""
    path = tmp_path / f"a.{extension}"
    ffmpeg(f"-i {{}} -c copy -bsf:v h264_metadata=display_orientation=insert:{turn} {{}}", plain, path)
    expected = shown(path, size=(96, 64) if "180" in turn else (64, 96))
    np.testing.assert_array_equal(decode(path).rgb, expected)


def test_a_turn_by_another_angle_is_refused(plain: Path, tmp_path: Path) -> None:
    ffmpeg("-display_rotation 33 -i {} -c copy {}", plain, tmp_path / "a.mp4")
    reason = failure(tmp_path / "a.mp4")
    assert "turn or skew its pictures by the matrix (0.839 -0.545 0.545 0.839); expected a multiple of 90" in reason
    assert "ffmpeg -i IN" in reason
