"""The weights that come with the package, on clips that nobody trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lcdc_extract.config import CENTRE, PAPER, SNIPPET_LENGTH
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.synth.actions import CLASSES, sequence
from lcdc_extract.synth.render import render
from lcdc_extract.synth.scene import draw_scene, stack
from lcdc_extract.weights.registry import find_file, registry
from lcdc_extract.weights.resolve import DEFAULT, resolve_weights

SEED = 20_000
CLIPS_PER_CLASS = 2
SEEN_CLASSES = range(0, len(CLASSES), 2)
"""Every second one: each scene takes seconds."""


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """Two scenes of five classes, (10, 16, 3, 224, 224) uint8; those of a class come one after another."""
    scenes = []
    for number in SEEN_CLASSES:
        name = CLASSES[number]
        for clip in range(CLIPS_PER_CLASS):
            rng = np.random.default_rng((SEED, number, clip))
            scale = rng.uniform(0.4, 0.7)
            scenes.append(draw_scene(sequence([(name, SNIPPET_LENGTH)], scale, rng), scale, rng))
    return render(stack(scenes))


def test_the_file_is_what_the_registry_says() -> None:
    entry = registry()[DEFAULT]
    path = find_file(entry)
    assert path is not None
    assert path.stat().st_size == entry.size <= 46 * 2**20
    weights = resolve_weights(None)
    assert (weights.name, weights.sha256) == (DEFAULT, entry.sha256)
    assert weights.info.trained
    assert weights.info.storage == "int8"
    assert weights.info.network == dataclasses.replace(PAPER, num_classes=len(CLASSES))
    assert weights.info.class_names == CLASSES


@torch.inference_mode()
def test_it_sees_motion_and_nothing_else(clips: torch.Tensor) -> None:
    weights = resolve_weights(None)
    network = weights.network.for_extraction(torch.device("cpu"), torch.float32)
    mean = torch.tensor(weights.info.preprocess.mean)[:, None, None]

    def choice(encoded: EncodedFrames) -> int:
        features = network.head(encoded.appearance[None], encoded.offsets[None])
        return int(network.head.cls_score(features).argmax())

    moving, still = [], []
    for clip in clips:
        encoded = network.encoder(clip.float() - mean)
        centre = torch.full((SNIPPET_LENGTH,), CENTRE)
        moving.append(choice(encoded))
        still.append(choice(EncodedFrames(encoded.appearance[centre], encoded.offsets[centre])))
    labels = np.array(SEEN_CLASSES).repeat(CLIPS_PER_CLASS)
    chance = 1 / len(CLASSES)
    assert np.mean(moving == labels) > 4 * chance
    assert np.mean(still == labels) < 3 * chance
