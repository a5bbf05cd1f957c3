"""The GPU half of bench_ops.py: the warp against a copy, the layer against torchvision and grid_sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from ops_cases import LC, SIZE, Row, Run, candidates, inputs, medians, once
from torch import Tensor

BATCH = 256
SETS = 6
"""Inputs in rotation: together far larger than the cache, so that memory is what is measured."""


def cuda_rows(seconds: float) -> Iterator[Row]:
    yield from against_copy(seconds)
    for dtype in (torch.float16, torch.float32):
        yield from against_torchvision(dtype, seconds)
    for dtype in (torch.bfloat16, torch.float32):
        yield from against_plain(dtype, seconds)
    yield from deterministic(seconds)


def in_turn(run: Run, sets: list[tuple[Tensor, Tensor, Tensor]]) -> Callable[[], None]:
    tensors = cycle(sets)
    return lambda: once(run, next(tensors))


def against_copy(seconds: float) -> Iterator[Row]:
    """Target: at least 0.7 of the speed of a device-to-device copy of the same bytes."""
    for dtype in (torch.bfloat16, torch.float32):
        sets = [inputs(BATCH, "cuda", dtype, backward=False) for _ in range(SETS)]
        copies = [torch.empty_like(x) for x, _, _ in sets]
        pairs = cycle(zip(copies, sets, strict=True))

        calls: dict[str, Callable[[], None]] = {"native": in_turn(candidates()["warp"]["native"], sets)}
        calls["copy"] = partial(copy_next, pairs)
        times, rounds = medians(calls, "cuda", seconds, warm_up=10)
        yield Row("warp", "cuda", name(dtype), BATCH, False, "copy", times["native"], times["copy"], rounds)


def copy_next(pairs: Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor]]]) -> None:
    target, (x, _, _) = next(pairs)
    target.copy_(x)


def against_torchvision(dtype: torch.dtype, seconds: float) -> Iterator[Row]:
    """Target: at least 5 times faster. torchvision takes 18 channels of offsets and NCHW."""
    from torchvision.ops import deform_conv2d

    def theirs(x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
        result: Tensor = deform_conv2d(x, offset, weight, padding=LC["padding"], dilation=LC["dilation"])
        return result

    for backward in (False, True):
        ours = [inputs(BATCH, "cuda", dtype, backward) for _ in range(2)]
        wide = torch.randn(BATCH, 18, SIZE, SIZE, device="cuda", dtype=dtype) * 1.5
        x, weight = (tensor.detach().contiguous().requires_grad_(backward) for tensor in (ours[0][0], ours[0][2]))
        calls = {
            "native": in_turn(candidates()["LC layer"]["native"], ours),
            "torchvision": in_turn(theirs, [(x, wide.requires_grad_(backward), weight)]),
        }
        times, rounds = medians(calls, "cuda", seconds, warm_up=3)
        yield Row(
            "LC layer",
            "cuda",
            name(dtype),
            BATCH,
            backward,
            "torchvision",
            times["native"],
            times["torchvision"],
            rounds,
        )


def against_plain(dtype: torch.dtype, seconds: float) -> Iterator[Row]:
    for work, who in candidates().items():
        for backward in (False, True):
            sets = [inputs(BATCH, "cuda", dtype, backward) for _ in range(2)]
            calls = {label: in_turn(run, sets) for label, run in who.items()}
            times, rounds = medians(calls, "cuda", seconds, warm_up=3)
            for other in who:
                if other != "native":
                    yield Row(work, "cuda", name(dtype), BATCH, backward, other, times["native"], times[other], rounds)


def deterministic(seconds: float) -> Iterator[Row]:
    """Backward of the warp with and without atomic additions, on a batch small enough for them."""
    for batch in (1, 16, 64):
        tensors = inputs(batch, "cuda", torch.float32, backward=True)

        calls = {"native": partial(backward, False, tensors), "deterministic": partial(backward, True, tensors)}
        times, rounds = medians(calls, "cuda", seconds, warm_up=3)
        torch.use_deterministic_algorithms(False)
        yield Row(
            "warp", "cuda", "float32", batch, True, "deterministic", times["native"], times["deterministic"], rounds
        )


def backward(deterministic: bool, tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.use_deterministic_algorithms(deterministic)
    once(candidates()["warp"]["native"], tensors)


def name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
