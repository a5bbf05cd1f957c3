"""What does not fit is refused, by both implementations, in words that name both sides."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from lcdc_extract import ops
from lcdc_extract.errors import OperatorError
from lcdc_extract.ops.library import Problem, native_library
from tests.ops.cases import IMPLEMENTATIONS, make_case

BAD: list[tuple[dict[str, Any], str]] = [
    ({"offset": (2, 12, 4, 9)}, "offset has shape (2, 12, 4, 9); x of shape (2, 8, 7, 5) needs (2, 12, 3, 10)"),
    ({"offset": (3, 12, 3, 10)}, "offset has shape (3, 12, 3, 10); x of shape (2, 8, 7, 5) needs (2, 12, 3, 10)"),
    (
        {"weight": (12, 7, 3, 2)},
        "weight has shape (12, 7, 3, 2); x of shape (2, 8, 7, 5) with `groups=1` needs (O, 8, kh, kw)",
    ),
    ({"weight": (12, 8, 3)}, "weight has shape (12, 8, 3)"),
    ({"bias": (11,)}, "bias has shape (11,); weight of shape (12, 8, 3, 2) needs (12,)"),
    ({"x": (8, 7, 5)}, "x has shape (8, 7, 5); expected (N, C, H, W)"),
    ({"x": (2, 8, 0, 5)}, "x has shape (2, 8, 0, 5)"),
    ({"offset_groups": 3}, "`offset_groups` is 3; it must divide the 8 channels"),
    ({"groups": 3}, "`groups` is 3; it must divide the 8 channels"),
    ({"groups": 8, "weight": (12, 1, 3, 2)}, "its first size must be a multiple of `groups=8`"),
    ({"stride": 0}, "`stride` is 0; expected whole numbers from 1"),
    ({"padding": (0, -1)}, "`padding` is (0, -1); expected whole numbers from 0"),
    ({"dilation": 2**40}, "`dilation` is 1099511627776; expected whole numbers from 1 to 2147483647"),
    ({"dilation": 9}, "is smaller than"),
    ({"border": "wrap"}, "`border` is 'wrap'; expected one of zero, released"),
    ({"offset_layout": "shared"}, "`offset_layout` is 'shared'; expected one of per_site, per_tap, released"),
    ({"offset_layout": "released"}, "the kernel is (3, 2); `offset_layout='released'` is defined for (3, 3)"),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("changes", "message"), BAD, ids=[message for _, message in BAD])
def test_what_does_not_fit_is_named(implementation: str, changes: dict[str, Any], message: str) -> None:
    case = make_case()
    tensors = {"x": case.x, "offset": case.offset, "weight": case.weight, "bias": case.bias}
    options = case.options
    for name, value in changes.items():
        if name in tensors:
            tensors[name] = torch.zeros(value, dtype=torch.float64)
        else:
            options[name] = value
    with pytest.raises(OperatorError, match=re.escape(message)):
        ops.deform_conv2d(**tensors, implementation=implementation, **options)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_dtypes_that_do_not_fit(implementation: str) -> None:
    case = make_case("per_site")
    with pytest.raises(OperatorError, match=r"x is torch.int64; expected one of torch.float32"):
        ops.warp(case.x.long(), case.offset, implementation=implementation)
    with pytest.raises(OperatorError, match=r"offset is torch.float64; x is torch.float32"):
        ops.warp(case.x.float(), case.offset, implementation=implementation)
    with pytest.raises(OperatorError, match=r"weight is torch.float64 and x is torch.float32"):
        ops.locally_consistent_conv2d(case.x.float(), case.offset.float(), case.weight, implementation=implementation)
    with pytest.raises(OperatorError, match=r"offset has shape .* needs \(2, 2, 7, 5\)"):
        ops.warp(case.x, case.offset[:, :, 1:], implementation=implementation)


def problem(**changes: Any) -> Problem:
    values = {
        "dtype": 0, "border": 0, "batch": 1, "channels": 4, "height": 3, "width": 3, "out_height": 3, "out_width": 3,
        "kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "offset_groups": 1,
        "offset_stride": (18, 9, 3, 1),
    }  # fmt: skip
    return Problem(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": 7}, "dtype is 7; expected 0 to 3"),
        ({"border": -1}, "border is -1; expected 0 or 1"),
        ({"batch": -1}, "batch is -1; expected at least 0"),
        ({"height": 0}, "height is 0; expected at least 1"),
        ({"stride": (1, 0)}, "stride columns is 0; expected at least 1"),
        ({"width": 2**40}, "width is 1099511627776; expected less than 2^31"),
        ({"height": 2**20, "width": 2**20}, "height is 1048576; expected height * width under 2^31"),
        ({"batch": 2**30}, "batch is 1073741824; expected batch * output sites * taps * offset groups under 2^31"),
        ({"stride": (2**30, 1)}, "stride is 1073741824; expected output * stride + kernel * dilation under 2^31"),
        ({"channels": 5, "offset_groups": 2}, "channels is 5; expected a multiple of the offset groups"),
    ],
)
def test_the_library_refuses_by_itself(changes: dict[str, Any], message: str) -> None:
    """The C interface checks what it is given, whoever calls it, before it touches a pointer."""
    tensor = torch.zeros(1)
    with pytest.raises(OperatorError, match=re.escape(message)):
        native_library("cpu").call("sample", problem(**changes), tensor, tensor, tensor)
