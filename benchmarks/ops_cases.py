"""What is timed of the operator, on which inputs, and how: for bench_ops.py and its GPU half."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
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
