"""Damaged and incomplete videos, from the file to the rows and the exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from lcdc_extract import ExtractConfig, cli, extract, open_features
from lcdc_extract.pipeline import VideoStarted
from tests.clips import render_clip
from tests.video.reference import decode

FRAMES, STEP, STRIDE = 36, 2, 3


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 36 frames with one damaged packet in its second half, which only the decoder notices."""
    path = render_clip(tmp_path_factory.mktemp("harmed") / "harmed.mp4", num_frames=FRAMES, gop=6, b_frames=0)
    content = bytearray(path.read_bytes())
    import av

    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[24].pos, packets[24].size
    content[place + size // 3 : place + 2 * size // 3] = bytes(2 * size // 3 - size // 3)
    path.write_bytes(content)
    return path


def test_rows_whose_window_holds_a_damaged_frame_are_marked(harmed: Path, tmp_path: Path) -> None:
    config = ExtractConfig((str(harmed),), tmp_path / "f.h5", weights="untrained", frame_step=STEP, stride=STRIDE)
    events: list[object] = []
    summary = extract(config, events.append)
    assert summary.ok
    assert sum(isinstance(event, VideoStarted) for event in events) == 2  # decord, and then PyAV
    spoilt = decode(harmed).damaged
    assert 0 < spoilt.sum() < 10
    sampled = list(range(0, FRAMES, STEP))
    with h5py.File(config.out) as file:
        video = file["videos/harmed"]
        assert video["damaged"].dtype == np.bool_
        for frame, damaged in zip(video["frame_index"][:], video["damaged"][:], strict=True):
            start = min(max(sampled.index(frame) - 8, 0), max(len(sampled) - 16, 0))
            assert damaged == any(spoilt[seen] for seen in sampled[start : start + 16])
        assert video.attrs["frames_damaged"] == spoilt.sum()
        assert (video.attrs["frames_lost"], video.attrs["cut_off"], video.attrs["incomplete"]) == (0, "", False)
        assert video.attrs["damage"].startswith("h264: ")
        assert video.attrs["decoder"].startswith("av ")
        assert "ffmpeg inside decord complains" in video.attrs["decoder_reason"]
        (row,) = file["index"][:]
        assert (row["damaged_rows"], row["incomplete"]) == (video["damaged"][:].sum(), False)


def test_a_video_that_another_decoder_takes_over_is_there_once(harmed: Path, tmp_path: Path) -> None:
    """In batches so small that rows were handed out before decord gave up."""
    config = ExtractConfig((str(harmed),), tmp_path / "f.h5", weights="untrained", batch_size=3, frame_step=STEP)
    assert extract(config).ok
    assert extract(replace(config, out=tmp_path / "av.h5", decoder="av")).ok
    with open_features(config.out) as auto, open_features(tmp_path / "av.h5") as by_av:
        assert auto["harmed"].frame_index.tolist() == list(range(0, FRAMES, STEP))
        np.testing.assert_array_equal(auto["harmed"].damaged, by_av["harmed"].damaged)
        np.testing.assert_allclose(auto["harmed"].features, by_av["harmed"].features, atol=1e-6)


def test_a_video_that_is_cut_off_is_kept_and_told_again(tmp_path: Path) -> None:
    path = render_clip(tmp_path / "cut.mp4", num_frames=20, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    arguments = [str(path), "--out", str(tmp_path / "f.h5"), "--weights", "untrained", "--stride", "5"]
    first = CliRunner().invoke(cli.app, arguments)
    assert first.exit_code == 1
    assert "the file is cut off" in " ".join(first.stdout.split())
    with open_features(tmp_path / "f.h5") as file:
        attributes = file["cut"].attributes
        assert attributes["incomplete"]
        assert "20 frames" in attributes["cut_off"]
        assert 0 < attributes["frames_decoded"] < 20
        assert file.summary()[0]["incomplete"]
    again = CliRunner().invoke(cli.app, arguments)
    assert again.exit_code == 1
    assert "already finished, incomplete" in " ".join(again.stdout.split())
    refused = CliRunner().invoke(cli.app, [*arguments, "--on-damage", "fail", "--overwrite"])
    assert refused.exit_code == 1
    assert "--on-damage" in " ".join(refused.stdout.split())
    with open_features(tmp_path / "f.h5") as file:
        assert list(file) == ["cut"]  # nothing could be read, so the old file stays
