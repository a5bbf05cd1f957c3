"""Label files, as they come from real data sets and from editors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcdc_extract.errors import LabelsError
from lcdc_extract.labels import (
    Segments,
    Split,
    read_frame_labels,
    read_labels,
    read_mapping,
    read_segments,
    read_splits,
)

NAMES = ("background", "take", "pour")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    ["0 background\n1 take\n2 pour\n", "0 background\r\n1 take\r\n2 pour", "2 pour\n0  background \n1\ttake\n\n \n"],
    ids=["plain", "CRLF and no last newline", "other order, tabs, blank lines"],
)
def test_mapping(tmp_path: Path, text: str) -> None:
    assert read_mapping(write(tmp_path / "mapping.txt", text)) == NAMES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 take\n0 pour\n", "line 2: the id 0 is that of take already"),
        ("0 take\n1 take\n", "line 2: the class take was given an id already"),
        ("0 take\n2 pour\n", "found the ids 0, 2; expected 0 to 1"),
        ("0 take\n1 cut tomato\n", "line 2: found '1 cut tomato'; expected `<id> <name>`"),
        ("take 0\n", "line 1: found 'take 0'"),
        ("\n\n", "is empty"),
        ("0 t\xe4ke\n", "cannot be read"),
    ],
)
def test_bad_mapping(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mapping.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LabelsError, match=message) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)


def test_missing_mapping(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"mapping\.txt cannot be read"):
        read_mapping(tmp_path / "mapping.txt")


def test_frame_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "take\ntake\npour\n")
    write(tmp_path / "S1" / "b.c.txt", "\ufeffpour\r\nbackground\r\n\r\n")
    write(tmp_path / "S1" / "d.txt", "take")
    write(tmp_path / "notes.md", "nothing to read here")
    labels = read_frame_labels(tmp_path, NAMES)
    assert {video: row.tolist() for video, row in labels.items()} == {"a": [1, 1, 2], "S1/b.c": [2, 0], "S1/d": [1]}
    assert {row.dtype for row in labels.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("take\nstir\n", r"a\.txt, line 2: unknown class 'stir'; the classes are background, take, pour"),
        ("take\n\npour\n", r"a\.txt, line 2: unknown class ''"),
        ("", r"a\.txt is empty"),
    ],
)
def test_bad_frame_labels(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "a.txt", text)
    with pytest.raises(LabelsError, match=message):
        read_frame_labels(tmp_path, NAMES)


def test_no_frame_labels(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"holds no label files; expected <video>\.txt"):
        read_frame_labels(tmp_path, NAMES)


def test_segments(tmp_path: Path) -> None:
    text = "video,start,end,label\r\nS1/a,2,3.5,pour\r\nS1/a, 0.5, 2, take\r\n\r\nb,0,1,take\r\n\r\n"
    segments = read_segments(write(tmp_path / "labels.csv", text), NAMES)
    assert list(segments) == ["S1/a", "b"]
    seconds = np.array([0, 0.49, 0.5, 1.99, 2, 3.49, 3.5, 99])
    assert segments["S1/a"].at(seconds).tolist() == [0, 0, 1, 1, 2, 2, 0, 0]  # ends are exclusive
    assert segments["b"].at(seconds).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert segments["b"].at(seconds).dtype == np.int64


def test_segments_end_with_their_video(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", "video,start,end,label\na,0,60,take\na,60,90,pour\n")
    segments = read_segments(path, NAMES)["a"]
    segments.check_end("a", 89.0)
    with pytest.raises(LabelsError, match=r"the last segment of a ends at 90 s, its video at 88\.9 s; expected"):
        segments.check_end("a", 88.9)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,0,1,stir", "line 2: unknown class 'stir'; the classes are background, take, pour"),
        ("a,0,1", "line 2: found 3 fields"),
        ("a,1,1,take", "line 2: found start 1 and end 1"),
        ("a,x,1,take", "line 2: found start x and end 1"),
        ("a,0,nan,take", "line 2: found start 0 and end nan"),
        ("a,0,2,take\nb,1,2,take\na,1.5,3,pour", r"line 2 \(0 to 2 s\) and line 4 \(1.5 to 3 s\) overlap"),
        ("", "holds no segments"),
    ],
)
def test_bad_segments(tmp_path: Path, lines: str, message: str) -> None:
    path = write(tmp_path / "labels.csv", f"video,start,end,label\n{lines}\n")
    with pytest.raises(LabelsError, match=message):
        read_segments(path, NAMES)


def test_segments_need_a_header_and_a_background(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", "a,0,1,take\n")
    with pytest.raises(LabelsError, match="the header is a,0,1,take; expected video,start,end,label"):
        read_segments(path, NAMES)
    with pytest.raises(LabelsError, match="gaps need the class background; the classes are take, pour"):
        read_segments(path, NAMES[1:])


def test_labels_of_either_kind(tmp_path: Path) -> None:
    write(tmp_path / "mapping.txt", "0 background\n1 take\n")
    other = write(tmp_path / "other.txt", "0 take\n1 background\n")
    write(tmp_path / "groundTruth" / "S1" / "a.txt", "take\nbackground\n")
    write(tmp_path / "labels.csv", "video,start,end,label\nS1/a,0,1,take\n")
    names, labels = read_labels(tmp_path / "groundTruth")
    assert names == ("background", "take")
    assert {video: row.tolist() for video, row in labels.items()} == {"S1/a": [1, 0]}
    names, labels = read_labels(tmp_path / "labels.csv", other)
    assert names == ("take", "background")
    assert isinstance(labels["S1/a"], Segments)
    assert labels["S1/a"].at(np.array([0.5, 1.0])).tolist() == [0, 1]


def test_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.split10.bundle", "a.txt\r\nS1/b.c.txt")
    write(tmp_path / "test.split10.bundle", "d.txt\n\n")
    write(tmp_path / "train.split2.bundle", "d.txt\n")
    write(tmp_path / "test.split2.bundle", "a.txt\n")
    splits = [Split("2", ("d",), ("a",)), Split("10", ("a", "S1/b.c"), ("d",))]
    assert read_splits(tmp_path) == splits
    assert read_splits(tmp_path, {"a", "S1/b.c", "d"}) == splits
    with pytest.raises(LabelsError, match=r"train\.split10\.bundle lists 1 videos without labels: S1/b\.c"):
        read_splits(tmp_path, {"a", "d"})


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            "a.txt\nb.txt\n",
            "b.txt\n",
            r"train\.split1\.bundle and .*test\.split1\.bundle share b; expected no video in",
        ),
        ("a.txt\na.txt\n", "b.txt\n", r"train\.split1\.bundle lists a more than once"),
        ("a.txt\n", "", r"test\.split1\.bundle is empty"),
        ("a.txt\n", None, r"test\.split1\.bundle cannot be read"),
        (None, "b.txt\n", r"train\.split1\.bundle cannot be read"),
        (None, None, r"holds no splits; expected train\.split1\.bundle"),
    ],
)
def test_bad_splits(tmp_path: Path, train: str | None, test: str | None, message: str) -> None:
    for part, text in (("train", train), ("test", test)):
        if text is not None:
            write(tmp_path / f"{part}.split1.bundle", text)
    with pytest.raises(LabelsError, match=message):
        read_splits(tmp_path)
