"""Which videos and labels go together; nothing is decoded here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.errors import LabelsError, VideoError
from lcdc_extract.labels import Segments
from lcdc_extract.train.batch import IGNORED
from lcdc_extract.train.config import TrainConfig
from lcdc_extract.train.dataset import Dataset, frame_labels, read_dataset
from lcdc_extract.train.events import Event, TrainingNote
from lcdc_extract.train.frames import VideoFrames
from lcdc_extract.video import VideoSource
from tests.train.tiny import write_labels


def dataset(folder: Path, **options: Path) -> Dataset:
    options = {"labels": folder / "groundTruth"} | options
    return read_dataset(TrainConfig(out=folder / "out", videos=folder / "videos", **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos S1/a, b and c with labels."""
    for name in ("S1/a", "b", "c"):
        path = tmp_path / "videos" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_labels(tmp_path, {name: ["cut"] for name in ("S1/a", "b", "c")})
    return tmp_path


def bundle(folder: Path, name: str, *videos: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{video}.txt\n" for video in videos))
    return path


def ids(videos: tuple[VideoSource, ...]) -> list[str]:
    return sorted(video.id for video in videos)


def test_without_a_split_all_videos_but_those_of_validation(folder: Path) -> None:
    found = dataset(folder)
    assert ids(found.train) == ["S1/a", "b", "c"]
    assert found.validation == ()
    assert found.class_names == ("background", "cut", "peel")
    found = dataset(folder, validation=bundle(folder, "test", "b"))
    assert (ids(found.train), ids(found.validation)) == (["S1/a", "c"], ["b"])


def test_a_split_says_what_is_used_and_the_rest_may_lack_anything(folder: Path) -> None:
    (folder / "videos" / "d.mp4").touch()
    write_labels(folder, {"e": ["cut"]})
    found = dataset(folder, split=bundle(folder, "train", "S1/a"), validation=bundle(folder, "test", "c"))
    assert (ids(found.train), ids(found.validation)) == (["S1/a"], ["c"])


def test_what_cannot_be_looked_at_is_said(folder: Path) -> None:
    (folder / "videos" / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    events: list[Event] = []
    options = {"labels": folder / "groundTruth", "videos": folder / "videos"}
    read_dataset(TrainConfig(out=folder / "out", **options), events.append)
    assert events == [TrainingNote(f"skipped {folder}/videos/gone.mp4 (a link to nothing)")]


def test_what_is_missing_is_named(folder: Path) -> None:
    (folder / "videos" / "d.mp4").touch()
    with pytest.raises(LabelsError, match=r"^d has no labels in .*groundTruth; .*`split`"):
        dataset(folder)
    write_labels(folder, {"d": ["cut"], "e": ["cut"]})
    with pytest.raises(LabelsError, match=r"^e has labels but is not in .*videos; .*`split`"):
        dataset(folder)
    with pytest.raises(LabelsError, match="no video named e, which the split lists"):
        dataset(folder, split=bundle(folder, "train", "e"))
    with pytest.raises(LabelsError, match="train lists 1 videos without labels: f"):
        dataset(folder, split=bundle(folder, "train", "f"))


def test_splits_that_cannot_be(folder: Path) -> None:
    with pytest.raises(LabelsError, match="train is empty"):
        dataset(folder, split=bundle(folder, "train"))
    with pytest.raises(LabelsError, match=r"train and .*test share b; expected"):
        dataset(folder, split=bundle(folder, "train", "b", "c"), validation=bundle(folder, "test", "b"))
    with pytest.raises(LabelsError, match="test lists every video"):
        dataset(folder, validation=bundle(folder, "test", "S1/a", "b", "c"))


def test_no_video_has_labels(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_labels(tmp_path, {"rgb-01-1": ["cut"]})
    with pytest.raises(VideoError, match="no videos found"):
        dataset(tmp_path)
    (tmp_path / "videos" / "01-1.avi").touch()
    with pytest.raises(LabelsError, match=r"no video of .* the videos are 01-1, the labels those of rgb-01-1\. Expect"):
        dataset(tmp_path)


def video(decoded: int, frame_step: int = 1) -> tuple[VideoSource, VideoFrames]:
    seconds = np.arange(0, decoded, frame_step) / 10  # 10 frames/s
    return VideoSource("a", Path("a.mp4")), VideoFrames(np.empty((0, 246, 246, 3), np.uint8), seconds, decoded)


def test_labels_of_kept_frames() -> None:
    labels = np.arange(20)
    assert frame_labels(*video(20), labels, 1).tolist() == list(range(20))
    assert frame_labels(*video(20, 3), labels, 3).tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert frame_labels(*video(15), labels, 1).tolist() == list(range(15))
    assert frame_labels(*video(23, 2), labels, 2).tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, IGNORED, IGNORED]


@pytest.mark.parametrize("decoded", [11, 29])
def test_lengths_may_differ_by_eight(decoded: int) -> None:
    labels = np.zeros(20, np.int64)
    nearer = decoded + (1 if decoded < 20 else -1)
    assert len(frame_labels(*video(nearer), labels, 1)) == nearer
    with pytest.raises(LabelsError, match=f"a.mp4 has {decoded} frames, its labels 20; .*full frame rate"):
        frame_labels(*video(decoded), labels, 1)


def test_segments_label_frames_by_time() -> None:
    segments = Segments(np.array([0.2, 0.5]), np.array([0.4, 0.7]), np.array([1, 2]), gap_label=0)
    assert frame_labels(*video(8), segments, 1).tolist() == [0, 0, 1, 1, 0, 2, 2, 0]
    assert frame_labels(*video(8, 2), segments, 2).tolist() == [0, 1, 0, 2]
    late = Segments(np.array([0.2]), np.array([1.8]), np.array([1]), gap_label=0)
    with pytest.raises(LabelsError, match=r"a\.mp4 ends at 1\.8 s, its video at 0\.7 s"):
        frame_labels(*video(8), late, 1)


def test_segments_in_a_csv_file(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_text("video,start,end,label\nS1/a,0,1,cut\nb,0.5,2,peel\nc,1,2,cut\n")
    found = dataset(folder, labels=path)
    assert ids(found.train) == ["S1/a", "b", "c"]
    assert isinstance(found.labels["b"], Segments)


def test_lists_of_parts_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "parts.csv").write_text("path,start,end\nvideos/b.mp4,1,2\n")
    with pytest.raises(VideoError, match=r"@parts\.csv lists parts of videos; training takes whole ones"):
        read_dataset(TrainConfig(out=folder / "out", videos=Path("@parts.csv"), labels=folder / "groundTruth"))
