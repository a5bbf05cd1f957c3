"""Draws scenes, on the CPU or a GPU; a frame depends on its scene and number alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lcdc_extract.synth.scene import SCENE_SIZE, Scene

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class View:
    """A square window of the scene and the pixels it is drawn with. The default is the whole scene, pixel by pixel."""

    side: float = SCENE_SIZE
    """In pixels of the scene."""
    pixels: int = SCENE_SIZE


def render(scene: Scene, view: View | None = None, corner: Tensor | None = None) -> Tensor:
    """Draws N stacked scenes of T frames.

    Args:
        scene: stacked scenes; `noise_seed` etc. lie on the device to draw on.
        view: what part of the scene is seen.
        corner: (N, 2), x and y of the view's top left corner; None: (0, 0).

    Returns:
        (N, T, 3, pixels, pixels) uint8, RGB.
    """
    view = view or View()
    x, y = _camera_grid(scene, view, corner)  # (N, T, H, W), scene coordinates
    image = _background(scene, x, y)  # (N, T, 3, H, W)
    edge = view.pixels / view.side  # pixels drawn per pixel of the scene
    for number in range(scene.shapes.shape[-2]):
        image = _paint(image, scene.shapes[:, number], scene.tracks[:, :, number], (x, y), edge)
    image = _expose(image, scene)
    image = image + scene.noise[:, None, None, None, None] * _noise(scene.noise_seed, view.pixels)
    return image.round_().clamp_(0, 255).to(torch.uint8)


def _camera_grid(scene: Scene, view: View, corner: Tensor | None) -> tuple[Tensor, Tensor]:
    steps = (torch.arange(view.pixels, device=scene.light.device) + 0.5) * (view.side / view.pixels)
    left, top = (0.0, 0.0) if corner is None else (corner[:, 0, None, None, None], corner[:, 1, None, None, None])
    middle = SCENE_SIZE / 2
    x = steps[None, :] + left - middle  # broadcast to (N, 1, 1, W)
    y = steps[:, None] + top - middle  # (N, 1, H, 1)
    shift_x, shift_y, roll, zoom = scene.camera[..., None, None].unbind(2)  # each (N, T, 1, 1)
    cos, sin = torch.cos(roll) / zoom, torch.sin(roll) / zoom
    return cos * x - sin * y + middle + shift_x, sin * x + cos * y + middle + shift_y


def _background(scene: Scene, x: Tensor, y: Tensor) -> Tensor:
    waves = scene.gratings[:, :, :, None, None, None]
    first, second = (
        torch.sin(2 * math.pi * (waves[:, i, 0] * x + waves[:, i, 1] * y) + waves[:, i, 2])
        + 0.6 * torch.sin(2 * math.pi * (waves[:, i + 1, 0] * x + waves[:, i + 1, 1] * y) + waves[:, i + 1, 2])
        for i in (0, 2)
    )
    first, second = (0.5 + 0.3 * wave.unsqueeze(2) for wave in (first, second))
    one, two, three = (scene.colours[:, i, None, :, None, None] for i in range(3))
    return torch.lerp(torch.lerp(one, two, first), three, 0.5 * second)


def _paint(image: Tensor, shape: Tensor, track: Tensor, grid: tuple[Tensor, Tensor], edge: float) -> Tensor:
    """shape (N, 13), track (N, T, 3): a superellipse with stripes that turn with it, its rim one drawn pixel soft."""
    parameters = shape[:, :, None, None, None]
    width, height, exponent = parameters[:, 0], parameters[:, 1], parameters[:, 2]
    centre_x, centre_y, angle = track[..., None, None].unbind(2)
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = grid[0] - centre_x, grid[1] - centre_y
    u, v = cos * x + sin * y, cos * y - sin * x
    level = ((u / width).abs() ** exponent + (v / height).abs() ** exponent + 1e-12) ** (1 / exponent)
    cover = (0.5 + (1 - level) * torch.minimum(width, height) * edge).clamp(0, 1) * parameters[:, 12]
    stripes = 0.5 + 0.5 * torch.sin(2 * math.pi * (parameters[:, 9] * u + parameters[:, 10] * v) + parameters[:, 11])
    one, two = (shape[:, None, i : i + 3, None, None] for i in (3, 6))
    return torch.lerp(image, torch.lerp(one, two, stripes.unsqueeze(2)), cover.unsqueeze(2))


def _expose(image: Tensor, scene: Scene) -> Tensor:
    """Light that is uneven and changes, the camera's colours and contrast."""
    ramp = torch.linspace(-1, 1, image.shape[-1], device=image.device)
    shading = 1 + scene.shading[:, 0, None, None] * ramp + scene.shading[:, 1, None, None] * ramp[:, None]  # (N, H, W)
    gain = scene.light[:, :, None, None] * shading[:, None] * scene.contrast[:, None, None, None]
    return (image - 128) * gain.unsqueeze(2) * scene.tint[:, None, :, None, None] + 128


def _noise(seed: Tensor, pixels: int) -> Tensor:
    """Nearly normal noise (N, T, 3, H, W) from hashed pixel numbers: the same on every device, unlike a generator's."""
    place = torch.arange(3 * pixels * pixels, device=seed.device).reshape(3, pixels, pixels)
    key = (place * 0x9E3779B1 + (seed[..., None, None, None] * 0x85EBCA6B)) & _MASK
    key = ((key ^ (key >> 15)) * 0x2C1B3C6D) & _MASK
    key = ((key ^ (key >> 12)) * 0x297A2D39) & _MASK
    key = key ^ (key >> 15)
    total = (key & 255) + ((key >> 8) & 255) + ((key >> 16) & 255) + (key >> 24)
    return (total - 510).float() / math.sqrt(4 * (256**2 - 1) / 12)


def project(scene: Scene, view: View, corner: Tensor) -> Tensor:
    """Where the centres of the shapes are drawn: (N, T, P, 2), x and y in drawn pixels; the inverse of the camera."""
    middle = SCENE_SIZE / 2
    x, y = (scene.tracks[..., i] - middle - scene.camera[:, :, None, i] for i in (0, 1))
    roll, zoom = scene.camera[:, :, None, 2], scene.camera[:, :, None, 3]
    cos, sin = torch.cos(roll) * zoom, torch.sin(roll) * zoom
    points = torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1) + middle
    return (points - corner[:, None, None]) * (view.pixels / view.side)
