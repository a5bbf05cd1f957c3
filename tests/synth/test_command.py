"""What `lcdc synth` shows while it runs, and what it loads before."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from lcdc_extract.synth.videos import draw_video
from lcdc_extract.toolbox.synth import _Progress


def test_the_bar_knows_how_much_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    first, second = (draw_video(1, index) for index in (0, 1))
    with closing(_Progress(2)) as progress:
        progress(first, 32)
        assert progress._bar is not None
        assert progress._bar.total == 2 * len(first)
        progress(first, len(first) - 32)
        progress(second, len(second))
        assert progress._bar.n == progress._bar.total == len(first) + len(second)
    assert "2/2 videos" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = "import sys; from lcdc_extract import toolbox; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
