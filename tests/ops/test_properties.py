"""The compiled CPU kernels against the loops on problems that nobody chose."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcdc_extract import ops
from tests.ops import oracle
from tests.ops.cases import error
from tests.ops.oracle import Settings

SMALL = st.integers(1, 3)
PAIR = st.tuples(SMALL, SMALL)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[torch.Tensor], Settings]:
    layout = draw(st.sampled_from(["per_tap", "per_site", "released"]))
    border = draw(st.sampled_from(["zero", "released"]))
    groups, offset_groups = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    kernel = (3, 3) if layout == "released" else draw(PAIR)
    stride, dilation = draw(PAIR), draw(PAIR)
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    s = Settings(stride, padding, dilation, groups, offset_groups, layout, border)
    reach = (1, 1) if layout == "released" else dilation
    least = [max(1, step * (taps - 1) + 1 - 2 * pad) for step, taps, pad in zip(reach, kernel, padding, strict=True)]
    size = [draw(st.integers(smallest, smallest + 3)) for smallest in least]
    out = [
        (pixels + 2 * pad - step * (taps - 1) - 1) // skip + 1
        for pixels, pad, step, taps, skip in zip(size, padding, reach, kernel, stride, strict=True)
    ]
    channels = 2 * draw(SMALL)
    pairs = offset_groups * (kernel[0] * kernel[1] if layout == "per_tap" else 1)
    batch = draw(st.integers(0, 2))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    # Quarter steps: whole pixels and the image's border come up often.
    scale = draw(st.sampled_from([0.0, 1.0, 3.0, 1e6]))
    field = (torch.randn(batch, 2 * pairs, *(size if layout == "per_site" else out), generator=random) * 4).round() / 4
    shapes = [(batch, channels, *size), (2 * groups, channels // groups, *kernel)]
    x, weight = (torch.randn(shape, generator=random).double() for shape in shapes)
    return [x, field.double() * scale, weight], s


@settings(max_examples=120, deadline=None, derandomize=True)
@given(problems())
def test_native_equals_the_loops(problem: tuple[list[torch.Tensor], Settings]) -> None:
    (x, offset, weight), s = problem
    expected = torch.from_numpy(oracle.deform_conv2d(x.numpy(), offset.numpy(), weight.numpy(), None, s))
    got = ops.deform_conv2d(x, offset, weight, implementation="native", **vars(s))
    assert error(got, expected) < 1e-11
    single = ops.deform_conv2d(x.float(), offset.float(), weight.float(), implementation="native", **vars(s))
    assert error(single, expected) < 1e-4
