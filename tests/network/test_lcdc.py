"""The network against Table 4: names, shapes, counts, and what its pieces must do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lcdc_extract.config import PAPER, RELEASED, NetworkConfig
from lcdc_extract.network.lcdc import LCDC, convolution_of
from tests.network.random_networks import random_lcdc, relative_l2

TABLE_4_MAPS = {
    "conv1": (64, 112, 112),
    "res2c_branch2c": (256, 56, 56),
    "res3d_branch2c": (512, 28, 28),
    "res4f_branch2c": (1024, 14, 14),
    "res5a_branch1": (2048, 14, 14),
    "res5a_branch2a": (512, 14, 14),
    "res5a_branch2b_offset": (2, 14, 14),
    "res5c_branch2b": (512, 14, 14),
    "res5c_branch2c": (2048, 14, 14),
    "conv_new_1": (256, 14, 14),
    "spacetime_conv1": (256, 15, 14, 14),
    "spacetime_conv2": (256, 7, 14, 14),
    "fc_new_1": (1024,),
    "fc_new_2": (1024,),
}


def test_parameter_counts_are_the_papers() -> None:
    def count(network: nn.Module, part: str = "") -> int:
        return sum(p.numel() for name, p in network.named_parameters() if part in name)

    assert count(LCDC(PAPER)) == 42_730_886
    assert count(LCDC(NetworkConfig(num_classes=18))) == 42_749_336
    assert count(LCDC(PAPER), "_offset") == 27_654


@pytest.mark.parametrize(("config", "pool1"), [(PAPER, 56), (RELEASED, 55)])
def test_layer_shapes_are_table_4(config: NetworkConfig, pool1: int) -> None:
    network = random_lcdc(config)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in network.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    with torch.inference_mode():
        features = network(torch.randn(1, 16, 3, 224, 224))
    expected = TABLE_4_MAPS | {"res2c_branch2c": (256, pool1, pool1)}
    assert {name: shapes[name] for name in expected} == expected
    assert features.shape == (1, 1024)
    assert features.min() >= 0


def test_offset_layers_start_at_zero() -> None:
    network = LCDC(PAPER)
    assert all(not p.any() for name, p in network.named_parameters() if "_offset" in name)


def test_folding_batch_norm_changes_nothing() -> None:
    network = random_lcdc()
    snippet = 60 * torch.randn(1, 16, 3, 224, 224)
    folded = network.for_extraction(torch.device("cpu"), torch.float32)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in folded.modules())
    with torch.inference_mode():
        assert relative_l2(folded(snippet), network(snippet)) < 1e-5


def test_every_batch_norm_has_its_convolution() -> None:
    network = LCDC(PAPER)
    names = {name for name, _ in network.named_children()}
    norms = {name for name in names if name.startswith(("bn", "spacetime_bn"))}
    assert {convolution_of(name) for name in norms} <= names
    assert len({convolution_of(name) for name in norms}) == len(norms) == 55


def test_motion_reaches_the_feature_only_through_offsets() -> None:
    """With one frame repeated 16 times every offset difference is 0: the head's offset channels do not matter."""
    network = random_lcdc()
    still = (60 * torch.randn(1, 1, 3, 224, 224)).expand(1, 16, -1, -1, -1)
    moving = 60 * torch.randn(1, 16, 3, 224, 224)
    with torch.inference_mode():
        before = network(still), network(moving)
        network.spacetime_conv1.weight[:, 256:] += 1
        after = network(still), network(moving)
    assert relative_l2(after[0], before[0]) < 1e-6
    assert relative_l2(after[1], before[1]) > 1e-2


def test_offset_layers_stay_in_float32() -> None:
    network = random_lcdc().for_extraction(torch.device("cpu"), torch.bfloat16)
    encoded = network.encoder(torch.randn(1, 3, 224, 224, dtype=torch.bfloat16))
    assert encoded.appearance.dtype == torch.bfloat16
    assert encoded.offsets.dtype == torch.float32
