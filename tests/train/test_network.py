"""The parts of the network that only training has."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from lcdc_extract.config import RELEASED
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.train.loss import layout_iou, layout_loss
from lcdc_extract.train.network import TrainingNetwork, divide_motion, features, initialise_head
from tests.network.random_networks import random_lcdc, randomise
from tests.train.tiny import network


def test_features_of_a_small_map_are_those_of_a_large_one_that_is_zero_elsewhere() -> None:
    torch.manual_seed(0)
    head = TemporalHead(appearance_channels=5, channels=8, size=14, features=16)
    with torch.no_grad():
        head.fc_new_1.weight.copy_(torch.randn(16, 8).repeat_interleave(49, dim=1))  # the same for each of 7x7 cells
    small = torch.randn(3, 8, 4, 6)
    large = torch.zeros(3, 8, 14, 14)
    large[:, :, 2:6, 6:12] = small
    torch.testing.assert_close(features(head, small), head.features(large))
    torch.testing.assert_close(features(head, large), head.features(large), rtol=0, atol=0)


def test_layouts_are_scored_per_place_of_four_pixels() -> None:
    trained = network().eval()
    with torch.no_grad():
        scores = trained.layout(torch.randn(2, 3, 64, 32))
        appearance = trained.lcdc.encoder(torch.randn(1, 3, 32, 32)).appearance
        flat = trained.layout_classifier(appearance)  # channel 16 c + 4 y + x is class c at place (y, x) of a cell
        shown = trained._layout(trained.lcdc.encoder(torch.zeros(1, 3, 32, 32)))
        zeros = trained.layout_classifier(trained.lcdc.encoder(torch.zeros(1, 3, 32, 32)).appearance)
    assert scores.shape == (2, 5, 16, 8)
    assert flat.shape == (1, 80, 2, 2)
    assert shown[0, 2, 4 + 3, 1] == zeros[0, 16 * 2 + 4 * 3 + 1, 1, 0]


def test_layout_loss_and_iou_by_hand() -> None:
    """Four places, two kinds of things: background, background, 1, 2; guessed 0, 1, 1, 0, all with the same margin."""
    wanted, guessed = torch.tensor([[[0, 0], [1, 2]]]), torch.tensor([[[0, 1], [1, 0]]])
    scores = torch.nn.functional.one_hot(guessed, 5).permute(0, 3, 1, 2).float()
    right, wrong = (-math.log(math.exp(hit) / (math.e + 4)) for hit in (1.0, 0.0))
    weighted = (0.4 * right + 0.4 * wrong + right + wrong) / (0.4 + 0.4 + 1 + 1)
    assert layout_loss(scores, wanted).item() == pytest.approx(weighted)
    assert layout_iou(scores, wanted).item() == pytest.approx(
        (1 / 2 + 0) / 2
    )  # class 1: one of two places; class 2: none


def test_a_frozen_encoder_is_the_same_function_until_it_is_freed() -> None:
    trained = network().eval()
    randomise(trained.lcdc, 0)
    names = list(trained.state_dict())
    clips = torch.randn(1, 16, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 50
    with torch.no_grad():
        free = trained(clips, (0,))
        trained.freeze_encoder(True)
        frozen = trained(clips, (0,))
        trained.lcdc.encoder.conv1.weight.mul_(2)
        kept = trained(clips, (0,))
        trained.freeze_encoder(False)
        changed = trained(clips, (0,))
    torch.testing.assert_close(frozen.cls_score, free.cls_score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frozen.motion, free.motion, rtol=1e-4, atol=1e-5)
    assert torch.equal(kept.cls_score, frozen.cls_score)
    assert not torch.allclose(changed.cls_score, free.cls_score, rtol=1e-2)
    assert list(trained.state_dict()) == names


def test_motion_gain_is_the_same_function() -> None:
    plain, gained = network().eval(), network().eval()
    gained.motion_gain = 50.0
    divide_motion(gained.lcdc.head, 50.0)
    torch.manual_seed(0)
    inputs = torch.rand(1, 16, 256, 4, 4), torch.randn(1, 16, 6, 4, 4), (0,)
    with torch.no_grad():
        expected = plain.classify(*inputs).cls_score
        torch.testing.assert_close(gained.classify(*inputs).cls_score, expected, rtol=1e-4, atol=1e-6)
        divide_motion(gained.lcdc.head, 1 / 50.0)
    torch.testing.assert_close(
        gained.lcdc.head.spacetime_conv1.weight, plain.lcdc.head.spacetime_conv1.weight, rtol=1e-6, atol=0
    )


def test_a_fresh_head_starts_with_equal_weights_on_what_training_sees() -> None:
    lcdc = copy.deepcopy(network().lcdc)
    initialise_head(lcdc.head, torch.Generator().manual_seed(0), motion_gain=50.0)
    appearance, motion = (part.std() for part in lcdc.head.spacetime_conv1.weight.split((256, 6), dim=1))
    assert (motion / appearance).item() == pytest.approx(50, rel=0.05)


def test_the_motion_classifier_sees_offset_differences_alone() -> None:
    trained = network().eval()
    torch.manual_seed(0)
    appearance, offsets = torch.rand(1, 20, 256, 2, 2), torch.randn(1, 20, 6, 2, 2)

    def motion(appearance: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return trained.classify(appearance, offsets, (0, 4)).motion

    expected = motion(appearance, offsets)
    assert expected.shape == (1, 2, 3)
    torch.testing.assert_close(motion(torch.rand_like(appearance), offsets), expected, rtol=0, atol=0)
    torch.testing.assert_close(motion(appearance, offsets + 3), expected, rtol=1e-3, atol=1e-4)
    assert (motion(appearance, 2 * offsets) - expected).abs().max() > 1e-2


def test_a_released_network_trains_on_small_views() -> None:
    import dataclasses

    lcdc = random_lcdc(dataclasses.replace(RELEASED, num_classes=4)).requires_grad_(True)
    initialise_head(lcdc.head, torch.Generator().manual_seed(0))
    scores = TrainingNetwork(lcdc)(torch.randn(1, 16, 3, 32, 32), (0,))
    scores.cls_score.sum().backward()
    assert scores.cls_score.shape == scores.motion.shape == (1, 1, 4)
    assert lcdc.encoder.get_parameter("res5.a.branch2b.weight").grad.abs().sum() > 0
