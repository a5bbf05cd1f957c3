"""Two processes on one machine, as torchrun starts them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lcdc_extract.train.processes import local_device
from tests.clips import render_clip
from tests.train.tiny import write_labels

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    for name in "ab":
        render_clip(tmp_path / "videos" / f"{name}.mp4", num_frames=16)
    write_labels(tmp_path, dict.fromkeys("ab", ["cut"] * 16))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.train.two_processes", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["clips"]) for row in rows] == [("frames", "16"), ("clips", "20"), ("clips", "24")]
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == [
        *("a.json", "a.npy", "b.json", "b.npy")
    ]


def test_each_process_has_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 3)
    assert local_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert local_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert local_device(torch.device("cuda")) == torch.device("cuda")
