"""Which files become videos, and what they are called."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from lcdc_extract.errors import VideoError
from lcdc_extract.video import Found, discover


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def find(*inputs: object, stdin: bytes = b"") -> Found:
    return discover([str(item) for item in inputs], io.BytesIO(stdin))


def ids(*inputs: object, stdin: str = "") -> list[str]:
    return [video.id for video in find(*inputs, stdin=stdin.encode()).videos]


def test_folder_is_searched_sorted_and_recursively(tmp_path: Path) -> None:
    make(tmp_path, "b.mp4", "a/z.AVI", "a/deep/c.mkv", "notes.txt", ".hidden.mp4", ".cache/x.mp4", "noextension")
    assert ids(tmp_path) == ["b", "a/z", "a/deep/c"]


def test_file_named_outright_needs_no_known_extension(tmp_path: Path) -> None:
    make(tmp_path, "clip.bin", "noextension", ".hidden.mp4")
    assert ids(tmp_path / "clip.bin", tmp_path / "noextension", tmp_path / ".hidden.mp4") == [
        "clip",
        "noextension",
        ".hidden",
    ]


def test_names_with_several_dots_lose_only_the_last_part(tmp_path: Path) -> None:
    assert ids(make(tmp_path, "rgb.01.1.avi")) == ["rgb.01.1"]


def test_patterns_are_relative_to_their_fixed_folder(tmp_path: Path) -> None:
    make(tmp_path, "s1/a.mp4", "s1/x/b.mp4", "s2/a.mp4", "s1/a.txt")
    assert ids(tmp_path / "s*/*.mp4") == ["s1/a", "s2/a"]
    assert ids(tmp_path / "s1/**/*.mp4") == ["a", "x/b"]
    assert ids(tmp_path / "**/*") == ["s1/a", "s1/x/b", "s2/a"]


def test_pattern_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "v/a.mp4")
    monkeypatch.chdir(tmp_path)
    assert ids("*/*.mp4") == ["v/a"]
    assert ids("v/*.mp4") == ["a"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    make(tmp_path, "take[1].mp4")
    assert ids(tmp_path / "take[1].mp4") == ["take[1]"]


def test_lists_from_a_file_and_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.mp4", "b.mp4", "folder/c.mp4")
    (tmp_path / "list.txt").write_text("# first\n\n  a.mp4  \nfolder\n")
    monkeypatch.chdir(tmp_path)
    assert ids("@list.txt") == ["a", "c"]
    assert ids("-", stdin="b.mp4\n#a.mp4\n\n") == ["b"]


def test_missing_list_says_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"list of videos .*no\.txt: No such file"):
        ids(f"@{tmp_path}/no.txt")


def test_same_file_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert ids(tmp_path / "a.mp4", tmp_path, tmp_path / "*.mp4") == ["a", "b"]


def test_symlinked_file_is_followed_and_keeps_its_own_name(tmp_path: Path) -> None:
    make(tmp_path, "store/0001.dat", "videos/x.mp4")
    (tmp_path / "videos/cooking.mp4").symlink_to(tmp_path / "store/0001.dat")
    assert ids(tmp_path / "videos") == ["cooking", "x"]


def test_broken_symlink_in_a_folder_is_no_video(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert ids(tmp_path) == ["a"]


def test_colliding_names_keep_their_extension(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "a.mkv", "b.mp4")
    assert ids(tmp_path) == ["a.mkv", "a.mp4", "b"]


def test_names_that_still_collide_are_refused_with_both_paths(tmp_path: Path) -> None:
    make(tmp_path, "one/x.mp4", "two/x.mp4")
    with pytest.raises(VideoError, match=r"one/x\.mp4 and .*two/x\.mp4 would both be called x\.mp4") as error:
        ids(tmp_path / "one", tmp_path / "two")
    assert "rename one" in str(error.value)
    assert ids(tmp_path) == ["one/x", "two/x"]


def test_long_name_equal_to_another_short_name_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "a.mkv", "a.mp4.avi")
    with pytest.raises(VideoError, match=r"would both be called a\.mp4"):
        ids(tmp_path)


def test_nothing_found_names_inputs_and_extensions(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    with pytest.raises(VideoError, match=r"no videos found; looked at .*\.mkv .*\.mp4") as error:
        ids(tmp_path, tmp_path / "*.mp4")
    assert str(tmp_path) in str(error.value)
    with pytest.raises(VideoError, match="no input was given"):
        discover([])


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"gone\.mp4 does not exist; check the spelling"):
        ids(tmp_path / "gone.mp4")


def test_device_is_not_a_video() -> None:
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        ids("/dev/null")


def test_undecodable_name_is_refused_in_readable_words(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"bad\xff.mp4"), "wb"):
        pass
    with pytest.raises(VideoError, match="not valid UTF-8; rename it") as error:
        ids(tmp_path)
    str(error.value).encode("utf-8")
    make(tmp_path, "good.mp4")
    found = find(tmp_path)
    assert [video.id for video in found.videos] == ["good"]
    (refused,) = found.refused
    assert refused.id == f"{tmp_path}/bad\\xff.mp4"
    assert "not valid UTF-8; rename it" in refused.reason


def test_links_that_are_left_out_are_said(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "a.mp4")
    (tmp_path / "soft.mp4").symlink_to(tmp_path / "a.mp4")
    found = find(tmp_path, tmp_path / "a.mp4")  # the same path twice is not worth a word
    assert [video.id for video in found.videos] == ["a"]
    assert found.skipped == tuple(
        f"{tmp_path}/{link}.mp4 (the same file as {tmp_path}/a.mp4)" for link in ("hard", "soft")
    )


def test_path_of_each_video(tmp_path: Path) -> None:
    make(tmp_path, "a/b.mp4")
    (video,) = find(tmp_path).videos
    assert video.path == tmp_path / "a/b.mp4"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lists_as_other_systems_write_them(
    encoding: str, ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "küche 1.mp4", "b.mp4")
    monkeypatch.chdir(tmp_path)
    content = ends.join(["küche 1.mp4", "", "# b", "b.mp4"]).encode(encoding)
    (tmp_path / "list.txt").write_bytes(content)
    assert ids("@list.txt") == ["küche 1", "b"]
    assert [video.id for video in find("-", stdin=content).videos] == ["küche 1", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_list_in_utf_16(encoding: str, tmp_path: Path) -> None:
    content = "a.mp4\n".encode(encoding)
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(VideoError, match=r"list of videos .*list\.txt is in UTF-16.*expected UTF-8.*Save it as UTF-8"):
        ids(f"@{tmp_path}/list.txt")
    with pytest.raises(VideoError, match="list of videos on standard input is in UTF-16"):
        find("-", stdin=content)


def test_list_with_zero_bytes_between_paths(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"holds zero bytes; .*-print, not -print0"):
        find("-", stdin=b"a.mp4\0b.mp4\0")


def test_list_with_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"bad\xff.mp4")
    with open(name, "wb"):
        pass
    with pytest.raises(VideoError, match="not valid UTF-8; rename it"):
        find("-", stdin=name)


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.mp4")
    content = b"\xef\xbb\xbf" + os.fsencode(tmp_path / "a.mp4") + b"\r\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert [video.id for video in discover(["-"]).videos] == ["a"]
