"""The operators as PyTorch sees them: schema and fake kernels, torch.compile, autocast, CUDA graphs, modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lcdc_extract import ops
from lcdc_extract.ops import native
from tests.ops.cases import DEVICES, DTYPES, LAYOUTS, error, leaves, make_case

GEOMETRY = ([3, 2], [2, 1], [1, 3], [2, 1], 2, "zero")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(device: str, dtype: torch.dtype) -> None:
    case = make_case(groups=2, offset_groups=2).to(device, dtype, offset_dtype=torch.float32)
    if dtype == torch.float64:
        case.offset = case.offset.double()
    x, offset, weight, _ = leaves(case)
    torch.library.opcheck(native.deform_sample, (x, offset, *GEOMETRY))
    torch.library.opcheck(native.deform_conv, (x, offset, weight, *GEOMETRY, 2))
    plain = [tensor.detach() for tensor in (x, offset, weight)]
    columns = native.deform_sample(*plain[:2], *GEOMETRY)
    torch.library.opcheck(native.deform_sample_backward, (columns, *plain[:2], *GEOMETRY, True, False))
    result = native.deform_conv(*plain, *GEOMETRY, 2)
    torch.library.opcheck(native.deform_conv_backward, (result, *plain, *GEOMETRY, 2, True, True, True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiles_in_one_graph(device: str, layout: str) -> None:
    case = make_case(layout).to(device, torch.float32)

    def run(*tensors: Tensor) -> Tensor:
        return ops.deform_conv2d(*tensors, **case.options).square()

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    plain_inputs, compiled_inputs = leaves(case), leaves(case)
    want, got = run(*plain_inputs), compiled(*compiled_inputs)
    assert error(got, want) < 1e-6
    want.sum().backward()
    got.sum().backward()
    for left, right in zip(compiled_inputs, plain_inputs, strict=True):
        assert left.grad is not None
        assert right.grad is not None
        assert error(left.grad, right.grad) < 1e-5


@pytest.mark.slow
def test_compiles_with_the_default_backend() -> None:
    case = make_case("per_site").to("cpu", torch.float32)
    compiled = torch.compile(lambda *t: ops.warp(*t) * 2, fullgraph=True)
    with torch.no_grad():
        assert error(compiled(case.x, case.offset), ops.warp(case.x, case.offset) * 2) < 1e-6


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_autocast(device: str, layout: str) -> None:
    """Products in bfloat16, as torch's convolutions under autocast; offsets and parameters keep float32."""
    case = make_case(layout).to(device, torch.float32)
    inputs = leaves(case)
    with torch.autocast(device, dtype=torch.bfloat16):
        got = ops.deform_conv2d(*inputs, implementation="native", **case.options)
    assert got.dtype == torch.bfloat16
    assert error(got, case.expected()) < 3e-2
    got.float().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.float32 for tensor in inputs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_memory_format_is_kept(device: str, layout: str, memory: torch.memory_format) -> None:
    case = make_case(layout).to(device, torch.float32)
    x = case.x.contiguous(memory_format=memory)
    result = ops.deform_conv2d(x, case.offset, case.weight, implementation="native", **case.options)
    assert result.is_contiguous(memory_format=memory)
    if layout == "per_site":
        assert ops.warp(x, case.offset, implementation="native").is_contiguous(memory_format=memory)


@pytest.mark.gpu
def test_cuda_graph_capture() -> None:
    case = make_case(batch=3).to("cuda", torch.float32)

    def run() -> Tensor:
        return ops.deform_conv2d(case.x, case.offset, case.weight, implementation="native", **case.options)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # once before the capture: modules load, cuBLAS gets its workspace
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    case.x.copy_(torch.randn_like(case.x))
    graph.replay()
    assert error(result, run()) < 1e-6


@pytest.mark.gpu
def test_the_callers_stream_is_used() -> None:
    """The kernel waits for what its stream was doing, here a long sleep before the input is written."""
    x, offset = torch.zeros(4, 64, 14, 14, device="cuda"), torch.zeros(4, 2, 14, 14, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x.fill_(3.0)
        result = ops.warp(x, offset, implementation="native")
    torch.cuda.current_stream().wait_stream(stream)
    assert float(result[:, :, :-1, :-1].min()) == 3.0


@pytest.mark.parametrize("bias", [False, True])
def test_modules_hold_weight_and_bias_only(bias: bool) -> None:
    case = make_case("per_site").to("cpu", torch.float32)
    options: dict[str, Any] = {"stride": (2, 1), "padding": (1, 3), "dilation": (2, 1), "bias": bias}
    layer = ops.DeformConv2d(8, 12, (3, 2), offset_layout="per_site", **options)
    assert set(layer.state_dict()) == ({"weight", "bias"} if bias else {"weight"})
    want = ops.locally_consistent_conv2d(case.x, case.offset, layer.weight, layer.bias, **_without(options, "bias"))
    assert torch.equal(layer(case.x, case.offset), want)
    released = ops.DeformConv2d(8, 4, 3, padding=1, dilation=2, offset_layout="released", border="released")
    assert released(case.x, case.offset).shape == (2, 4, 7, 5)
    assert "offset_layout='released'" in repr(released)


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}
