"""Draws scenes, on the CPU or a GPU; a frame depends on its scene and number alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lcdc_extract.synth.scene import SCENE_SIZE, SHAPE_KINDS, Camera, Scene, Shape, map_tensors

_CPU_PIXELS = 2**20
"""A processor draws scenes together up to so many pixels: larger arrays cost it twice the time."""
MID_GREY = 128.0
"""Contrast and light are relative to it."""


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
    corner = torch.zeros_like(scene.home) if corner is None else corner
    num_scenes, num_frames = scene.light.shape
    together = num_scenes
    if corner.device.type == "cpu":
        together = max(1, _CPU_PIXELS // (num_frames * view.pixels**2))
    parts = [slice(start, start + together) for start in range(0, num_scenes, together)]
    return torch.cat([_draw(scene.scenes(part), view, corner[part]) for part in parts])


def _draw(scene: Scene, view: View, corner: Tensor) -> Tensor:
    image = _background(scene, view, corner)  # (N, T, 3, H, W), as everything up to _expose less mid grey
    centres = project(scene, view, corner)
    for number, side in enumerate(_window_sides(scene, view)):
        _paint(image, scene, number, centres[:, :, number], view, side=side)
    return _expose(image, scene).round_().clamp_(0, 255).to(torch.uint8)


def _background(scene: Scene, view: View, corner: Tensor) -> Tensor:
    """Gratings, as products of sines along the columns and along the rows: far fewer sines than pixels."""
    middle = SCENE_SIZE / 2
    steps = (torch.arange(view.pixels, device=corner.device) + 0.5) * (view.side / view.pixels)
    across, down = (corner[:, i, None, None, None, None] + steps - middle for i in (0, 1))  # (N, 1, 1, 1, pixels)
    camera = _camera(scene, 3)
    cos, sin = torch.cos(camera.roll) / camera.zoom, torch.sin(camera.roll) / camera.zoom
    wave = map_tensors(lambda t: t.reshape(-1, 1, 2, 2, 1), scene.gratings)  # two pairs, over (N, T, 2, 2, pixels)
    columns = 2 * math.pi * (wave.along_x * cos + wave.along_y * sin) * across
    rows = (wave.along_y * cos - wave.along_x * sin) * down
    rows = rows + wave.along_x * (middle + camera.shift_x) + wave.along_y * (middle + camera.shift_y)
    rows = 2 * math.pi * rows + wave.phase
    strength = torch.tensor([[0.3], [0.18]], device=corner.device)
    by_row = torch.cat([strength * torch.sin(rows), strength * torch.cos(rows)], dim=3)  # (N, T, 2, 4, H)
    by_column = torch.cat([torch.cos(columns), torch.sin(columns)], dim=3)
    first, second = (0.5 + by_row.transpose(3, 4) @ by_column).unsqueeze(3).unbind(2)  # each (N, T, 1, H, W)
    one, two, three = (scene.colours[:, i, None, :, None, None] - MID_GREY for i in range(3))
    return torch.lerp(one, two, first).lerp_(three, second.mul_(0.5))


def _window_sides(scene: Scene, view: View) -> list[int]:
    """For each shape the side, in drawn pixels, of a window that holds it, soft rim included, in every frame."""
    edge = view.pixels / view.side
    width, height = scene.shapes.half_width, scene.shapes.half_height  # (N, P)
    rim = 1 + 0.5 / (torch.minimum(width, height) * edge)
    reach = torch.hypot(width, height) * rim * edge * scene.camera.zoom.amax(1, keepdim=True)
    return [min(view.pixels, math.ceil(2 * longest) + 2) for longest in reach.amax(0).tolist()]


def _paint(image: Tensor, scene: Scene, number: int, centre: Tensor, view: View, *, side: int) -> None:
    """A superellipse with stripes that turn with it, its rim one drawn pixel soft, over `image`.

    Only a window is painted, `side` pixels wide, around `centre` (N, T, 2), both in drawn pixels.
    """
    shape = _shape(scene, number)
    corner = (centre - side / 2).round().clamp(0, view.pixels - side).long()
    columns, rows = (corner[..., None] + torch.arange(side, device=image.device)).unbind(2)  # (N, T, side)
    u, v = _own_axes(scene, number, (columns + 0.5, rows + 0.5), centre, view)
    power = shape.exponent
    level = ((u / shape.half_width).abs() ** power + (v / shape.half_height).abs() ** power + 1e-12) ** (1 / power)
    rim = torch.minimum(shape.half_width, shape.half_height) * (view.pixels / view.side)
    cover = (0.5 + (1 - level) * rim).clamp(0, 1) * shape.opacity
    wave = shape.stripes
    stripes = 0.5 + 0.5 * torch.sin(2 * math.pi * (wave.along_x * u + wave.along_y * v) + wave.phase)
    paint = torch.lerp(shape.colour - MID_GREY, shape.stripe_colour - MID_GREY, stripes.unsqueeze(2))
    paint = paint.flatten(3)  # (N, T, 3, side^2)
    places = (rows[..., None] * view.pixels + columns[..., None, :]).flatten(2)[:, :, None].expand(paint.shape)
    flat = image.view(*image.shape[:3], -1)
    flat.scatter_(3, places, flat.gather(3, places).lerp_(paint, cover.unsqueeze(2).flatten(3)))


def _expose(image: Tensor, scene: Scene) -> Tensor:
    """Light that is uneven and changes, the camera's colours, contrast and noise."""
    ramp = torch.linspace(-1, 1, image.shape[-1], device=image.device)
    shading = 1 + scene.shading[:, 0, None, None] * ramp + scene.shading[:, 1, None, None] * ramp[:, None]  # (N, H, W)
    gain = (scene.light * scene.contrast[:, None])[:, :, None] * scene.tint[:, None]  # (N, T, 3)
    strength = scene.noise[:, None, None, None, None] / math.sqrt(4 * (256**2 - 1) / 12)
    noise = _noise(scene.noise_seed, image.shape[-1])
    image = image.mul_(shading[:, None, None]).mul_(gain[..., None, None])
    return noise.mul_(strength).add_(MID_GREY - 510 * strength).add_(image)


def _noise(seed: Tensor, pixels: int) -> Tensor:
    """Sums of four bytes (N, T, 3, H, W), nearly normal, mean 510: hashes of pixel numbers, the same everywhere.

    The arithmetic is modulo 2^32, which int32 wraps to; its shifts copy the sign, hence the masks.
    """
    place = torch.arange(3 * pixels * pixels, device=seed.device).reshape(3, pixels, pixels)
    key = _int32(place * 0x9E3779B1) + _int32(seed * 0x85EBCA6B)[..., None, None, None]
    key = _mix(key, 15).mul_(0x2C1B3C6D)
    key = _mix(_mix(key, 12).mul_(0x297A2D39), 15)
    pairs = (key & 0xFF00FF).add_((key >> 8).bitwise_and_(0xFF00FF))
    return (pairs & 0xFFFF).add_(pairs.bitwise_right_shift_(16)).float()


def _mix(key: Tensor, shift: int) -> Tensor:
    return key.bitwise_xor_((key >> shift).bitwise_and_(0xFFFFFFFF >> shift))


def _int32(number: Tensor) -> Tensor:
    return (number & 0xFFFFFFFF).to(torch.int32)


def project(scene: Scene, view: View, corner: Tensor) -> Tensor:
    """Where the centres of the shapes are drawn: (N, T, P, 2), x and y in drawn pixels; the inverse of the camera."""
    middle = SCENE_SIZE / 2
    camera = _camera(scene, 1)
    x, y = scene.tracks.x - middle - camera.shift_x, scene.tracks.y - middle - camera.shift_y
    cos, sin = torch.cos(camera.roll) * camera.zoom, torch.sin(camera.roll) * camera.zoom
    points = torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1) + middle
    return (points - corner[:, None, None]) * (view.pixels / view.side)


def layout(scene: Scene, view: View, corner: Tensor) -> Tensor:
    """What is seen where: (N, T, pixels, pixels) int64, numbers of LAYOUT_CLASSES. Arguments as of `render`."""
    centres = project(scene, view, corner)
    pixels = torch.arange(view.pixels, device=corner.device) + 0.5
    found = torch.zeros(*centres.shape[:2], view.pixels, view.pixels, dtype=torch.int64, device=corner.device)
    for number, kind in enumerate(SHAPE_KINDS):
        shape = _shape(scene, number)
        u, v = _own_axes(scene, number, (pixels, pixels), centres[:, :, number], view)
        level = (u / shape.half_width).abs() ** shape.exponent + (v / shape.half_height).abs() ** shape.exponent
        found = torch.where((level < 1) & (shape.opacity > 0.5), kind, found)
    return found


def _own_axes(
    scene: Scene, number: int, pixels: tuple[Tensor, Tensor], centre: Tensor, view: View
) -> tuple[Tensor, Tensor]:
    """How far pixels are from the centre of shape `number` along its axes, in pixels of the scene: (N, T, H, W) each.

    `pixels`: their places by column (..., W) and by row (..., H); `centre`: (N, T, 2). Both in drawn pixels.
    """
    camera = _camera(scene, 1)
    per_pixel = view.side / view.pixels / camera.zoom
    x, y = ((pixels[i] - centre[..., i, None]) * per_pixel for i in (0, 1))
    angle = scene.tracks.angle[:, :, number, None] - camera.roll
    cos, sin = torch.cos(angle), torch.sin(angle)
    return (cos * x)[..., None, :] + (sin * y)[..., None], (cos * y)[..., None] - (sin * x)[..., None, :]


def _shape(scene: Scene, number: int) -> Shape:
    """Shape `number` of each scene, over (N, T, H, W); its colours over (N, T, 3, H, W)."""
    return map_tensors(lambda t: t[:, number, None, ..., None, None], scene.shapes)


def _camera(scene: Scene, axes: int) -> Camera:
    """With so many axes behind (N, T)."""
    return map_tensors(lambda t: t.reshape(*t.shape, *[1] * axes), scene.camera)
