"""Which pictures are frames, and in which order."""

from __future__ import annotations

import pytest

from lcdc_extract.errors import VideoError
from lcdc_extract.video.numbering import may_be_frames, put_in_order
from lcdc_extract.video.picture_files import PictureFile


def files(*names: str) -> list[PictureFile]:
    return [PictureFile(name, lambda: b"") for name in names]


def order(*names: str) -> list[str]:
    return [picture.file.name for picture in put_in_order(files(*names)).pictures]


def test_numbers_count_not_letters() -> None:
    assert order("10.png", "9.png", "1.png", "100.png") == ["1.png", "9.png", "10.png", "100.png"]
    assert order("a_b2_010.jpg", "a_b2_9.jpg", "a_b2_0008.JPG") == ["a_b2_0008.JPG", "a_b2_9.jpg", "a_b2_010.jpg"]
    assert order("in/f2.png", "in/f1.webp") == ["in/f1.webp", "in/f2.png"]


def test_what_may_be_frames() -> None:
    assert may_be_frames(["1.png", "2.png", "notes.txt"])
    assert not may_be_frames(["1.png", "cover.jpg", "2.txt"])
    assert not may_be_frames(["1.png", ".2.png"])


def test_gaps_are_counted_and_told() -> None:
    found = put_in_order(files("f1.png", "f2.png", "f5.png", "f7.png"))
    assert found.missing == 3
    assert found.missing_where == ("2 pictures are missing between 2 and 5", "1 picture is missing between 5 and 7")
    many = put_in_order(files(*(f"{number}.png" for number in range(1, 20, 2))))
    assert many.missing == 9
    assert many.missing_where[-1] == "there are 6 more gaps like these"


def test_pictures_without_a_number_are_left_out_and_told() -> None:
    found = put_in_order(files("1.png", "2.png", "cover.png"))
    assert [picture.number for picture in found.pictures] == [1, 2]
    assert found.notes == ("1 picture without a number is left out: cover.png",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a1.png", "a2.png", "b1.png"], "belong to 2 sequences: 2 begin with 'a', 1 begin with 'b'; expected one"),
        (["x/1.png", "x/2.png", "y/1.png", "y/2.png"], "belong to 2 sequences: 2 begin with 'x/', 2 begin with 'y/'"),
        (["1.png", "01.png"], r"01\.png and 1\.png have the same number, 1; expected one picture for each"),
        (["1.jpg", "1.png"], r"1\.jpg and 1\.png have the same number"),
        (["1.png"], r"1 picture here .*; expected at least 2 frames, like frame_0001\.png"),
        ([], "no picture here has a name that ends in a number"),
    ],
)
def test_what_is_no_sequence(names: list[str], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        put_in_order(files(*names))
