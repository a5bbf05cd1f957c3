"""Links, folders that cannot be read, and patterns: what is found, and what is said of the rest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lcdc_extract.errors import VideoError
from lcdc_extract.video import Found
from tests.video.test_discovery import find, ids, make

NOBODY = 65534


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def files(found: Found) -> set[str]:
    return {os.path.realpath(video.path) for video in found.videos}


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_linked_folders_are_searched(tmp_path: Path) -> None:
    make(tmp_path, "in/a.mp4", "disk/b.mp4", "disk/deep/c.mp4")
    link(tmp_path / "in/more", tmp_path / "disk")
    assert ids(tmp_path / "in") == ["a", "more/b", "more/deep/c"]
    assert ids(tmp_path / "in/**/*.mp4") == ["a", "more/b", "more/deep/c"]
    assert ids(tmp_path / "in/more") == ["b", "deep/c"]


@pytest.mark.parametrize("item", ["in", "in/**/*.mp4", "in/**", "i*"])
@pytest.mark.parametrize(
    "links",
    [
        {"in/x/up": "in"},
        {"in/x/itself": "in/x"},
        {"in/x/to_y": "in/y", "in/y/to_x": "in/x"},
        {"in/a": "in/x", "in/y/z": "in/x"},
        {"in/a": "in/x", "in/b": "in/a", "in/x/c": "in/y", "in/y/d": "in"},
        {"in/a.mp4": "in/x"},
    ],
    ids=str,
)
def test_links_in_a_circle_end_and_files_keep_their_own_names(
    links: dict[str, str], item: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "in/x/1.mp4", "in/x/deep/2.mp4", "in/y/3.mp4")
    for path, target in links.items():
        link(tmp_path / path, tmp_path / target)
    found = find(item)
    start = "in/" if item == "i*" else ""
    assert sorted(video.id for video in found.videos) == [f"{start}x/1", f"{start}x/deep/2", f"{start}y/3"]
    assert found.skipped == (), "circles need no word"


def test_many_folders_that_link_to_each_other(tmp_path: Path) -> None:
    for name in range(12):
        make(tmp_path, f"{name}/clip.mp4")
        for other in range(12):
            link(tmp_path / str(name) / f"to{other}", tmp_path / str(other))
    assert len(ids(tmp_path)) == len(ids(tmp_path / "**/*.mp4")) == 12


@pytest.mark.parametrize("item", ["", "**/*.mp4", "*/*", "*/**/*"])
@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["closed", "may be listed, not entered"])
def test_folders_that_cannot_be_read_are_told(mode: int, item: str, public: Path) -> None:
    make(public, "open/a.mp4", "secret/b.mp4")
    (public / "secret").chmod(mode)
    with as_ordinary_user():
        found = find(f"{public}/{item}")
        with pytest.raises(VideoError, match=r"no videos found.*; skipped .*secret.* \(Permission denied\)"):
            find(f"{public}/sec*/{item}")
    assert [video.path.name for video in found.videos] == ["a.mp4"]
    refused = public / "secret" if mode == 0 else public / "secret/b.mp4"
    assert found.skipped == (f"{refused} (Permission denied)",)


def test_a_path_in_a_closed_folder_is_not_called_missing(public: Path) -> None:
    make(public, "secret/b.mp4")
    (public / "secret").chmod(0)
    with as_ordinary_user(), pytest.raises(VideoError, match=r"b\.mp4 cannot be looked at: Permission denied"):
        find(public / "secret/b.mp4")


@pytest.mark.parametrize("item", ["in", "in/**/*"])
def test_broken_links_are_told_if_they_may_be_videos_or_folders(
    item: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "in/x/a.mp4")
    for name in ("in/x/gone.mp4", "in/x/subject7", "in/x/gone.txt", "in/x/.gone.mp4"):
        link(tmp_path / name, tmp_path / "nowhere")
    link(tmp_path / "in/x/itself.mp4", tmp_path / "in/x/itself.mp4")
    found = find(item)
    assert [video.path.name for video in found.videos] == ["a.mp4"]
    assert sorted(found.skipped) == [
        "in/x/gone.mp4 (a link to nothing)",
        "in/x/itself.mp4 (a link to nothing)",
        "in/x/subject7 (a link to nothing)",
    ]


def test_a_broken_link_named_outright(tmp_path: Path) -> None:
    link(tmp_path / "gone.mp4", tmp_path / "disk/gone.mp4")
    with pytest.raises(VideoError, match=r"gone\.mp4 is a link to .*disk/gone\.mp4, which is not there"):
        find(tmp_path / "gone.mp4")


def test_what_is_neither_file_nor_folder_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert find(tmp_path).skipped == (f"{tmp_path}/pipe.mp4 (neither a file nor a folder)",)
    assert find(tmp_path / "*.mp4").skipped == (f"{tmp_path}/pipe.mp4 (neither a file nor a folder)",)


def test_a_long_list_of_skipped_is_shortened(tmp_path: Path) -> None:
    for number in range(40):
        link(tmp_path / f"{number:02}.mp4", tmp_path / "nowhere")
    with pytest.raises(VideoError, match=r"skipped .*/00\.mp4 \(a link to nothing\), .* and 30 more\. Extensions"):
        find(tmp_path)


ODD = {
    "plain.mp4": "plain.mp4",
    "capitals": "GOPR0001.MP4",
    "folder called like a video": "x.mp4/inside.mp4",
    "spaces": "my videos/first take .mp4",
    "brackets": "[set 1]/take[2].mp4",
    "star": "a*b/c?.mp4",
    "umlaut": "küche/öl.mp4",
}
HIDDEN = (".hidden.mp4", ".cache/a.mp4", "deep/.cache/more/a.mp4")


@pytest.mark.parametrize("pattern", ["", "**", "**/*", "**/*.mp4", "*", "**/*.[mM][pP]4", "**/*.MP4"])
def test_folders_and_patterns_find_the_same(pattern: str, tmp_path: Path) -> None:
    make(tmp_path, *ODD.values(), *HIDDEN, "notes.txt")
    found = find(tmp_path / pattern)
    assert files(found) == {str(tmp_path / name) for name in ODD.values()}
    assert {video.id for video in found.videos} == {name[:-4] for name in ODD.values()}
    assert found.skipped == ()


def test_hidden_files_count_where_a_pattern_says_so(tmp_path: Path) -> None:
    make(tmp_path, ".hidden.mp4", ".cache/a.mp4", "b.mp4")
    assert ids(tmp_path / ".*.mp4") == [".hidden"]
    assert ids(tmp_path / ".c*/*") == [".cache/a"]
    assert ids(tmp_path / ".cache") == ["a"]


def test_folders_that_a_pattern_matches_are_searched(tmp_path: Path) -> None:
    make(tmp_path, "s1/a.mp4", "s2/deep/b.mp4", "t/c.mp4")
    assert ids(tmp_path / "s*") == ["s1/a", "s2/deep/b"]


def test_a_name_with_brackets_in_a_path_is_no_pattern(tmp_path: Path) -> None:
    make(tmp_path, "[set]/a.mp4", "s/b.mp4", "x/take[1].mp4", "y/take1.mp4", "y/take2.mp4")
    assert ids(tmp_path / "[set]/*.mp4") == ["a"]
    assert ids(tmp_path / "?/take[1].mp4") == ["x/take[1]", "y/take1"]
    assert ids(tmp_path / "[stu]/*.mp4") == ["s/b"]


def test_capitals_count_in_names_but_not_in_extensions(tmp_path: Path) -> None:
    make(tmp_path, "A1.mp4", "a2.MP4", "b.mp4")
    assert ids(tmp_path / "a*.mp4") == ["a2"]
    assert ids(tmp_path / "[A-Z]*.mp4") == ["A1"]
    assert ids(tmp_path / "*.M*") == ["A1", "a2", "b"]
