"""Times the compiled operator against plain PyTorch at res5's shape, (N, 512, 14, 14); prints a table, writes JSON.

On a CPU always; on a GPU too where there is one. Candidates take turns, so that a busy machine slows all of them, and
medians are compared. Usage: python benchmarks/bench_ops.py [--batch 1 16 64] [--seconds 4] [--threads 1] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_ops_cuda import cuda_rows
from machine import machine
from ops_cases import CHANNELS, SIZE, Row, candidates, inputs, medians, once
from rich.console import Console
from rich.table import Table


def rows(device: str, dtype: torch.dtype, batch: int, seconds: float) -> Iterator[Row]:
    """Forward, and forward plus backward, of every piece of work."""
    for work, who in candidates().items():
        for backward in (False, True):
            tensors = inputs(batch, device, dtype, backward)
            calls = {name: partial(once, run, tensors) for name, run in who.items()}
            times, rounds = medians(calls, device, seconds)
            name = str(dtype).removeprefix("torch.")
            for other in who:
                if other != "native":
                    yield Row(work, device, name, batch, backward, other, times["native"], times[other], rounds)


def show(title: str, found: list[Row]) -> None:
    table = Table(title=title)
    for heading in ("work", "dtype", "N", "pass", "native ms", "against", "ms", "times faster"):
        table.add_column(heading, justify="left" if heading in ("work", "dtype", "pass", "against") else "right")
    for row in found:
        direction = "forward + backward" if row.backward else "forward"
        times = (f"{row.ours_ms:.3f}", row.against, f"{row.theirs_ms:.3f}", f"{row.ratio:.2f}")
        table.add_row(row.work, row.dtype, str(row.batch), direction, *times)
    Console(width=120).print(table)


def save(path: Path, found: list[Row], about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [{**asdict(row), "ratio": round(row.ratio, 3)} for row in found]
    results = {"machine": about, "shape": ["N", CHANNELS, SIZE, SIZE], "rows": values}
    path.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each group of candidates")
    parser.add_argument("--threads", type=int, help="1 is the steadiest on a machine that others use too")
    parser.add_argument("--cuda-only", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    about = machine()
    if options.cuda_only and not torch.cuda.is_available():
        parser.error("--cuda-only, but torch sees no CUDA device")
    if not options.cuda_only:
        found = [row for batch in options.batch for row in rows("cpu", torch.float32, batch, options.seconds)]
        show(f"{about['cpu']}, {about['threads']} threads, torch {about['torch']}", found)
        save(options.out / "ops_cpu.json", found, about)
    if torch.cuda.is_available():
        found = list(cuda_rows(options.seconds / 4))
        show(f"{about['gpu']}, torch {about['torch']}", found)
        save(options.out / "ops_cuda.json", found, about)


if __name__ == "__main__":
    main()
