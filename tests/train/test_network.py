"""The parts of the network that only training has."""

from __future__ import annotations

import math

import pytest
import torch

from lcdc_extract.config import RELEASED
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.train.network import TrainingNetwork, features, initialise_head, location_loss
from tests.network.random_networks import random_lcdc
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


def test_location_loss_by_hand() -> None:
    """2x2 cells of 16 pixels, all scores and guesses 0: the best cell is the first, its guess its middle, (8, 8)."""
    maps = torch.zeros(1, 3, 3, 2, 2)
    points = torch.tensor([[[8.0, 8.0], [24.0, 4.0], [-1.0, 5.0]]])  # the third is outside
    loss, error = location_loss(maps, points)
    huber = 0.25 - 0.1  # the second point is a quarter of a cell above its cell's middle; beta is 0.2
    assert loss.item() == pytest.approx(math.log(4) + huber / 4)  # the mean of x and y of two points
    assert error.item() == pytest.approx((0 + math.hypot(16, 4)) / 2)


def test_location_loss_reads_x_before_y() -> None:
    maps = torch.zeros(1, 3, 3, 2, 3)
    maps[0, :, 0, 1, 2] = 20.0  # all parts in row 1, column 2
    maps[0, :, 1, 1, 2], maps[0, :, 2, 1, 2] = 0.25, -0.125
    points = torch.tensor([40 + 4.0, 24 - 2.0]).expand(1, 3, 2)
    loss, error = location_loss(maps, points)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert error.item() == pytest.approx(0, abs=1e-4)


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
    assert lcdc.get_parameter("res5a_branch2b.weight").grad.abs().sum() > 0
