"""Parts of videos from a list to the file, with the full network; `test_underway` has what needs none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lcdc_extract import ExtractConfig, extract, open_features
from lcdc_extract.errors import ConfigError, OutputError
from lcdc_extract.pipeline import RunSummary, dry_run, run
from lcdc_extract.video import DecoderPool, VideoSource
from tests.clips import render_clip

FRAMES = 32
NAMED = {"begin": range(5), "a": range(15, 24), "b": range(20, 30), "end": range(28, 32)}


@dataclass
class Run:
    """A run over 504 parts of a clip."""

    config: ExtractConfig
    summary: RunSummary
    parts_decoded: list[int]
    """Of each file that was decoded."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 frames at 25 frames/s."""
    return render_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=FRAMES)


def settings_for(clip: Path, folder: Path, lines: list[str], **others: Any) -> ExtractConfig:
    """Parts in seconds, with ids."""
    text = "\n".join(["path,start,end,id", *(f"{clip},{line}" for line in lines)])
    (folder / "parts.csv").write_text(text)
    return ExtractConfig((f"@{folder}/parts.csv",), folder / "parts.h5", weights="untrained", batch_size=5, **others)


@pytest.fixture(scope="module")
def done(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Four parts, two of which overlap, one begins and one ends with the video; and 500 in frames."""
    folder = tmp_path_factory.mktemp("parts")
    decoded: list[int] = []

    def pool(sources: list[VideoSource], *settings: Any, **options: Any) -> DecoderPool:
        decoded.extend(len(source.parts) for source in sources)
        return DecoderPool(sources, *settings, **options)

    config = settings_for(clip, folder, ["0,0.2,begin", "0.6,0.96,a", "0.8,1.2,b", "1.12,,end"])
    many = [f"{clip},{begin},{end}" for begin in range(20) for end in range(begin + 1, begin + 26)]
    (folder / "many.csv").write_text("\n".join(["path,start_frame,end_frame", *many]))
    config = replace(config, inputs=(*config.inputs, f"@{folder}/many.csv"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "DecoderPool", pool)
        yield Run(config, extract(config), decoded)


def test_a_file_with_many_parts_is_decoded_once(done: Run) -> None:
    assert done.parts_decoded == [504]
    assert done.summary.ok
    assert done.summary.videos_in_file == 504
    assert done.summary.frames == FRAMES
    assert {video.id: video.rows for video in done.summary.finished}["clip@3f-9f"] == 6


def test_parts_are_slices_of_the_whole(done: Run, clip: Path, tmp_path: Path) -> None:
    whole_config = replace(done.config, inputs=(str(clip),), out=tmp_path / "whole.h5")
    assert extract(whole_config).ok
    with h5py.File(done.config.out) as parts, h5py.File(whole_config.out) as file:
        whole = file["videos/clip"]
        for name, held in NAMED.items():
            assert parts["videos"][name].keys() == whole.keys()
            for dataset in ("frame_index", "time_seconds", "edge", "damaged"):
                np.testing.assert_array_equal(parts["videos"][name][dataset][:], whole[dataset][held.start : held.stop])
            expected = whole["features"][held.start : held.stop]
            np.testing.assert_allclose(parts["videos"][name]["features"][:], expected, atol=1e-6)


def test_what_the_file_says_of_a_part(done: Run, clip: Path) -> None:
    with open_features(done.config.out) as file:
        video = file["b"]
        np.testing.assert_allclose(video.time_seconds, np.arange(20, 30) / 25)
        assert (video.attributes["part_start"], video.attributes["part_end"]) == (0.8, 1.2)
        assert video.attributes["part_unit"] == "seconds"
        assert file["end"].attributes["part_end"] == math.inf
        assert file["clip@3f-9f"].attributes["part_unit"] == "frames"
        assert (video.attributes["frames_decoded"], video.attributes["frames_sampled"]) == (FRAMES, 10)
        assert video.attributes["source"] == str(clip)


def test_a_rerun_makes_only_the_parts_that_are_missing(clip: Path, tmp_path: Path) -> None:
    extract(settings_for(clip, tmp_path, ["0.6,0.8,a"], part_edges="clamp"))
    config = settings_for(clip, tmp_path, ["0.6,0.8,a", "0.4,0.5,more"], part_edges="clamp")
    planned = dry_run(config).videos
    assert (planned[0].id, planned[0].frames, planned[0].remark) == ("a", 0, "already finished")
    assert (planned[1].id, planned[1].frames) == ("more", 3)
    summary = extract(config)
    assert summary.already_finished == ("a",)
    assert [(video.id, video.rows) for video in summary.finished] == [("more", 3)]
    assert summary.frames == 3
    with open_features(config.out) as file:
        assert [file[name].edge.all() for name in ("a", "more")] == [True, True]
    with pytest.raises(OutputError, match=r"already holds 'a', another part than 0\.6s-1s"):
        extract(settings_for(clip, tmp_path, ["0.6,1,a"], part_edges="clamp"))
    with pytest.raises(OutputError, match="part_edges: the file has clamp, this run see"):
        extract(settings_for(clip, tmp_path, ["0.6,0.8,a"]))


def test_parts_that_the_video_does_not_have_fail_alone(clip: Path, tmp_path: Path) -> None:
    lines = ["1.24,9,long", "8,9,beyond", "0.84,1.16,between"]
    summary = extract(settings_for(clip, tmp_path, lines, stride=10, part_edges="clamp", overwrite=True))
    assert summary.finished == ()
    reasons = {failure.id: failure.reason for failure in summary.failures}
    assert reasons["beyond"] == (
        "the part 8s-9s holds no sampled frame: the video has 32 frames, the last of which players show at 1.240 s"
    )
    assert "none of the rows falls into the part 0.84s-1.16s, which holds 8 sampled frames" in reasons["between"]
    summary = extract(settings_for(clip, tmp_path, lines, part_edges="clamp"))
    notes = {video.id: video.notes for video in summary.finished}
    assert "the part goes on to 9 s, the video ends at 1.280 s" in notes["long"]
    assert not any("goes on" in note for note in notes["between"])


def test_a_video_that_cannot_be_read_fails_with_all_its_parts(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    summary = extract(settings_for(tmp_path / "bad.mp4", tmp_path, ["1,2,", "3,4,"]))
    assert [failure.id for failure in summary.failures] == ["bad@1s-2s", "bad@3s-4s"]


def test_the_released_alignment_has_no_parts(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`align='released'` fixes the rows of whole videos"):
        extract(settings_for(clip, tmp_path, ["1,2,a"], align="released"))
