"""Values: both implementations against the loops, the equations against each other, awkward positions and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract import ops
from tests.ops import oracle
from tests.ops.cases import BORDERS, DEVICES, DTYPES, IMPLEMENTATIONS, LAYOUTS, TOLERANCES, Case, error, make_case


def run(case: Case, implementation: str) -> Tensor:
    return ops.deform_conv2d(case.x, case.offset, case.weight, case.bias, implementation=implementation, **case.options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("groups", [(1, 1), (2, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_the_loops(device: str, implementation: str, groups: tuple[int, int], border: str, layout: str) -> None:
    case = make_case(layout, border, groups=groups[0], offset_groups=groups[1])
    expected = case.expected()
    assert error(run(case.to(device, torch.float64), implementation), expected) < TOLERANCES[torch.float64]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype(device: str, implementation: str, dtype: torch.dtype, layout: str) -> None:
    case = make_case(layout).to(device, dtype, offset_dtype=torch.float32)
    result = run(case, implementation)
    assert result.dtype == dtype
    assert error(result, case.expected()) < TOLERANCES[dtype]
    narrow = Case(case.x, case.offset.to(dtype), case.weight, case.bias, case.settings)
    assert error(run(narrow, implementation), narrow.expected()) < TOLERANCES[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("batch", [0, 1, 33])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_batch_size(device: str, implementation: str, batch: int, layout: str) -> None:
    case = make_case(layout, batch=batch)
    result = run(case.to(device, torch.float64), implementation)
    expected = case.expected() if batch < 2 else torch.cat([run(one, "reference") for one in split(case)])
    assert error(result, expected) < TOLERANCES[torch.float64]


def split(case: Case) -> list[Case]:
    pairs = zip(case.x.split(1), case.offset.split(1), strict=True)
    return [Case(x, offset, case.weight, case.bias, case.settings) for x, offset in pairs]


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_of_the_batch_meet(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(batch=5).to(device, torch.float64)
    whole = run(case, "native")
    bytes_per_image = case.weight[0, 0].numel() * whole[0, 0].numel() * case.x.shape[1] * 8
    monkeypatch.setattr("lcdc_extract.ops.native._BLOCK_BYTES", {device: 2 * bytes_per_image})  # 2 + 2 + 1 images
    assert torch.allclose(run(case, "native"), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strided_views(device: str, implementation: str, layout: str) -> None:
    case = make_case(layout).to(device, torch.float64)

    def inside_a_wider_one(tensor: Tensor) -> Tensor:
        wide = torch.full([2 * size + 1 for size in tensor.shape], 1e9, dtype=tensor.dtype, device=device)
        view = wide[tuple(slice(1, None, 2) for _ in tensor.shape)]
        return view.copy_(tensor)

    x, offset, weight, bias = map(inside_a_wider_one, (case.x, case.offset, case.weight, case.bias))
    views = Case(x, offset, weight, bias, case.settings)
    last = torch.channels_last
    channels_last = Case(
        case.x.contiguous(memory_format=last),
        case.offset.contiguous(memory_format=last),
        case.weight.contiguous(memory_format=last),
        case.bias,
        case.settings,
    )
    expected = run(case, "reference")
    assert error(run(views, implementation), expected) < 1e-12
    assert error(run(channels_last, implementation), expected) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3, 32, 36, 66, 131])
def test_channel_counts_around_the_vector_width(device: str, channels: int) -> None:
    x, offset = torch.randn(2, channels, 5, 4), torch.randn(2, 2, 5, 4)
    expected = ops.warp(x.double(), offset.double(), implementation="reference")
    for dtype in DTYPES[1:]:
        got = ops.warp(x.to(device, dtype), offset.to(device), implementation="native")
        assert error(got, expected) < TOLERANCES[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("border", BORDERS)
def test_positions_out_of_the_ordinary(device: str, implementation: str, border: str) -> None:
    """On the border, just beyond it, far away, and nowhere: the same as the loops, and never an access out of range."""
    rows = [0.0, -1.0, -1 + 1e-9, -1e-9, -0.0, 4.0, 4.5, 5 - 1e-9, 5.0, 6.0, 1e9, -1e9, 3e38, -3e38, 1e300]
    rows += [float("nan"), float("inf"), float("-inf"), 2.0, 2.5]
    positions = np.array([(row, column) for row in rows for column in rows])
    images = np.random.default_rng(0).normal(size=(len(positions), 2, 5, 5))
    offset = np.zeros((len(positions), 2, 5, 5))
    offset[:, :, 0, 0] = positions
    expected = torch.from_numpy(oracle.warp(images, offset, border=border))
    x, shifts = torch.from_numpy(images).to(device), torch.from_numpy(offset).to(device)
    for memory in (torch.contiguous_format, torch.channels_last):
        got = ops.warp(x.contiguous(memory_format=memory), shifts, border=border, implementation=implementation)
        assert error(got, expected) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_nan_in_the_image_stays_where_it_is_read(device: str, implementation: str) -> None:
    x = torch.zeros(1, 4, 3, 3, device=device)
    x[0, 1, 2, 2] = float("nan")
    outside = torch.full((1, 2, 3, 3), -50.0, device=device)
    assert ops.warp(x, outside, implementation=implementation).abs().sum() == 0
    spread = ops.warp(x, outside * 0, implementation=implementation).isnan()
    assert int(spread.sum()) == 4  # the pixels that have it for a corner, even at weight 0
    assert bool(spread[0, 1, 1:, 1:].all())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_constant_offsets_are_a_dilated_convolution(implementation: str) -> None:
    """Equation (12) with D[n, k] = k is dilation 2; with 0 it is equation (11)."""
    case = make_case(stride=(1, 1), padding=(2, 1), dilation=(1, 1))
    x, weight = case.x, case.weight
    plain = functional.conv2d(x, weight, padding=(2, 1))
    zero = torch.zeros(2, 12, *plain.shape[2:], dtype=torch.float64)
    got = ops.deform_conv2d(x, zero, weight, padding=(2, 1), implementation=implementation)
    assert error(got, plain) < 1e-12
    dilated = functional.conv2d(x, weight, padding=(2, 1), dilation=2)
    taps = torch.tensor([[i, j] for i in range(3) for j in range(2)], dtype=torch.float64).flatten()
    offset = taps[None, :, None, None].expand(2, 12, *plain.shape[2:])
    got = ops.deform_conv2d(x, offset, weight, padding=(2, 1), implementation=implementation)
    assert error(got[:, :, : dilated.shape[2], : dilated.shape[3]], dilated) < 1e-12


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dilation", [1, 2])
def test_equations_12_14_and_15_agree(implementation: str, dilation: int) -> None:
    """D[n+k] expanded to 18 channels, one offset per site, and a warp followed by a convolution are one operator."""
    case = make_case("per_site")
    x, offset = case.x, case.offset * 0.3
    # Taps in the padding are the one difference: (15) has zero there, (12) reads at n + k + 0. Keep them apart from x.
    weight = torch.randn(6, 8, 3, 3, dtype=torch.float64)
    options: dict[str, Any] = {"padding": dilation, "dilation": dilation}
    wide = functional.pad(offset, (dilation,) * 4, value=-100.0)
    shifted = [
        wide[:, :, i * dilation : i * dilation + 7, j * dilation : j * dilation + 5] for i in range(3) for j in range(3)
    ]
    expanded = torch.cat(shifted, 1)
    assert expanded.shape[1] == 18
    twelve = ops.deform_conv2d(x, expanded, weight, implementation=implementation, **options)
    fourteen = ops.locally_consistent_conv2d(x, offset, weight, implementation=implementation, **options)
    fifteen = functional.conv2d(ops.warp(x, offset, implementation=implementation), weight, **options)
    assert error(twelve, fourteen) < 1e-12
    assert error(fourteen, fifteen) < 1e-12


def test_motion_is_the_change_of_offsets() -> None:
    offset = torch.randn(5, 2, 3, 4)
    motion = ops.receptive_field_motion(offset)
    assert motion.shape == (4, 2, 3, 4)
    assert torch.equal(motion[1], offset[2] - offset[1])
    assert ops.receptive_field_motion(torch.ones(3, 2, 4, 4)).abs().max() == 0  # dilated convolution: no motion


def test_every_float16_passes_unchanged() -> None:
    """Zero offsets copy x: the kernels' own conversions keep all 65536 bit patterns, NaN payloads aside."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        x = bits.view(dtype)
        got = alone(x)
        finite = x.isfinite()
        assert torch.equal(got[finite], x[finite])
        assert torch.equal(got.isnan(), x.isnan())
        assert torch.equal(got[x.isinf()], x[x.isinf()])


def alone(x: Tensor) -> Tensor:
    """The native warp of one pixel per image, where no zero-weighted neighbour can turn an infinity into NaN."""
    pixels = x.reshape(-1, 1, 1, 1)
    return ops.warp(pixels, torch.zeros(len(pixels), 2, 1, 1), implementation="native").reshape(x.shape)


def test_rounding_to_half_types_is_to_nearest_even() -> None:
    """Halfway between neighbours, where ties show, and at a random share: exact in float32, then torch's rounding."""
    torch.manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        first = (torch.randn(4096) * torch.logspace(-8, 4, 4096)).to(dtype)
        second = (first.view(torch.int16) + 1).view(dtype)
        offset = torch.zeros(4096, 2, 1, 2)
        offset[:, 1, 0, 0] = 0.5
        x = torch.stack([first, second], -1)[:, None, None]  # (4096, 1, 1, 2)
        got = ops.warp(x, offset, implementation="native")[:, 0, 0, 0]
        assert torch.equal(got, ((first.double() + second.double()) / 2).to(dtype))
        share = torch.rand(4096)
        offset = torch.zeros(4096, 2, 1, 1)
        offset[:, 0, 0, 0] = share
        got = ops.warp(first.reshape(-1, 1, 1, 1), offset, implementation="native").flatten()
        assert torch.equal(got, (first.float() * (1 - share)).to(dtype))
