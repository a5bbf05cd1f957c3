"""`lcdc plot`: what it shows, how it is drawn, and what it says when something is missing."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from matplotlib.image import imread
from safetensors.numpy import load_file
from scipy.spatial.distance import cdist
from scipy.special import softmax
from typer.testing import CliRunner

from lcdc_extract import ExtractConfig, extract, open_features, picture, plots, toolbox
from lcdc_extract.config import NetworkConfig
from lcdc_extract.features import VideoFeatures
from lcdc_extract.files import sha256_of
from lcdc_extract.picture import find_classifier, read_thumbnails, self_similarity, video_picture
from lcdc_extract.video import DecoderPool, VideoSource
from lcdc_extract.weights.file import WeightsInfo, save_weights
from tests.clips import read_number, render_clip
from tests.network.random_networks import random_lcdc

NAMES = ("background", "cut", "stir")


@pytest.fixture(scope="module")
def class_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with a class layer and names."""
    network = random_lcdc(NetworkConfig(num_classes=len(NAMES)))
    path = tmp_path_factory.mktemp("weights") / "classes.safetensors"
    save_weights(path, network, WeightsInfo(trained=True, network=network.config, class_names=NAMES))
    return path


@pytest.fixture(scope="module")
def two_videos(class_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of two short clips, a and sub/b."""
    folder = tmp_path_factory.mktemp("two")
    render_clip(folder / "videos" / "a.mp4", num_frames=20)
    render_clip(folder / "videos" / "sub" / "b.mp4", num_frames=5)
    config = ExtractConfig((str(folder / "videos"),), folder / "feats.h5", weights=str(class_weights), device="cpu")
    assert extract(config).ok
    return folder / "feats.h5"


@pytest.fixture
def one_video(two_videos: Path, tmp_path: Path) -> Path:
    """The features of a alone."""
    copy = Path(shutil.copy(two_videos, tmp_path))
    with h5py.File(copy, "a") as file:
        del file["videos/sub"]
    return copy


def plot(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(toolbox.app, ["plot", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def change(file: Path, **attributes: Any) -> None:
    with h5py.File(file, "a") as content:
        content.attrs.update(attributes)


def random_rows(count: int) -> np.ndarray[Any, Any]:
    return np.maximum(np.random.default_rng(0).standard_normal((count, 1024), dtype=np.float32), 0)


# --- what is shown


def test_self_similarity_is_the_cosine() -> None:
    rows = random_rows(30) * np.geomspace(1e-3, 1e3, 30, dtype=np.float32)[:, None]
    np.testing.assert_allclose(self_similarity(rows), 1 - cdist(rows, rows, "cosine"), atol=1e-6)


def test_rows_of_zeros_are_like_nothing() -> None:
    similarity = self_similarity(np.concatenate([np.zeros((2, 1024), np.float32), random_rows(1)]))
    np.testing.assert_allclose(similarity, np.diag([0, 0, 1]), atol=1e-6)


def test_class_probabilities_are_those_of_the_class_layer(two_videos: Path, class_weights: Path) -> None:
    with open_features(two_videos) as file:
        features, made_by = file["a"].features, file.attributes
    found = find_classifier(made_by).probabilities(features)
    tensors = load_file(class_weights)
    scores = features.astype(float) @ tensors["cls_score.weight"].T.astype(float) + tensors["cls_score.bias"]
    assert found.names == NAMES
    assert found.values.shape == (20, 3)
    np.testing.assert_allclose(found.values, softmax(scores, axis=1), atol=1e-5)


def features_of(clip: Path, frames: int, first: int = 0, **attributes: Any) -> VideoFeatures:
    """A row for each frame from `first` on, of a clip of 10 frames/s."""
    index = np.arange(first, frames)
    config = json.dumps({"video_stream": None, "deinterlace": False})
    attributes |= {"frames_decoded": frames, "frames_per_second": 10.0, "config": config}
    attributes["source_sha256"] = sha256_of(clip)
    flags = np.zeros(len(index), np.bool_)
    return VideoFeatures(np.zeros((len(index), 1024), np.float32), index, index / 10, flags, flags, attributes)


def test_thumbnails_of_a_part_are_frames_of_it(tmp_path: Path) -> None:
    clip = render_clip(tmp_path / "a.mp4", num_frames=41, rate=10)
    part = features_of(clip, 41, 20, part_start=2.0, part_end=9.0, part_unit="seconds")
    thumbnails = read_thumbnails(clip, part)
    assert [read_number(picture) for picture in thumbnails.rgb] == [21, 24, 27, 30, 33, 36, 39]
    np.testing.assert_allclose(thumbnails.seconds, [2.1, 2.4, 2.7, 3.0, 3.3, 3.6, 3.9], atol=1e-6)


@pytest.mark.parametrize(("frames", "numbers"), [(3, [0, 1, 2]), (8, list(range(8))), (41, [0, 6, 12, 18, 24, 30, 36])])
def test_thumbnails_are_the_frames_of_their_times(tmp_path: Path, frames: int, numbers: list[int]) -> None:
    clip = render_clip(tmp_path / "a.mp4", num_frames=frames, rate=10)
    thumbnails = read_thumbnails(clip, features_of(clip, frames))
    assert thumbnails.rgb.shape == (len(numbers), 48, 64, 3)
    assert [read_number(picture) for picture in thumbnails.rgb] == numbers
    np.testing.assert_allclose(thumbnails.seconds, np.array(numbers) / 10, atol=1e-6)


def test_long_videos_are_thinned_in_the_matrix_only() -> None:
    rows, seconds = random_rows(1500), np.arange(1500) / 15
    video = VideoFeatures(rows, np.arange(1500), seconds, np.zeros(1500, bool), np.zeros(1500, bool), {})
    content = video_picture("a", video, {"weights": "w", "trained": False}, None, None)
    np.testing.assert_array_equal(content.similarity_seconds, seconds[::3])
    np.testing.assert_array_equal(content.similarity, self_similarity(rows[::3]))
    assert len(content.seconds) == 1500
    assert content.title == "a, weights w, not trained: the features mean nothing"


# --- how it is drawn

LEFT_EDGE, SPAN = round(plots.LEFT * plots.DOTS_PER_INCH), round(plots.SPAN * plots.DOTS_PER_INCH)
WIDTH = round((plots.LEFT + plots.SPAN + plots.RIGHT) * plots.DOTS_PER_INCH)


def content(**other: Any) -> plots.VideoPicture:
    """Ten seconds of 10 rows a second: 3 s of class 1, then class 2; the features of the two have nothing in common."""
    label = np.repeat([1, 2], [30, 70])
    values = np.full((100, 3), 0.1, np.float32)
    values[np.arange(100), label] = 0.8
    seconds = np.arange(100) / 10
    similarity = (label[:, None] == label).astype(np.float32)
    settings = {"thumbnails": None, "probabilities": plots.ClassProbabilities(values, NAMES)} | other
    return plots.VideoPicture("a", seconds, similarity, seconds, **settings)


def line(image: np.ndarray[Any, Any], inches_below_top: float) -> np.ndarray[Any, Any]:
    """Pixels along the time axis, without its ends."""
    return image[round(inches_below_top * plots.DOTS_PER_INCH), LEFT_EDGE + 3 : LEFT_EDGE + SPAN - 3, :3]


def test_the_bar_and_the_lines_below_have_the_classes_colors(tmp_path: Path) -> None:
    plots.draw_video(tmp_path / "a.png", content())
    image = imread(tmp_path / "a.png")
    assert image.shape[1] == WIDTH
    bar = plots.ABOVE + plots.BAR_HEIGHT / 2
    colors, boundary = np.array(plots.class_colors(3)), round(0.3 * SPAN)
    np.testing.assert_allclose(line(image, bar)[: boundary - 8], np.tile(colors[1], (boundary - 8, 1)), atol=0.01)
    assert np.abs(line(image, bar)[boundary + 8 :] - colors[2]).max() < 0.01
    first = plots.ABOVE + plots.BAR_HEIGHT + plots.GAP + plots.CLASS_HEIGHT / 2  # no line for background
    for number, label in enumerate([1, 2]):
        found = line(image, first + number * plots.CLASS_HEIGHT)[[boundary - 20, boundary + 20]]
        strong, weak = 1 - 0.8 * (1 - colors[label]), 1 - 0.1 * (1 - colors[label])
        np.testing.assert_allclose(found, [strong, weak] if label == 1 else [weak, strong], atol=0.01)


def test_the_matrix_is_square_and_runs_down(tmp_path: Path) -> None:
    plots.draw_video(tmp_path / "a.png", content())
    image = imread(tmp_path / "a.png")[:, :, :3]
    bottom = len(image) - round(plots.BELOW * plots.DOTS_PER_INCH)
    matrix = image[bottom - SPAN + 5 : bottom - 5, LEFT_EDGE + 5 : LEFT_EDGE + SPAN - 5].sum(axis=2)
    boundary = round(0.3 * SPAN) - 5
    bright = matrix > 1.5
    assert bright[: boundary - 3, : boundary - 3].all()
    assert bright[boundary + 3 :, boundary + 3 :].all()
    assert not bright[: boundary - 3, boundary + 3 :].any()


def test_thumbnails_begin_at_their_times(tmp_path: Path) -> None:
    rgb = np.zeros((5, 30, 40, 3), np.uint8)
    rgb[:, :, :, 0] = np.array([50, 90, 130, 170, 210])[:, None, None]
    plots.draw_video(tmp_path / "a.png", content(thumbnails=plots.Thumbnails(rgb, np.arange(5) * 2.0)))
    pixels = np.round(255 * line(imread(tmp_path / "a.png"), plots.ABOVE + 0.4))
    for number, red in enumerate([50, 90, 130, 170, 210]):
        start = round(number * SPAN / 5)
        found = np.flatnonzero((pixels == [red, 0, 0]).all(axis=1)) + 3
        assert found.min() == pytest.approx(start, abs=4)
        assert len(found) == pytest.approx(plots.MOST_STRIP_HEIGHT * plots.DOTS_PER_INCH * 40 / 30, abs=6)


def test_no_classes_and_one_row(tmp_path: Path) -> None:
    one = np.ones((1, 1), np.float32)
    plots.draw_video(
        tmp_path / "a.png", plots.VideoPicture("a", np.zeros(1), one, np.zeros(1), thumbnails=None, probabilities=None)
    )
    image = imread(tmp_path / "a.png")
    words = np.concatenate([line(image, plots.ABOVE + part * plots.BAR_HEIGHT) for part in (0.4, 0.5, 0.6)])
    assert words.max() == 1
    assert words.min() < 0.6
    np.testing.assert_allclose(words[:, 0], words[:, 1], atol=0.01)


# --- the command


def test_one_video_gives_a_picture_beside_the_file(one_video: Path) -> None:
    assert plot(one_video) == (0, f"{one_video.with_suffix('.png')}\n")
    image = imread(one_video.with_suffix(".png"))
    assert image.shape[1] == WIDTH
    assert len(np.unique(line(image, plots.ABOVE + 0.3), axis=0)) > 100  # frames


def test_several_videos_give_a_folder(two_videos: Path, tmp_path: Path) -> None:
    code, output = plot(two_videos, "--no-frames", "--out", tmp_path / "new")
    assert (code, output.split()) == (0, [str(tmp_path / "new" / name) for name in ("a.png", "sub/b.png")])
    assert all(Path(name).is_file() for name in output.split())
    code, output = plot(two_videos, "--no-frames", "--no-classes", "--video", "sub/b")
    assert (code, output) == (0, f"{two_videos.parent}/feats-pictures/sub/b.png\n")


def test_videos_and_their_features_are_read_once(
    two_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features: list[str] = []
    decoded: list[str] = []
    read, decode = h5py.Dataset.__getitem__, DecoderPool

    def reading(dataset: h5py.Dataset, *arguments: Any, **options: Any) -> Any:
        features.append(dataset.name)
        return read(dataset, *arguments, **options)

    def decoding(sources: Sequence[VideoSource], *settings: Any, **options: Any) -> DecoderPool:
        decoded.extend(source.path.name for source in sources)
        return decode(sources, *settings, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", reading)
    monkeypatch.setattr(picture, "DecoderPool", decoding)
    assert plot(two_videos, "--out", tmp_path / "new")[0] == 0
    arrays = ("features", "frame_index", "time_seconds", "edge", "damaged")
    of_videos = sorted(name for name in features if name.startswith("/videos/"))
    assert of_videos == sorted(f"/videos/{video}/{array}" for video in ("a", "sub/b") for array in arrays)
    assert decoded == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "c"], "--video c is not in .*; it holds a, sub/b"),
        (["--video", "a", "--out", "x.jpg"], "--out is x.jpg; expected the name of one .png file"),
        (["--source", "x.mp4"], "holds 2 videos; choose one with --video ID"),
        (["--source", "x.mp4", "--no-frames"], "give one of the two"),
        (["--weights", "w", "--no-classes"], "give one of the two"),
        (["--weights", "nothing"], "--weights nothing is neither a file nor a name of weights here"),
        (
            ["--video", "a", "--source", "x.mp4"],
            "the video is not at x.mp4. Give its place with --source FILE.*--no-frames",
        ),
        (["--out", __file__], "is one file, .* holds 2 videos; give a folder"),
        (["--out", "x.png"], "is one file, .* holds 2 videos; give a folder"),
    ],
)
def test_what_cannot_be_done(
    two_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = plot(two_videos, *arguments)
    assert code == 2
    assert re.search(message, output), output
    assert not list(tmp_path.iterdir())


def test_moved_and_changed_videos(one_video: Path, tmp_path: Path) -> None:
    with h5py.File(one_video, "a") as file:
        original = Path(file["videos/a"].attrs["source"])
        file["videos/a"].attrs["source"] = "/gone/a.mp4"
    code, output = plot(one_video)
    assert (code, one_video.with_suffix(".png").exists()) == (2, False)
    assert "the video is not at /gone/a.mp4" in output
    moved = Path(shutil.copy(original, tmp_path / "moved.mp4"))
    assert plot(one_video, "--source", moved)[0] == 0
    data = bytearray(moved.read_bytes())
    data[-1] ^= 1
    for content in (data, data[:-1]):
        moved.write_bytes(content)
        code, output = plot(one_video, "--source", moved)
        assert code == 2
        assert "moved.mp4 is not the file that was extracted" in output


def test_other_weights_are_refused(one_video: Path, weights_file: Path) -> None:
    code, output = plot(one_video, "--weights", weights_file)
    assert code == 2
    assert f"{weights_file} has the SHA-256 {sha256_of(weights_file)}, but the features were made with" in output
    assert "--no-classes" in output


def test_no_class_scores_is_a_note(one_video: Path, weights_file: Path, class_weights: Path) -> None:
    change(one_video, config=json.dumps({"weights": "gone.safetensors"}))
    code, output = plot(one_video, "--no-frames")
    assert (code, output.splitlines()[0]) == (
        0,
        "note: no class scores: the weights gone.safetensors are not here; give their place with --weights PATH",
    )
    assert "note:" not in plot(one_video, "--no-frames", "--weights", class_weights)[1]
    change(one_video, weights_sha256=sha256_of(weights_file))
    assert "have no class names" in plot(one_video, "--no-frames", "--weights", weights_file)[1]
    change(one_video, config=json.dumps({"weights": "untrained"}), trained=False)
    assert "note: no class scores: the untrained network has no classes" in plot(one_video, "--no-frames")[1]


def test_weights_by_name(one_video: Path, class_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file records when no weights were given: a name alone."""
    change(one_video, config=json.dumps({"weights": None}), weights="mine")
    (tmp_path / "mine.safetensors").symlink_to(class_weights)
    assert "the weights mine are not here" in plot(one_video, "--no-frames")[1]
    monkeypatch.setenv("LCDC_WEIGHTS", str(tmp_path))
    assert "note:" not in plot(one_video, "--no-frames")[1]


def test_without_matplotlib(one_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", {"sys": sys}.get)
    code, output = plot(one_video)
    assert code == 2
    assert 'pip install "lcdc-extract[tools]"' in output
