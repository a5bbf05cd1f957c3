"""One frame does not give the class away: its true pose has the same distribution in every class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torch import nn

from lcdc_extract.synth.actions import CLASSES, CLOSED, OPEN, SPREAD, segment, sequence

FloatArray = npt.NDArray[np.float64]
DRAWS = 600
"""Frames of each class, from as many sequences in which every class comes once."""


@pytest.fixture(scope="module")
def frames() -> FloatArray:
    """(DRAWS, classes, 4): x, y, opening and angle of one frame of each segment."""
    rng = np.random.default_rng(11)
    drawn = np.empty((DRAWS, len(CLASSES), 4))
    for row in drawn:
        order, lengths = rng.permutation(len(CLASSES)), rng.integers(20, 91, len(CLASSES))
        poses = sequence([(CLASSES[label], n) for label, n in zip(order, lengths, strict=True)], 1.0, rng)
        number = np.cumsum(lengths) - lengths + rng.integers(0, lengths)
        row[order, :2] = poses.position[number]
        row[order, 2:] = np.stack([poses.opening[number], poses.angle[number]], axis=1)
    drawn[..., 3] %= 2 * np.pi
    return drawn


def test_the_ranges(frames: FloatArray) -> None:
    assert frames[..., 2].min() >= CLOSED - 1e-9
    assert frames[..., 2].max() <= OPEN + 1e-9
    spread = frames[..., :2].std(axis=(0, 1))
    assert np.allclose(spread, SPREAD, rtol=0.05)  # a little less: glides lead past the middle


def test_mean_and_covariance_are_those_of_all_classes(frames: FloatArray) -> None:
    """Within 4 standard errors, for 9 classes and 20 numbers."""
    x, y, opening, angle = np.moveaxis(frames, -1, 0)
    numbers = np.stack([x, y, opening, np.cos(angle), np.sin(angle)], axis=-1)
    standard = (numbers - numbers.mean(axis=(0, 1))) / numbers.std(axis=(0, 1))
    products = np.einsum("dci,dcj->dcij", standard, standard).reshape(DRAWS, len(CLASSES), -1)
    for moments in (standard, products):
        error = moments.std(axis=0) / np.sqrt(DRAWS)
        assert (np.abs(moments.mean(axis=0) - moments.mean(axis=(0, 1))) < 4 * error).all()


def test_place_has_the_spread_of_the_others_on_its_way_too() -> None:
    """It draws its own places; 10,000 hops are needed to tell 3 percent."""
    rng = np.random.default_rng(12)
    spread = np.concatenate([segment("place", 40_000, 0.0, 1.0, rng).position for _ in range(4)]).std(axis=0)
    assert np.allclose(spread, SPREAD, rtol=0.03)


@pytest.mark.parametrize("part", ["x", "y", "distance", "opening", "angle"])
def test_quantiles_are_those_of_the_other_classes(frames: FloatArray, part: str) -> None:
    parts = dict(zip(("x", "y", "opening", "angle"), np.moveaxis(frames, -1, 0), strict=True))
    parts["distance"] = np.hypot(parts["x"], parts["y"])
    for label in range(len(CLASSES)):
        others = np.delete(parts[part], label, axis=1).ravel()
        assert stats.ks_2samp(parts[part][:, label], others).pvalue > 1e-4, CLASSES[label]


def test_a_classifier_stays_at_chance(frames: FloatArray) -> None:
    x, y, opening, angle = np.moveaxis(frames, -1, 0)
    inputs = np.stack([x / SPREAD, y / SPREAD, opening, np.cos(angle), np.sin(angle)], axis=-1)
    train, test = torch.from_numpy(inputs).float().chunk(2)
    accuracy = classify(train, test)
    assert abs(accuracy - 1 / len(CLASSES)) < 0.03


def test_the_classifier_would_find_a_leak(frames: FloatArray) -> None:
    leaky = torch.from_numpy(frames[..., :2] / SPREAD).float()
    leaky = leaky * torch.linspace(0.5, 2, len(CLASSES))[:, None]
    assert classify(*leaky.chunk(2)) > 1 / len(CLASSES) + 0.05


def classify(train: torch.Tensor, test: torch.Tensor) -> float:
    """Trains a small network on poses (draws, classes, numbers); its accuracy on others."""
    labels = torch.arange(train.shape[1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, last = nn.Linear(train.shape[2], 64), nn.Linear(64, len(CLASSES))
        network = nn.Sequential(first, nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), last)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(network(train).flatten(0, 1), labels.repeat(len(train)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float((network(test).argmax(2) == labels).float().mean())
