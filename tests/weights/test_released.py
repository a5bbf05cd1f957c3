"""`variant = "released"` against the NumPy oracle, joint by joint, and what each wrong detail would do to the features.

The second half is the proof that the first half can fail: every detail is broken alone, on the network's side, and the
features have to leave the tolerance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract import ops
from lcdc_extract.config import Sampling
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.streaming import HeadTaps
from lcdc_extract.ops import modules
from lcdc_extract.weights.file import layer_state, load_layers
from tests.network.random_networks import relative_l2
from tests.network.test_streaming import by_snippet, stream
from tests.weights.conftest import ORDER, Lab
from tests.weights.samples import module_of

TOLERANCE = 1e-4
JOINTS = (
    "pool1",
    "res3d",
    "res4f",
    "offset 5a",
    "offset 5b",
    "offset 5c",
    "res5c",
    "conv_new_1",
    "fusion",
    "fc_new_1",
    "fc_new_2",
)


@pytest.mark.parametrize("joint", JOINTS)
def test_parity(lab: Lab, joint: str, record_property: Callable[[str, object], None]) -> None:
    expected = torch.from_numpy(lab.expected[joint])
    assert expected.std() > 0.1
    error = relative_l2(lab.found[joint], expected)
    record_property("relative_l2", error)
    print(f"PARITY {joint}: {error:.1e}")
    assert error < TOLERANCE


def test_the_random_network_shows_what_it_should(lab: Lab) -> None:
    offsets = np.stack([lab.expected[f"offset {block}"] for block in ("5a", "5b", "5c")])
    assert 1 < offsets.std() < 3
    rows = offsets[..., 0] + np.arange(14)[:, None]
    assert 0.02 < np.mean((rows < 0) | (rows >= 14)) < 0.5
    assert np.mean(lab.expected["fc_new_2"] > 0) > 0.2


def test_streaming_equals_the_oracle(lab: Lab) -> None:
    extraction = lab.network.for_extraction(torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        encoded = extraction.encoder(lab.pixels)
        order = [3, 2, *ORDER, 0, 1, 1]  # the oracle's window is the one of frame 10
        frames = EncodedFrames(encoded.appearance[order], encoded.offsets[order])
        rows, _ = stream(frames, Sampling(), [5], HeadTaps(extraction.head))
        some = by_snippet(frames, Sampling(stride=10), lab.network.head)
    assert relative_l2(rows.features[::10], some) < 1e-5
    assert relative_l2(rows.features[10], torch.from_numpy(lab.expected["fc_new_2"])) < TOLERANCE


def test_a_whole_snippet_through_the_module(lab: Lab) -> None:
    with torch.inference_mode():
        features = lab.network(lab.pixels[ORDER][None])[0]
    assert relative_l2(features, torch.from_numpy(lab.expected["fc_new_2"])) < TOLERANCE


Patch = pytest.MonkeyPatch
Break = Callable[[Lab, Patch], Tensor]
BLOCKS = ("5a", "5b", "5c")


def from_pixels(lab: Lab, pixels: Tensor | None = None) -> Tensor:
    return lab.features(lab.network.encoder(lab.pixels if pixels is None else pixels))


def config(**changes: Any) -> Break:
    """The same numbers in a network that was made with other choices."""

    def broken(lab: Lab, patch: Patch) -> Tensor:
        with torch.device("meta"):
            network = LCDC(dataclasses.replace(lab.network.config, **changes))
        load_layers(network.to_empty(device="cpu"), layer_state(lab.network))
        patch.setattr(lab, "network", network)
        return from_pixels(lab)

    return broken


def layers(names: tuple[str, ...], **changes: Any) -> Break:
    """Sets attributes of layers; a callable is given the old value."""

    def broken(lab: Lab, patch: Patch) -> Tensor:
        for module in [module_of(lab.network, name) for name in names]:
            for attribute, value in changes.items():
                held = module._parameters if attribute in module._parameters else vars(module)
                patch.setitem(held, attribute, value(held[attribute]) if callable(value) else value)
        return from_pixels(lab)

    return broken


def parameter(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], nn.Parameter]:
    return lambda old: nn.Parameter(change(old).contiguous(), requires_grad=False)


def common_mean(lab: Lab, patch: Patch) -> Tensor:
    mean = torch.tensor([123.68, 116.78, 103.94])[:, None, None]
    return from_pixels(lab, lab.pixels + mean - mean.mean())


def neighbours(expand: Callable[[Tensor], Tensor]) -> Break:
    """Another way from two offset channels to 18."""

    def deform(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, **options: Any) -> Tensor:
        # Padding 1 would shrink the map in this layout: padding 2, and every tap one cell further.
        options |= {"offset_layout": "per_tap", "padding": 2}
        return ops.deform_conv2d(x, expand(offset) + 1, weight, bias, **options)

    def broken(lab: Lab, patch: Patch) -> Tensor:
        patch.setattr(modules, "deform_conv2d", deform)
        return from_pixels(lab)

    return broken


def shifted(distance: int, mode: str = "constant", *, transposed: bool = False) -> Callable[[Tensor], Tensor]:
    def expand(offset: Tensor) -> Tensor:
        padded = functional.pad(offset, [distance] * 4, mode=mode)
        taps = [(i, j) for i in range(3) for j in range(3)]
        taps = [(j, i) for i, j in taps] if transposed else taps
        parts = [padded[:, :, i * distance :, j * distance :][:, :, :14, :14] for i, j in taps]
        return torch.cat(parts, dim=1)  # (T, 18, 14, 14), (dy, dx) tap by tap

    return expand


def head(**options: Any) -> Break:
    return lambda lab, _: released_head(lab, **options)


def released_head(
    lab: Lab,
    *,
    sign: int = 1,
    appearance: slice = slice(0, 15),
    time_padding: tuple[int, int] = (1, 2),
    ceil: bool = False,
    channels_first: bool = True,
) -> Tensor:
    """The temporal head with its details as arguments; the defaults are right."""
    network, encoded = lab.network, lab.encoded
    motion = sign * encoded.offsets[ORDER].diff(dim=0)
    x = torch.cat([encoded.appearance[ORDER][appearance], motion], dim=1).movedim(1, 0)[None]
    for i in (1, 2):
        x = module_of(network, f"spacetime_conv{i}")(functional.pad(x, (0, 0, 0, 0, *time_padding)))
        x = functional.relu(module_of(network, f"spacetime_bn{i}")(x))
        x = functional.max_pool3d(x, (2, 1, 1), ceil_mode=ceil)
    x = functional.max_pool2d(x.mean(dim=2), 2)  # (1, 256, 7, 7)
    x = x if channels_first else x.movedim(1, -1)
    for layer in ("fc_new_1", "fc_new_2"):
        x = functional.relu(module_of(network, layer)(x.flatten(1)))
    return x[0]


OFFSETS = tuple(f"res{block}_branch2b_offset" for block in BLOCKS)
DEFORMABLE = tuple(f"res{block}_branch2b" for block in BLOCKS)
ZERO = parameter(torch.zeros_like)

DETAILS: dict[str, Break] = {
    "blue before red": lambda lab, _: from_pixels(lab, lab.pixels.flip(1) + 0),
    "one mean for all colours": common_mean,
    "conv1 padded 3/3": config(stem_padding=(3, 3)),
    "conv1 without its bias": layers(("conv1",), bias=ZERO),
    "pool1 padded by 1": config(pool1_padding=1),
    "stride in the 3x3": config(stride_position="3x3"),
    "batch norm epsilon 1e-5": config(batch_norm_epsilon=1e-5),
    "offset layer with rate 1": layers(OFFSETS, dilation=(1, 1), padding=(1, 1)),
    "offset layer without its bias": layers(OFFSETS, bias=ZERO),
    "dx before dy": neighbours(lambda offset: shifted(1)(offset.flip(1))),
    "neighbours at distance 2": neighbours(shifted(2)),
    "neighbours replicated at the border": neighbours(shifted(1, "replicate")),
    "neighbours transposed": neighbours(shifted(1, transposed=True)),
    "one offset for all taps": neighbours(lambda offset: offset.repeat(1, 9, 1, 1)),
    "locally consistent as in the paper": layers(DEFORMABLE, offset_layout="per_site", padding=2),
    "deformable kernel, in and out swapped": layers(
        DEFORMABLE, weight=parameter(lambda weight: weight.transpose(0, 1))
    ),
    "deformable kernel, rows and columns swapped": layers(
        DEFORMABLE, weight=parameter(lambda weight: weight.transpose(2, 3))
    ),
    "deformable padding 2": neighbours(lambda offset: shifted(1)(offset) - 1),
    "deformable rate 1": layers(DEFORMABLE, dilation=1),
    "zero border": layers(DEFORMABLE, border="zero"),
    "conv_new_1 without its bias": layers(("conv_new_1",), bias=ZERO),
    "motion with the other sign": head(sign=-1),
    "motion left out": head(sign=0),
    "appearance of frames 1 to 15": head(appearance=slice(1, 16)),
    "time padded 2/1": head(time_padding=(2, 1)),
    "last odd step pooled too": head(ceil=True),
    "fc_new_1 in (H, W, C) order": head(channels_first=False),
}


@pytest.mark.parametrize("detail", DETAILS)
def test_each_detail_matters(
    lab: Lab, detail: str, monkeypatch: Patch, record_property: Callable[[str, object], None]
) -> None:
    with torch.inference_mode():
        broken = DETAILS[detail](lab, monkeypatch)
    size = relative_l2(broken, torch.from_numpy(lab.expected["fc_new_2"]))
    record_property("relative_l2", size)
    print(f"DETAIL {detail}: {size:.1e}")
    assert size > 10 * TOLERANCE


@pytest.mark.parametrize("unbroken", [config(), layers(DEFORMABLE), neighbours(shifted(1)), head()])
def test_the_tools_that_break_things_are_right(lab: Lab, unbroken: Break, monkeypatch: Patch) -> None:
    with torch.inference_mode():
        features = unbroken(lab, monkeypatch)
    assert relative_l2(features, torch.from_numpy(lab.expected["fc_new_2"])) < TOLERANCE
