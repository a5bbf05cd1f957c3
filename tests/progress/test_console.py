"""Progress of one thing: lines in a log, a bar on a terminal."""

from __future__ import annotations

import pytest

from lcdc_extract.progress.console import Steps


def test_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 40.0, 50.0, 80.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with Steps("epochs", total=20, title="ED-TCN", done=4) as steps:
        for _ in range(4):
            steps.advance(2)
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "ED-TCN: 8 of 20 epochs, 0.1 epochs/s, about 120 s left",  # 4 in 40 s
        "ED-TCN: 12 of 20 epochs, 0.1 epochs/s, about 80 s left",  # 8 in 80 s
    ]


def test_a_download_that_stands_still(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 31.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    Steps("B", total=100).advance(0)
    assert capsys.readouterr().err.endswith("0 of 100 B, 0 B/s\n")
