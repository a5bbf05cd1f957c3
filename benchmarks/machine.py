"""What a benchmark ran on, for its results file."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

from lcdc_extract import __version__, ops

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, GPU, versions and load; nothing that names the machine itself."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lcdc_extract": __version__,
        "implementation_cpu": ops.implementation("cpu"),
    }
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(), "implementation_cuda": ops.implementation("cuda")}
    return found


def save(name: str, results: dict[str, Any]) -> Path:
    """Writes benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine()} | results, indent=2) + "\n")
    return path
