"""Layouts say which shape is on top: painting that shape in other colours changes those pixels and no others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lcdc_extract.synth.actions import sequence
from lcdc_extract.synth.render import View, layout, render
from lcdc_extract.synth.scene import LAYOUT_CLASSES, Scene, draw_scene, stack

PAINTED = {"distractor": [0, 1, 2], "first part": [3], "second part": [4], "lid": [5]}
"""Numbers of the shapes, in the order they are painted."""


def scene() -> Scene:
    """Two stacked scenes of three frames, evenly lit and without noise, all shapes there."""
    scenes = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        one = draw_scene(sequence([("stir", 3)], 0.6, rng), 0.6, rng)
        shapes = dataclasses.replace(one.shapes, opacity=torch.ones_like(one.shapes.opacity))
        scenes.append(dataclasses.replace(one, shapes=shapes, noise=torch.zeros(()), shading=torch.zeros(2)))
    return stack(scenes)


@pytest.mark.parametrize("kind", range(1, len(LAYOUT_CLASSES)))
def test_a_kind_is_where_its_colours_show(kind: int) -> None:
    drawn = scene()
    view, corner = View(96, 96), drawn.home - 48
    numbers = PAINTED[LAYOUT_CLASSES[kind]]
    pictures = []
    for colour in (0.0, 255.0):
        colours = drawn.shapes.colour.clone()
        colours[:, numbers] = colour
        painted = dataclasses.replace(drawn.shapes, colour=colours, stripe_colour=colours)
        pictures.append(render(dataclasses.replace(drawn, shapes=painted), view, corner).int())
    change = (pictures[1] - pictures[0]).amax(dim=2)
    changed = change > change.amax(dim=(1, 2, 3), keepdim=True) / 2
    found = layout(drawn, view, corner) == kind
    assert found.sum() > 100
    # They may differ along the soft rim alone, where a pixel's neighbours are not all alike.
    differing = found != changed
    most, least = (torch.nn.functional.max_pool2d(sign * found.flatten(0, 1).float(), 3, 1, 1) for sign in (1.0, -1.0))
    rim = (most != -least).reshape(found.shape)
    assert not (differing & ~rim)[..., 1:-1, 1:-1].any()
    assert differing.sum() < 0.1 * found.sum()


def test_a_coarse_layout_samples_the_fine_one() -> None:
    drawn = scene()
    corner = drawn.home - 48
    fine, coarse = layout(drawn, View(96, 288), corner), layout(drawn, View(96, 96), corner)
    torch.testing.assert_close(coarse, fine[..., 1::3, 1::3])  # the middle one of 3x3
