"""Times the compiled operator against plain PyTorch at res5's shape, (N, 512, 14, 14); prints a table, writes JSON.

On a CPU always; on a GPU too where there is one. Candidates take turns, so that a busy machine slows all of them, and
medians are compared. Usage: python benchmarks/bench_ops.py [--batch 1 16 64] [--seconds 4] [--threads 1] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import machine
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from lcdc_extract import ops

CHANNELS, SIZE = 512, 14
LC: dict[str, Any] = {"padding": 2, "dilation": 2}
RELEASED: dict[str, Any] = {"padding": 1, "dilation": 2, "offset_layout": "released", "border": "released"}

Run = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """Median times of one piece of work; `ratio` is the slower candidate's time over ours."""

    work: str
    device: str
    dtype: str
    batch: int
    backward: bool
    against: str
    ours_ms: float
    theirs_ms: float
    rounds: int

    @property
    def ratio(self) -> float:
        return self.theirs_ms / self.ours_ms


def grid_warp(x: Tensor, offset: Tensor) -> Tensor:
    """The warp by grid_sample, which counts positions from -1 to 1."""
    steps = torch.arange(SIZE, device=x.device, dtype=torch.float32)
    rows, columns = steps[:, None] + offset[:, 0], steps + offset[:, 1]
    grid = torch.stack([columns, rows], -1) * (2 / (SIZE - 1)) - 1
    return functional.grid_sample(x, grid.to(x.dtype), align_corners=True)


def candidates() -> dict[str, dict[str, Run]]:
    """Work -> who does it -> how; "native" is ours."""

    def warp(choice: Any) -> Run:
        return lambda x, offset, weight: ops.warp(x, offset, implementation=choice)

    def layer(choice: Any) -> Run:
        return lambda x, offset, weight: ops.locally_consistent_conv2d(x, offset, weight, implementation=choice, **LC)

    def released(choice: Any) -> Run:
        return lambda x, offset, weight: ops.deform_conv2d(x, offset, weight, implementation=choice, **RELEASED)

    return {
        "warp": {
            "native": warp("native"),
            "plain": warp("reference"),
            "grid_sample": lambda x, offset, weight: grid_warp(x, offset),
        },
        "LC layer": {
            "native": layer("native"),
            "plain": layer("reference"),
            "grid_sample": lambda x, offset, weight: functional.conv2d(grid_warp(x, offset), weight, **LC),
        },
        "released layer": {"native": released("native"), "plain": released("reference")},
    }


def inputs(batch: int, device: str, dtype: torch.dtype, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    """x after a ReLU, in the memory format that suits the device; offsets of about a pixel and a half, in float32.

    On a GPU that is channels-last. On a CPU torch's default, contiguous, can make dilated convolutions faster.
    """
    x = torch.randn(batch, CHANNELS, SIZE, SIZE, device=device).relu().to(dtype)
    offset = torch.randn(batch, 2, SIZE, SIZE, device=device) * 1.5
    weight = (torch.randn(CHANNELS, CHANNELS, 3, 3, device=device) * 0.02).to(dtype)
    memory = torch.channels_last if device == "cuda" else torch.contiguous_format
    tensors = (x.contiguous(memory_format=memory), offset, weight)
    return tuple(tensor.requires_grad_(backward) for tensor in tensors)  # type: ignore[return-value]


def once(run: Run, tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    result = run(*tensors)
    if result.requires_grad:
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        torch.autograd.grad(result, wanted, torch.ones_like(result), allow_unused=True)


def cpu_milliseconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def cuda_milliseconds(call: Callable[[], None]) -> float:
    """Time on the device: it sleeps first, so that everything is queued before the first event is reached."""
    torch.cuda._sleep(6_000_000)  # type: ignore[no-untyped-call]
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def medians(
    calls: Mapping[str, Callable[[], None]], device: str, seconds: float, warm_up: int = 1
) -> tuple[dict[str, float], int]:
    """Runs the calls in turn, for at least three rounds and about `seconds`; returns milliseconds and rounds."""
    measure = cuda_milliseconds if device == "cuda" else cpu_milliseconds
    for call in calls.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    stop = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < 3 or (time.perf_counter() < stop and len(times["native"]) < 200):
        for name, call in calls.items():
            times[name].append(measure(call))
    return {name: statistics.median(values) for name, values in times.items()}, len(times["native"])


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
    path.write_text(
        json.dumps({"machine": about, "shape": ["N", CHANNELS, SIZE, SIZE], "rows": values}, indent=1) + "\n"
    )


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
        from bench_ops_cuda import cuda_rows

        found = list(cuda_rows(options.seconds / 4))
        show(f"{about['gpu']}, torch {about['torch']}", found)
        save(options.out / "ops_cuda.json", found, about)


if __name__ == "__main__":
    main()
