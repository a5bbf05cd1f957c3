"""Gradients: numerical in float64, the implementations against each other, awkward positions, determinism."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lcdc_extract import ops
from tests.ops.cases import BORDERS, DEVICES, DTYPES, IMPLEMENTATIONS, LAYOUTS, Case, error, leaves, make_case

TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 6e-3, torch.bfloat16: 5e-2}
"""As for values; the columns' gradient is one rounding more, and its errors add up in offset and weight."""


def gradients(case: Case, implementation: str) -> list[Tensor]:
    inputs = leaves(case)
    result = ops.deform_conv2d(*inputs, implementation=implementation, **case.options)
    torch.manual_seed(1)
    result.backward(torch.randn(result.shape, dtype=torch.float64).to(result))
    return [tensor.grad for tensor in inputs if tensor.grad is not None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numerical_gradients(device: str, implementation: str, border: str, layout: str) -> None:
    case = make_case(layout, border, batch=1, groups=2, offset_groups=2)
    # Away from whole pixels, where the derivative jumps.
    whole = case.offset.floor()
    case.offset = whole + 0.05 + 0.9 * (case.offset - whole)
    inputs = leaves(case.to(device, torch.float64))

    def run(*tensors: Tensor) -> Tensor:
        return ops.deform_conv2d(*tensors, implementation=implementation, **case.options)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("border", BORDERS)
def test_numerical_gradients_one_by_one(border: str) -> None:
    """Every element of the Jacobian, which `fast_mode` only projects, on a problem small enough for it."""
    torch.manual_seed(0)
    x, offset, weight = torch.randn(1, 2, 3, 4), torch.rand(1, 8, 2, 3) * 0.9 + 0.05, torch.randn(2, 2, 2, 2)
    offset += torch.randint(-2, 2, offset.shape)
    inputs = [tensor.double().requires_grad_() for tensor in (x, offset, weight)]

    def run(*tensors: Tensor) -> Tensor:
        return ops.deform_conv2d(*tensors, border=border, implementation="native")

    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_native_equals_reference(device: str, dtype: torch.dtype, border: str, layout: str) -> None:
    case = make_case(layout, border, batch=3, groups=2, offset_groups=4)
    rounded = case.to("cpu", dtype)
    expected = gradients(rounded.to("cpu", torch.float64), "reference")
    for got, want in zip(gradients(rounded.to(device, dtype), "native"), expected, strict=True):
        assert got.dtype == dtype
        assert error(got, want) < TOLERANCES[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("border", BORDERS)
def test_whole_pixels_and_wild_positions(device: str, border: str) -> None:
    """Where the derivative jumps both take the right-hand side; nothing reaches, or comes from, outside."""
    rows = [0.0, -1.0, -0.5, 1.0, 3.0, 3.5, 4.0, 1e9, -3e38, float("nan"), float("inf")]
    offset = torch.zeros(len(rows) ** 2, 2, 4, 4, dtype=torch.float64, device=device)
    offset[:, :, 0, 0] = torch.tensor([(row, column) for row in rows for column in rows], dtype=torch.float64)
    x = torch.randn(len(rows) ** 2, 3, 4, 4, dtype=torch.float64, device=device)
    grad = torch.randn_like(x)
    results = []
    for implementation in IMPLEMENTATIONS:
        inputs = [x.clone().requires_grad_(), offset.clone().requires_grad_()]
        ops.warp(*inputs, border=border, implementation=implementation).backward(grad)
        results.append([tensor.grad for tensor in inputs])
    for got, want in zip(results[1], results[0], strict=True):
        assert got is not None
        assert want is not None
        assert error(got, want) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 2]], ids=str)
def test_only_the_gradients_asked_for(device: str, layout: str, wanted: list[int]) -> None:
    case = make_case(layout).to(device, torch.float64)
    every = gradients(case, "native")
    inputs = leaves(case)
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(index in wanted)
    result = ops.deform_conv2d(*inputs, implementation="native", **case.options)
    torch.manual_seed(1)
    result.backward(torch.randn(result.shape, dtype=torch.float64).to(result))
    for index, tensor in enumerate(inputs):
        assert (tensor.grad is not None) == (index in wanted)
        assert tensor.grad is None or error(tensor.grad, every[index]) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_and_empty_batches(device: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(layout, batch=5).to(device, torch.float64)
    whole = gradients(case, "native")
    monkeypatch.setattr("lcdc_extract.ops.native._BLOCK_BYTES", {device: 1})
    for got, want in zip(gradients(case, "native"), whole, strict=True):
        assert error(got, want) < 1e-12
    empty = gradients(make_case(layout, batch=0).to(device, torch.float64), "native")
    assert empty[0].shape[0] == 0
    assert float(empty[2].abs().sum()) == 0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 64, 130, 516])
def test_channels_shared_out_among_threads(device: str, channels: int) -> None:
    """One image on several threads is split by channels; on CUDA several blocks share one, with a remainder."""
    x = torch.randn(1, channels, 24, 23, dtype=torch.float64, device=device)
    offset = torch.randn(1, 2, 24, 23, dtype=torch.float64, device=device)
    grad = torch.randn_like(x)
    results = []
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for implementation in IMPLEMENTATIONS:
            inputs = [x.clone().requires_grad_(), offset.clone().requires_grad_()]
            result = ops.warp(*inputs, implementation=implementation)
            results.append(torch.autograd.grad(result, inputs, grad))
    finally:
        torch.set_num_threads(threads)
    for got, want in zip(results[1], results[0], strict=True):
        assert error(got, want) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic(device: str) -> None:
    """Bit for bit, whatever the number of threads; on CUDA when torch is told to be deterministic."""
    torch.manual_seed(0)
    x = torch.randn(1, 516, 24, 23, device=device)
    offset = 3 * torch.randn(1, 2, 24, 23, device=device)  # many sites share pixels
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    runs = []
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            runs.append(warp_gradients(x, offset))
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)
    for run in runs[1:]:
        assert all(torch.equal(got, want) for got, want in zip(run, runs[0], strict=True))


def warp_gradients(x: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
    x, offset = x.clone().requires_grad_(), offset.clone().requires_grad_()
    return torch.autograd.grad(ops.warp(x, offset, implementation="native").square().sum(), (x, offset))


def test_second_derivatives_are_refused() -> None:
    x, offset = leaves(make_case("per_site"))[:2]
    (grad,) = torch.autograd.grad(ops.warp(x, offset, implementation="native").sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="lcdc"):
        grad.sum().backward()
