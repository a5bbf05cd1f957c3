"""What `lcdc synth` loads before it begins."""

from __future__ import annotations

import subprocess
import sys


def test_help_needs_no_torch() -> None:
    code = "import sys; from lcdc_extract import toolbox; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
