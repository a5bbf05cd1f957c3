"""The network against Table 4: names, shapes, counts, and what its pieces must do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lcdc_extract.config import PAPER, RELEASED, NetworkConfig
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.names import from_paper, paper_name, to_paper
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


def layers(network: LCDC) -> dict[str, nn.Module]:
    """Every layer with parameters, by the paper's name, in the order of Table 4."""
    return {
        paper_name(place): module
        for place, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
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
    for name, layer in layers(network).items():
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


def test_layers_have_the_papers_names() -> None:
    """Written out for one block of each kind; the rest follows the pattern of ResNet-50."""
    names = list(layers(LCDC(NetworkConfig(num_classes=2))))
    assert names[:2] == ["conv1", "bn_conv1"]
    assert names[-8:] == [
        *("conv_new_1", "spacetime_conv1", "spacetime_bn1", "spacetime_conv2", "spacetime_bn2"),
        *("fc_new_1", "fc_new_2", "cls_score"),
    ]
    assert [name for name in names if "4a_" in name] == [
        *("res4a_branch1", "bn4a_branch1", "res4a_branch2a", "bn4a_branch2a"),
        *("res4a_branch2b", "bn4a_branch2b", "res4a_branch2c", "bn4a_branch2c"),
    ]
    assert [name for name in names if "5c_" in name] == [
        *("res5c_branch2a", "bn5c_branch2a", "res5c_branch2b_offset", "res5c_branch2b", "bn5c_branch2b"),
        *("res5c_branch2c", "bn5c_branch2c"),
    ]
    assert len(names) == len(set(names)) == 2 * 53 + 3 + 1 + 2 * 2 + 3  # conv and bn, offsets, conv_new_1, 3-D, fc


def test_a_state_dict_comes_back_from_the_papers_names() -> None:
    network = random_lcdc()
    state = network.state_dict()
    paper = to_paper(state)
    assert torch.equal(paper["bn5b_branch2b.running_mean"], network.encoder.res5.b.bn_branch2b.running_mean)
    assert torch.equal(paper["spacetime_bn2.bias"], network.head.bn_spacetime_conv2.bias)
    assert list(from_paper(paper, network)) == list(state)
    assert paper_name("encoder.res3.d.bn_branch2c") == "bn3d_branch2c"
    with pytest.raises(KeyError):
        from_paper({"res6a_branch1.weight": paper["conv1.weight"]}, network)


@pytest.mark.parametrize(
    ("config", "variant"),
    [
        (PAPER, "paper"),
        (NetworkConfig(num_classes=7), "paper"),
        (RELEASED, "released"),
        (NetworkConfig(stride_position="3x3"), "custom"),
        (NetworkConfig(offset_layout="per_tap"), "custom"),
    ],
)
def test_the_variant_follows_from_the_choices(config: NetworkConfig, variant: str) -> None:
    assert config.variant == variant


def test_motion_reaches_the_feature_only_through_offsets() -> None:
    """With one frame repeated 16 times every offset difference is 0: the head's offset channels do not matter."""
    network = random_lcdc()
    with torch.inference_mode():
        encoded = network.encoder(60 * torch.randn(16, 3, 224, 224))
        moving = encoded.appearance[None], encoded.offsets[None]
        still = tuple(maps[:, :1].expand(-1, 16, -1, -1, -1) for maps in moving)
        before = network.head(*still), network.head(*moving)
        network.head.spacetime_conv1.weight[:, 256:] += 1
        after = network.head(*still), network.head(*moving)
    assert relative_l2(after[0], before[0]) < 1e-6
    assert relative_l2(after[1], before[1]) > 1e-2


def test_offset_layers_stay_in_float32() -> None:
    network = random_lcdc().for_extraction(torch.device("cpu"), torch.bfloat16)
    encoded = network.encoder(torch.randn(1, 3, 224, 224, dtype=torch.bfloat16))
    assert encoded.appearance.dtype == torch.bfloat16
    assert encoded.offsets.dtype == torch.float32
