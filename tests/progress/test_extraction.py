"""What people and machines are told while a run goes."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest

from lcdc_extract.pipeline import Progress, RunStarted, RunSummary, VideoFailed, VideoFinished, VideoStarted
from lcdc_extract.progress import extraction as progress

STARTED = RunStarted(2, 2, 1, "w", False, "cpu", "float32", "reference", 5, None, 2)
FINISHED = VideoFinished("a", 10, 20, ("the last frame was repeated",))
EVENTS = [
    STARTED,
    VideoStarted("a", 30),
    Progress("a", 20),
    FINISHED,
    VideoFailed("b", "b.mp4", "damaged"),
    RunSummary(Path("f.h5"), (FINISHED,), ("c",), (), (VideoFailed("b", "b.mp4", "damaged"),), 2, 20, 1.5),
]


class Terminal(io.StringIO):
    """Somebody watches."""

    def isatty(self) -> bool:
        return True


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = progress.Lines()
    for event in EVENTS:
        reporter(event)
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0].startswith("2 videos, 1 already finished; every 5th frame, a row for every 2nd of those; weights w")
    assert lines[1].startswith("WARNING: the network is untrained")
    assert lines[2:] == [
        "finished a: 10 rows from 20 frames",
        "note: a: the last frame was repeated",
        "failed b: damaged",
    ]


def test_the_default_weights_are_not_for_real_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lcdc-synth", "mine"):
        progress.Lines()(dataclasses.replace(STARTED, weights=name, trained=True))
    texts = capsys.readouterr().err
    assert texts.count("note: lcdc-synth was trained on drawn shapes") == 1
    assert "untrained" not in texts


def test_a_line_every_half_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 1.0, 10.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    reporter = progress.Lines()
    for event in (STARTED, VideoStarted("a", 100), Progress("a", 10), Progress("a", 10)):
        reporter(event)
    # 20 of 100 frames in 40 s, and a second video that is taken to be as long
    assert capsys.readouterr().err.splitlines()[-1].endswith("0/2 videos, 0.5 frames/s, about 360 s left")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = progress.JsonLines()
    for event in EVENTS:
        reporter(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__ for event in EVENTS]
    assert lines[2] == {"event": "Progress", "id": "a", "frames": 20}
    assert lines[-1]["failures"] == [{"id": "b", "path": "b.mp4", "reason": "damaged"}]


def test_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    reporter = progress.choose_reporter(json_events=False)
    assert isinstance(reporter, progress.Bars)
    for event in EVENTS:
        reporter(event)
    drawn = terminal.getvalue()
    assert "WARNING: the network is untrained" in drawn
    assert "failed: b: damaged" in drawn
    assert "1/2 videos" in drawn
    assert "frames/s" in drawn
    assert "2 videos, 1 already finished" in drawn


def test_the_video_bar_stays_with_one_video_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    bars = progress.Bars()
    bars(STARTED)
    for video in ("a", "b"):
        bars(VideoStarted(video, 40))
    seen = []
    for video in ("a", "b", "a", "b"):
        bars(Progress(video, 10))
        seen.append((bars._video.desc, bars._video.n, bars._video.total))
    assert seen == [("a", 10, 40), ("a", 10, 40), ("a", 20, 40), ("a", 20, 40)]
    bars(VideoFinished("a", 20, 20))
    bars(Progress("b", 10))
    assert (bars._video.desc, bars._video.n, bars._video.total) == ("b", 30, 40)
    assert bars._all.total == 20 + 40
    bars.close()


@pytest.mark.parametrize(("number", "text"), [(1, ""), (2, "2nd "), (3, "3rd "), (11, "11th "), (22, "22nd ")])
def test_ordinals(number: int, text: str) -> None:
    assert progress._ordinal(number) == text
