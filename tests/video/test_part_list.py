"""Lists of parts: what is read, and what is said of lines that make no sense."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest

from lcdc_extract.errors import VideoError
from lcdc_extract.video import Found, Part, discover
from lcdc_extract.video.part_list import is_part_list, read_part_list


def parts(text: str) -> list[tuple[str, str, float, float, str]]:
    found = [(item.path, item.part) for item in read_part_list(text, "parts.csv")]
    return [(path, part.id, part.start, part.end, part.unit) for path, part in found]


def test_seconds() -> None:
    text = "path,start,end\na.mp4,0,1.5\n\n# a remark\n b.mp4 , 0:01 , 1:02:03.25\n"
    assert parts(text) == [("a.mp4", "", 0, 1.5, "seconds"), ("b.mp4", "", 1, 3723.25, "seconds")]


def test_frames_ids_and_columns_of_others() -> None:
    text = 'label,path,end_frame,start_frame,id\ncut,"a, b.mp4",20,10,one\nstir,c.mp4,,5,two\n'
    assert parts(text) == [("a, b.mp4", "one", 10, 20, "frames"), ("c.mp4", "two", 5, math.inf, "frames")]


def test_a_limit_that_is_left_empty_is_that_of_the_video() -> None:
    assert parts("path,start,end\na.mp4,,2\na.mp4,3,\n") == [
        ("a.mp4", "", -math.inf, 2, "seconds"),
        ("a.mp4", "", 3, math.inf, "seconds"),
    ]


@pytest.mark.parametrize(
    ("text", "is_list"),
    [("path,start,end\n", True), ("path, start_frame,end_frame\n", True), ("path\n", False), ("a,b.mp4\n", False)],
)
def test_a_header_makes_it_a_list_of_parts(text: str, is_list: bool) -> None:
    assert is_part_list(text) == is_list


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,begin,end\na,1,2\n", r"the list parts\.csv has the columns path,begin,end; expected path,start,end"),
        ("path,start,end,start_frame,end_frame\n", "expected path,start,end .* or path,start_frame,end_frame"),
        ("path,start,end,end\n", "has the columns path,start,end,end"),
        ("path,start,end\na,1\n", r"line 2 of the list parts\.csv has 2 cells, the header 3"),
        ("path,start,end\na,1,2\na,b,c,1,2\n", "line 3 .* has 5 cells, the header 3; quote paths that hold commas"),
        ("path,start,end\n,1,2\n", "line 2 .* has no path"),
        ("path,start,end\na,2,2\n", "start is 2, end is 2; expected the start before the end"),
        ("path,start,end\na,3,2\n", "start is 3, end is 2"),
        ("path,start,end\na,-1,2\n", "start is '-1'; expected seconds, like 72.5, or a time, like 1:12.5"),
        ("path,start,end\na,nan,2\n", "start is 'nan'"),
        ("path,start,end\na,1,2 s\n", "end is '2 s'"),
        ("path,start_frame,end_frame\na,1.5,2\n", "start_frame is '1.5'; expected a whole number, from 0"),
    ],
)
def test_what_makes_no_sense(text: str, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        parts(text)


def find(folder: Path, text: str, *others: str) -> Found:
    for name in ("a.mp4", "sub/a.mp4", "b.mkv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return discover(["-", *others], io.BytesIO(text.encode()))


def test_a_video_is_there_once_with_all_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find(tmp_path, "path,start,end\na.mp4,1,2\nb.mkv,0,1\na.mp4,4,5.5\n", "b.mkv")
    a, b = found.videos
    assert (a.id, a.path, [part.id for part in a.parts]) == ("a", Path("a.mp4"), ["a@1s-2s", "a@4s-5.5s"])
    assert b.parts == (Part("b"), Part("b@0s-1s", 0, 1))
    assert [part.id for part in b.wanted] == ["b", "b@0s-1s"]


def test_a_line_without_limits_is_the_whole_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (video,) = find(tmp_path, "path,start,end\na.mp4,,\n").videos
    assert (video.id, video.parts) == ("a", ())


def test_ids_of_ones_own_keep_files_of_one_name_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find(tmp_path, "path,start,end,id\na.mp4,1,2,x/one\nsub/a.mp4,1,2,x/two\n")
    assert [part.id for video in found.videos for part in video.parts] == ["x/one", "x/two"]
    with pytest.raises(VideoError, match=r"a\.mp4 and sub/a\.mp4 would both be called a\.mp4 .*give each an id, in"):
        find(tmp_path, "path,start,end\na.mp4,1,2\nsub/a.mp4,3,4\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,start,end\na.mp4,1,2\na.mp4,1.0,2\n", "line 3 .* and line 2 .* would both be called a@1s-2s"),
        ("path,start,end,id\na.mp4,1,2,x\nb.mkv,1,2,x\n", "line 3 .* and line 2 .* would both be called x"),
        ("path,start,end,id\na.mp4,1,2,../x\n", r"line 2 .*: the id \.\./x is none that the output file can hold"),
        ("path,start,end,id\na.mp4,1,2,b\nb.mkv,,,\n", r"line 2 .* and the video b\.mkv would both be called b"),
        ("path,start,end\n.,1,2\n", r"line 2 .*: \. holds 3 videos; expected the path of one"),
        ("path,start,end\nc.mp4,1,2\n", r"c\.mp4 does not exist"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=message):
        find(tmp_path, text)
