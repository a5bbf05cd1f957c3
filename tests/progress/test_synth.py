"""What `lcdc synth` shows while it runs."""

from __future__ import annotations

from contextlib import closing

import pytest

from lcdc_extract.progress.synth import SetProgress
from lcdc_extract.synth.events import FramesEncoded


def test_the_bar_knows_how_much_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with closing(SetProgress(2)) as progress:
        progress(FramesEncoded("a", 32, 900))
        assert progress._steps.total == 2 * 900
        progress(FramesEncoded("a", 868, 900))
        progress(FramesEncoded("b", 1300, 1300))
        assert progress._steps.done == progress._steps.total == 900 + 1300
    shown = capsys.readouterr().err
    assert "2/2 videos" in shown
    assert "2200/2200" in shown


def test_a_log_gets_a_line_a_video(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(SetProgress(2)) as progress:
        for event in (FramesEncoded("a", 32, 900), FramesEncoded("a", 868, 900), FramesEncoded("b", 1300, 1300)):
            progress(event)
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["a: 900 frames", "b: 1300 frames"]
