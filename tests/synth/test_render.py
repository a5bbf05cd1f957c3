"""What is drawn: against the plain version, alone and together, and where `project` says."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lcdc_extract.synth.render import View, project, render
from lcdc_extract.synth.scene import Camera, Scene, map_tensors, stack
from tests.synth.plain import draw_frame, hash_noise, small_scene

VIEWS = [View(), View(96, 64), View(130, 112), View(224, 50)]


def change(scene: Scene, **fields: Any) -> Scene:
    return dataclasses.replace(scene, **fields)


def at(values: Tensor, shape: int, value: float | Tensor) -> Tensor:
    """A copy with another value for one shape, the last axis."""
    changed = values.clone()
    changed[..., shape] = value
    return changed


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_against_the_plain_version(view: View) -> None:
    scenes = [small_scene(seed) for seed in (0, 1)]
    corners = torch.stack([scene.home for scene in scenes]) - 0.6 * view.side
    drawn = render(stack([scene.frames(slice(17, 19)) for scene in scenes]), view, corners)
    for scene, corner, video in zip(scenes, corners.tolist(), drawn, strict=True):
        for number, picture in zip((17, 18), video.numpy(), strict=True):
            expected = draw_frame(scene, number, view, (corner[0], corner[1])).round().clip(0, 255)
            difference = np.abs(picture - expected)
            assert difference.mean() < 0.01
            assert difference.max() <= 1


@pytest.mark.parametrize("pixels", [224, 50])
def test_a_frame_is_the_same_alone_and_in_any_company(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [small_scene(seed, scale=scale) for seed, scale in ((2, 0.4), (3, 0.7))]
    together = render(stack([scene.frames(slice(0, 5)) for scene in scenes]), View(pixels=pixels))
    assert together.shape == (2, 5, 3, pixels, pixels)
    assert together.dtype == torch.uint8
    for scene, video in zip(scenes, together, strict=True):
        for part in (slice(0, 1), slice(1, 5)):
            assert torch.equal(render(stack([scene.frames(part)]), View(pixels=pixels))[0], video[part])
    monkeypatch.setattr("lcdc_extract.synth.render._CPU_PIXELS", 1)  # one scene at a time
    assert torch.equal(render(stack([scene.frames(slice(0, 5)) for scene in scenes]), View(pixels=pixels)), together)


def test_noise_is_nearly_normal_and_new_in_every_frame() -> None:
    first, second = (hash_noise(seed, 64) for seed in (1, 2))
    assert abs(first.mean()) < 0.03
    assert first.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03
    neighbours = np.corrcoef(first[:, :, 1:].ravel(), first[:, :, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.03


@pytest.mark.parametrize("shape", range(6))
def test_project_finds_the_centre_of_a_drawn_shape(shape: int) -> None:
    """Two frames that differ by the colour of one shape differ in that shape's place."""
    scene = small_scene(4).frames(slice(3, 4))
    plain = change(scene, noise=torch.zeros(()), shading=torch.zeros(2))
    track = dataclasses.replace(scene.tracks, x=at(scene.tracks.x, shape, 125), y=at(scene.tracks.y, shape, 98))
    plain = change(plain, tracks=track)  # in full view
    alone = (torch.arange(6) == shape).float()
    shapes = [
        dataclasses.replace(plain.shapes, colour=grey, stripe_colour=grey, opacity=alone)
        for grey in (torch.full((6, 3), 64.0), torch.full((6, 3), 192.0))
    ]
    view, corner = View(160, 200), torch.tensor([[40.0, 20.0]])
    one, two = (render(stack([change(plain, shapes=painted)]), view, corner) for painted in shapes)
    weight = (two.double() - one.double()).abs().sum(dim=(0, 1, 2))
    steps = torch.arange(200) + 0.5
    centroid = torch.stack([(weight.sum(0) * steps).sum(), (weight.sum(1) * steps).sum()]) / weight.sum()
    centre = project(stack([plain]), view, corner)[0, 0, shape]
    assert torch.allclose(centroid.float(), centre, atol=0.1)


def test_without_camera_light_and_noise_only_shapes_change() -> None:
    scene = small_scene(5, plan=(0, 1), frames=30)
    zero, one = torch.zeros_like(scene.light), torch.ones_like(scene.light)
    scene = change(scene, camera=Camera(zero, zero, zero, one), light=one, noise=torch.zeros(()))
    none = dataclasses.replace(scene.shapes, opacity=torch.zeros(6))
    empty = render(stack([change(scene, shapes=none)]))[0]
    assert (empty == empty[0]).all()
    still = map_tensors(lambda t: torch.cat([t[:1, :3].expand(60, 3), t[:, 3:]], dim=1), scene.tracks)
    slow = change(scene, tracks=still)
    frames = render(stack([slow]), View(pixels=112))[0]
    assert (frames[:30] == frames[0]).all()  # background: nothing moves
    assert all((before != after).any() for before, after in itertools.pairwise(frames[29:]))


@pytest.mark.gpu
def test_a_gpu_draws_the_same() -> None:
    scene = stack([small_scene(seed).frames(slice(0, 8)) for seed in (6, 7)])
    difference = (render(scene.to(torch.device("cuda"))).cpu().float() - render(scene).float()).abs()
    assert difference.mean() < 0.01
    assert difference.max() <= 1
