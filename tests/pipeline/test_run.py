"""The main job from video files to the feature file, with the full network."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lcdc_extract import ExtractConfig, extract, open_features
from lcdc_extract.config import PreprocessConfig
from lcdc_extract.errors import OutputError
from lcdc_extract.features import FeatureStore
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.pipeline import (
    Event,
    Progress,
    RunStarted,
    RunSummary,
    VideoFailed,
    VideoFinished,
    VideoStarted,
    dry_run,
    prepare,
)
from lcdc_extract.weights import resolve
from lcdc_extract.weights.file import load_weights
from lcdc_extract.weights.resolve import FoundWeights
from tests.clips import render_clip
from tests.network.random_networks import relative_l2


def snippet_features(video: Path, weights: Path, centres: list[int]) -> torch.Tensor:
    """Windows decoded by ffmpeg's libraries in this process, through the network snippet by snippet."""
    with av.open(str(video)) as container:
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    frames = preprocess(torch.from_numpy(pictures), PreprocessConfig(), torch.float32)
    with torch.inference_mode():
        network = load_weights(weights).network
        return network(torch.stack([frames[centre - 8 : centre + 8] for centre in centres]))


def test_features_equal_the_network_snippet_by_snippet(videos: Path, weights_file: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    config = ExtractConfig((str(videos),), tmp_path / "f.h5", weights=str(weights_file), batch_size=7)
    summary = extract(config, events.append)
    assert summary.ok
    assert summary.frames == 41
    with open_features(tmp_path / "f.h5") as file:
        assert list(file) == ["b", "long/a"]
        for name, video, centres in (("long/a", "long/a.mp4", [8, 15]), ("b", "b.mkv", [10])):
            rows = torch.from_numpy(file[name].features[centres])
            assert relative_l2(rows, snippet_features(videos / video, weights_file, centres)) < 1e-5
        a = file["long/a"]
        assert a.features.shape == (23, 1024)
        assert a.frame_index.tolist() == list(range(23))
        np.testing.assert_allclose(a.time_seconds, np.arange(23) / 25, atol=1e-6)
        assert a.edge.tolist() == [frame < 8 or frame > 15 for frame in range(23)]
        assert (a.features[:9] == a.features[0]).all()
        assert a.attributes["frames_decoded"] == 23
        assert a.attributes["source_size_bytes"] == (videos / "long/a.mp4").stat().st_size
        assert file.attributes["trained"]
        assert file.attributes["weights"] == "random"
        assert json.loads(a.attributes["config"])["batch_size"] == 7
    assert_events(events, summary)


def assert_events(events: list[Event], summary: RunSummary) -> None:
    assert isinstance(events[0], RunStarted)
    assert events[0].videos == 2
    assert events[-1] is summary
    for video, frames in (("long/a", 23), ("b", 18)):
        own = [event for event in events if getattr(event, "id", None) == video]
        assert isinstance(own[0], VideoStarted)
        assert isinstance(own[-1], VideoFinished)
        assert sum(event.frames for event in own if isinstance(event, Progress)) == frames


def test_features_are_the_same_bits_whatever_runs_beside_them(tmp_path: Path) -> None:
    clips = [render_clip(tmp_path / f"{name}.mp4", num_frames=count) for name, count in (("a", 7), ("b", 9), ("c", 5))]

    def features(name: str, inputs: list[Path], decoders: int) -> dict[str, bytes]:
        config = ExtractConfig(tuple(map(str, inputs)), tmp_path / f"{name}.h5", weights="untrained", batch_size=4)
        extract(replace(config, decoders=decoders))
        with open_features(config.out) as file:
            return {video: file[video].features.tobytes() for video in file}

    together = features("together", clips, decoders=3)
    assert features("backwards", clips[::-1], decoders=1) == together
    assert features("alone", clips[1:2], decoders=1) == {"b": together["b"]}


def test_sampling_reaches_the_file(videos: Path, tmp_path: Path) -> None:
    extract(ExtractConfig((str(videos / "b.mkv"),), tmp_path / "f.h5", weights="untrained", frame_step=3, stride=2))
    with open_features(tmp_path / "f.h5") as file:
        assert file["b"].frame_index.tolist() == [0, 6, 12]
        assert file["b"].attributes["frames_padded"] == 16 - 6
        assert not file.attributes["trained"]


def test_released_alignment_in_the_file(tmp_path: Path) -> None:
    clip = render_clip(tmp_path / "clip.mp4", num_frames=20)
    extract(ExtractConfig((str(clip),), tmp_path / "f.h5", weights="untrained", stride=2, align="released"))
    with open_features(tmp_path / "f.h5") as file:
        video = file["clip"]
    assert len(video.features) == 20 // 2
    assert video.frame_index.tolist() == [8] * 4 + [8, 10, 12] + [12] * 3
    assert video.edge.tolist() == [True] * 4 + [False] * 3 + [True] * 3
    assert (video.features[:5] == video.features[0]).all()


def test_one_bad_video_does_not_stop_the_others(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(os.urandom(5000))
    shutil.copy(videos / "b.mkv", tmp_path)
    events: list[Event] = []
    config = ExtractConfig((str(tmp_path),), tmp_path / "f.h5", weights="untrained")
    summary = extract(config, events.append)
    assert not summary.ok
    assert [video.id for video in summary.finished] == ["b"]
    assert [event.id for event in events if isinstance(event, VideoFailed)] == ["bad"]
    with open_features(tmp_path / "f.h5") as file:
        assert list(file) == ["b"]
        assert [(failure.id, bool(failure.reason)) for failure in file.failures] == [("bad", True)]
    shutil.copy(videos / "long/a.mp4", tmp_path / "bad.mp4")
    again = extract(config)
    assert again.ok
    assert again.already_finished == ("b",)
    with open_features(tmp_path / "f.h5") as file:
        assert list(file) == ["b", "bad"]
        assert file.failures == []


def test_a_rerun_does_nothing_or_refuses(videos: Path, tmp_path: Path) -> None:
    clip = tmp_path / "b.mkv"
    shutil.copy(videos / "b.mkv", clip)
    config = ExtractConfig((str(clip),), tmp_path / "f.h5", weights="untrained")
    extract(config)
    before = (tmp_path / "f.h5").stat().st_mtime_ns
    assert extract(config).already_finished == ("b",)
    assert (tmp_path / "f.h5").stat().st_mtime_ns == before
    other = ExtractConfig((str(clip),), tmp_path / "f.h5", weights="untrained", stride=2)
    with pytest.raises(OutputError, match="stride: the file has 1, this run 2"):
        extract(other)
    assert dry_run(config).videos[0].remark == "already finished"
    render_clip(clip, num_frames=17)
    with pytest.raises(OutputError, match="other content"):
        extract(config)
    assert (tmp_path / "f.h5").stat().st_mtime_ns == before
    assert extract(ExtractConfig((str(clip),), tmp_path / "f.h5", weights="untrained", overwrite=True)).frames == 17


def test_a_rerun_with_nothing_to_do_builds_no_network(
    videos: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExtractConfig((str(videos / "b.mkv"),), tmp_path / "f.h5", weights=str(weights_file), frame_step=6)
    extract(config)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was built")

    monkeypatch.setattr(resolve, "load_weights", refuse)
    monkeypatch.setattr(LCDC, "__init__", refuse)
    assert extract(config).already_finished == ("b",)
    assert dry_run(config).frames_per_second == 0


def test_the_list_of_inputs_is_stored_once(videos: Path, tmp_path: Path) -> None:
    inputs = (str(videos / "b.mkv"), str(videos / "long" / "a.mp4"))
    extract(ExtractConfig(inputs, tmp_path / "f.h5", weights="untrained", frame_step=12))
    with open_features(tmp_path / "f.h5") as file:
        assert json.loads(file.attributes["config"])["inputs"] == list(inputs)
        for video in file.values():
            stored = json.loads(video.attributes["config"])
            assert stored["frame_step"] == 12
            assert "inputs" not in stored


def test_what_was_skipped_is_said(videos: Path, tmp_path: Path) -> None:
    shutil.copy(videos / "b.mkv", tmp_path)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    events: list[Event] = []
    config = ExtractConfig((str(tmp_path),), tmp_path / "f.h5", weights="untrained", frame_step=12)
    assert extract(config, events.append).ok
    assert isinstance(events[0], RunStarted)
    assert events[0].skipped == (f"{tmp_path}/gone.mp4 (a link to nothing)",)
    assert dry_run(config).skipped == events[0].skipped


def test_stopped_before_the_last_step(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExtractConfig((str(videos / "b.mkv"),), tmp_path / "f.h5", weights="untrained", frame_step=6)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract(config)
    assert not (tmp_path / "f.h5").exists()
    summary = extract(config)
    assert (summary.already_finished, summary.videos_in_file, summary.frames) == (("b",), 1, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_nothing_readable_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    summary = extract(ExtractConfig((str(tmp_path),), tmp_path / "f.h5", weights="untrained"))
    assert not summary.ok
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mp4"]


def test_a_dry_run_writes_nothing(videos: Path, tmp_path: Path) -> None:
    config = ExtractConfig((str(videos),), tmp_path / "f.h5", weights="untrained", frame_step=2, stride=5, batch_size=2)
    planned = dry_run(config)
    assert {video.id: (video.frames, video.rows) for video in planned.videos} == {"b": (9, 2), "long/a": (12, 3)}
    assert planned.seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_numbers_fail_the_video(
    videos: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_weights(weights_file)
    with torch.no_grad():
        weights.network.head.fc_new_2.bias[5] = float("inf")
    found = FoundWeights(weights.name, weights.sha256, weights.info, lambda: weights)
    monkeypatch.setattr(prepare, "find_weights", lambda _: found)
    summary = extract(ExtractConfig((str(videos / "b.mkv"),), tmp_path / "f.h5", frame_step=6))
    assert [failure.id for failure in summary.failures] == ["b"]
    assert "not numbers" in summary.failures[0].reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_bfloat16_stays_close(videos: Path, weights_file: Path, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / f"{precision}.h5"
        extract(ExtractConfig((str(videos / "b.mkv"),), out, weights=str(weights_file), precision=precision))
        with open_features(out) as file:
            found[precision] = torch.from_numpy(file["b"].features)
            assert file.attributes["precision"] == precision
    cosine = torch.nn.functional.cosine_similarity(found["float32"], found["bfloat16"])
    assert cosine.min() > 0.999
    assert not torch.equal(found["float32"], found["bfloat16"])
