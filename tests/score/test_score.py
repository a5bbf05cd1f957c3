"""`lcdc score` on a feature file."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lcdc_extract import plots, toolbox
from lcdc_extract.features import FeatureStore, RunRecord, VideoFailed
from lcdc_extract.features.reader import VideoFeatures
from lcdc_extract.files import UNFINISHED
from lcdc_extract.score import Scores
from lcdc_extract.score.metrics import lea_scores, mstcn_scores
from lcdc_extract.score.rows import _last_seconds

NAMES = ["background", "take", "pour"]
VIDEOS = ["S1/a", "S1/b", "S2/a", "S2/b"]
STEP = 2
"""Frames from one row to the next."""


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(toolbox.app, ["score", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def frame_labels(video: str) -> np.ndarray:
    """49 frames in three long segments, in another order for each video."""
    order = np.random.default_rng(VIDEOS.index(video)).permutation(3)
    return np.repeat(order, (17, 16, 16))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with feats.h5, groundTruth, mapping.txt and splits: four videos, 25 rows of 49 frames each."""
    prototypes = np.random.default_rng(9).random((3, 1024), dtype=np.float32)
    attributes = {"frames_decoded": 49, "frames_per_second": 10.0, "width": 64, "height": 48}
    attributes |= {"incomplete": False, "start_seconds": 0.0}
    record = RunRecord({"stride": STEP}, {"trained": False, "weights": "untrained", "weights_sha256": "ab"})
    with FeatureStore(tmp_path / "feats.h5", record) as store:
        for video in VIDEOS:
            frames, writer = np.arange(0, 49, STEP), store.writer(video)
            features = prototypes[frame_labels(video)[frames]]
            rows = {"features": features, "frame_index": frames, "time_seconds": frames / 10.0}
            writer.append(rows | {name: np.zeros(len(frames), np.bool_) for name in ("edge", "damaged")})
            writer.finish(attributes | {"id": video})
        store.publish([VideoFailed("S3/broken", "broken.mp4", "no video stream")])
    (tmp_path / "mapping.txt").write_text("".join(f"{label} {name}\n" for label, name in enumerate(NAMES)))
    for video in VIDEOS:
        write_labels(tmp_path, video, [NAMES[label] for label in frame_labels(video)])
    write_split(tmp_path, 1, VIDEOS[:2], VIDEOS[2:])
    return tmp_path


def write_labels(folder: Path, video: str, names: list[str]) -> None:
    path = folder / "groundTruth" / f"{video}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")


def write_split(folder: Path, number: int, train: list[str], test: list[str]) -> None:
    (folder / "splits").mkdir(exist_ok=True)
    for part, videos in (("train", train), ("test", test)):
        (folder / "splits" / f"{part}.split{number}.bundle").write_text("".join(f"{video}.txt\n" for video in videos))


def inputs(data: Path, epochs: int = 1) -> list[str | Path]:
    return [data / "feats.h5", "--labels", data / "groundTruth", "--splits", data / "splits", "--epochs", str(epochs)]


def test_the_command(data: Path) -> None:
    write_split(data, 2, VIDEOS[2:], VIDEOS[:2])
    code, output, errors = run(*inputs(data, epochs=30), "--seed", "3", "--device", "cpu")
    assert code == 0
    assert "untrained network" in errors
    assert "Lea et al." in output
    assert "MS-TCN" in output
    folder = data / "feats-score"
    content = json.loads((folder / "scores.json").read_text())
    assert content["settings"] == {"epochs": 30, "seed": 3, "sample_rate": 1, "background": None}
    assert content["ignored"] == {"lea": ["background"], "mstcn": ["background"]}
    assert (content["weights"], content["trained"]) == ("untrained", False)
    assert [split["test"] for split in content["splits"].values()] == [VIDEOS[2:], VIDEOS[:2]]
    for number, videos in (("1", VIDEOS[2:]), ("2", VIDEOS[:2])):
        predicted = [read_prediction(folder / f"split_{number}" / f"{video}.txt") for video in videos]
        truth = [frame_labels(video)[::STEP] for video in videos]
        for key, scores in (("lea", lea_scores), ("mstcn", mstcn_scores)):
            found = Scores(*content["splits"][number][key].values())
            assert found == scores(predicted, truth, [0])
            assert f"{found.accuracy:.2f}" in output
            mean = content["mean"][key]["edit"]
            assert mean == pytest.approx(np.mean([split[key]["edit"] for split in content["splits"].values()]))
            assert f"{mean:.2f}" in output
        for video in videos:
            check_picture(folder / f"split_{number}" / f"{video}.png", video)


def read_prediction(path: Path) -> np.ndarray:
    heading, names = path.read_text().splitlines()
    assert heading.startswith("#")
    return np.array([NAMES.index(name) for name in names.split()])


def check_picture(path: Path, video: str) -> None:
    """The upper bar, read along one line of pixels, is the ground truth."""
    from matplotlib.image import imread

    image = imread(path)[:, :, :3]
    distances = np.abs(image[:, :, None] - np.array(plots.class_colors(3))).max(axis=3)
    found = np.where(distances.min(axis=2) < 1 / 255, distances.argmin(axis=2), -1)
    line = next(row for row in found if (row >= 0).sum() > 500)
    line = line[line >= 0]
    middles = (np.arange(25) + 0.5) / 25 * len(line)
    np.testing.assert_array_equal(line[middles.astype(int)], frame_labels(video)[::STEP])


def test_json_and_other_folder(data: Path) -> None:
    code, output, _ = run(
        *inputs(data), "--json", "--out", data / "other", "--no-pictures", "--mapping", data / "mapping.txt"
    )
    assert code == 0
    assert json.loads(output) == json.loads((data / "other" / "scores.json").read_text())
    assert list((data / "other").rglob("*.png")) == []


def test_segments_in_a_csv_file(data: Path) -> None:
    lines = ["video,start,end,label"]
    for video in VIDEOS:
        labels = frame_labels(video)
        for start, end in ((0, 17), (17, 33), (33, 49)):
            if labels[start]:  # the background is what is left out
                lines.append(f"{video},{start / 10},{end / 10},{NAMES[labels[start]]}")
    (data / "segments.csv").write_text("\n".join(lines))
    assert run(*inputs(data), "--out", data / "one", "--no-pictures")[0] == 0
    code, _, _ = run(
        data / "feats.h5", "--labels", data / "segments.csv", "--splits", data / "splits", "--epochs", "1",
        "--out", data / "two", "--no-pictures",
    )  # fmt: skip
    assert code == 0
    assert (data / "one" / "scores.json").read_text() == (data / "two" / "scores.json").read_text()


def score_with_segments(data: Path, end: float) -> tuple[int, str]:
    """Each video has one segment, which ends then; their last frame is shown at 4.8 s."""
    lines = [f"{video},0,{end},take" for video in VIDEOS]
    (data / "segments.csv").write_text("\n".join(["video,start,end,label", *lines]))
    code, _, errors = run(
        data / "feats.h5", "--labels", data / "segments.csv", "--splits", data / "splits", "--epochs", "1",
        "--no-pictures",
    )  # fmt: skip
    return code, errors


def test_segments_that_go_on_behind_the_end(data: Path) -> None:
    code, errors = score_with_segments(data, 5.9)
    assert code == 2
    assert "the last segment of S1/a ends at 5.9 s, its video at 4.8 s; expected segments inside the video" in errors
    code, errors = score_with_segments(data, 5.8)
    assert code == 0
    assert "note" not in errors


def test_segments_in_minutes(data: Path) -> None:
    code, errors = score_with_segments(data, 0.08)
    assert code == 0
    assert "note: S2/b: the last segment ends at 0.08 s, the video at 4.8 s; are the times in seconds?" in errors


@pytest.mark.parametrize(("rows", "rate"), [([0, 10, 20], 0.0), ([7], 10.0)])
def test_segments_may_reach_the_end_of_a_video_behind_its_last_row(rows: list[int], rate: float) -> None:
    """60 frames at 10 per second: the last one is shown at 5.9 s."""
    count = len(rows)
    video = VideoFeatures(
        np.zeros((count, 1024), np.float32), np.array(rows), np.array(rows) / 10, np.zeros(count, np.bool_),
        np.zeros(count, np.bool_),
        {"frames_decoded": 60, "frames_per_second": rate, "start_seconds": 0.0},
    )  # fmt: skip
    assert _last_seconds(video) == pytest.approx(5.9)


def test_labels_that_end_early(data: Path) -> None:
    """49 frames, the last row is that of frame 48."""
    names = [NAMES[label] for label in frame_labels("S2/a")]
    write_labels(data, "S2/a", names[:46])
    code, _, errors = run(*inputs(data))
    assert code == 2
    assert "S2/a: 46 labels for 49 frames, of which the rows need the first 49" in errors
    assert "--length-tolerance 3" in errors
    assert run(*inputs(data), "--length-tolerance", "2")[0] == 2
    code, _, errors = run(*inputs(data), "--length-tolerance", "3", "--no-pictures")
    assert code == 0
    assert "note: S2/a: the last of 46 labels is repeated for 3 frames" in errors
    assert json.loads((data / "feats-score" / "scores.json").read_text())["notes"]


def test_labels_that_go_on_behind_the_end(data: Path) -> None:
    names = [NAMES[label] for label in frame_labels("S2/a")]
    write_labels(data, "S2/a", names * 2)
    code, _, errors = run(*inputs(data))
    assert code == 2
    assert "S2/a: 98 labels for 49 frames" in errors


def test_videos_without_features(data: Path) -> None:
    for video in ("S3/broken", "S3/new"):
        write_labels(data, video, ["take"])
    write_split(data, 1, ["S1/a", "S3/broken"], ["S1/b", "S3/new"])
    code, _, errors = run(*inputs(data))
    assert code == 2
    assert "2 of the 4 videos that the splits need have no features" in errors
    assert "S3/broken: failed: no video stream" in errors
    assert "S3/new: not in the file" in errors
    assert not (data / "feats-score").exists()


def test_videos_without_labels(data: Path) -> None:
    write_split(data, 1, ["S1/a"], ["S9/x"])
    code, _, errors = run(*inputs(data))
    assert code == 2
    assert "test.split1.bundle lists 1 videos without labels: S9/x" in errors


@pytest.mark.parametrize("there_before", [True, False])
@pytest.mark.parametrize("file", ["split_1/S2/b.txt", "split_1/S2/b.png", "scores.json"])
def test_a_disk_that_fills_up(data: Path, monkeypatch: pytest.MonkeyPatch, file: str, there_before: bool) -> None:
    folder, opened = data / "feats-score", io.open

    def full(path: Path | str, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if str(path).removesuffix(UNFINISHED).endswith(file) and "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *arguments, **options)

    if there_before:
        folder.mkdir()
        (folder / f"of-a-run-that-was-killed{UNFINISHED}").mkdir()
    before = sorted(data.rglob("*"))
    with monkeypatch.context() as patch:
        for module in (io, builtins):
            patch.setattr(module, "open", full)
        code, output, errors = run(*inputs(data))
    assert code == 2
    assert f"--out {folder} cannot be written: [Errno 28] No space left on device" in errors
    assert "MS-TCN" in output, "the scores are printed all the same"
    assert "scores.json are in" not in output
    assert sorted(data.rglob("*")) == before
    assert run(*inputs(data))[0] == 0, "the same command is not refused"
    assert (folder / "scores.json").exists()
    assert sorted(folder.rglob("b.*")) == [folder / "split_1" / "S2" / f"b.{suffix}" for suffix in ("png", "txt")]


def test_refusals(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: str | Path) -> str:
        code, _, errors = run(*inputs(data), *arguments)
        assert code == 2
        return errors

    assert "cannot be read" in refused("--mapping", data / "missing.txt")
    assert "cannot be read as HDF5" in run(data / "mapping.txt", *inputs(data)[1:])[2]
    assert "--epochs is 0; expected a whole number of at least 1" in refused("--epochs", "0")
    assert "--background SIL: no such class" in refused("--background", "SIL")
    assert "expected auto, cpu, cuda" in refused("--device", "tpu")
    assert "is not there or cannot be written to" in refused("--out", data / "missing" / "folder")
    (data / "mine").mkdir()
    (data / "mine" / "notes.txt").write_text("mine")
    assert "is there already. Choose another, or remove it." in refused("--out", data / "mine")
    assert "is there already" in refused("--out", data / "mapping.txt")
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    assert 'pip install "lcdc-extract[tools]"' in refused()
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == ["groundTruth", "mine", "splits"]
    assert run(*inputs(data), "--no-pictures")[0] == 0
