"""Synthetic defects for training: what the SG network sees is corrupted, what it must rebuild is not.

Generic picture damage, drawn without knowledge of any product or of the renderer's defects. The idea of corrupting a
good picture and asking for the good one back is that of Zavrtanik et al. 2021 (DRAEM) and Li et al. 2021 (CutPaste).
All pictures are float32 [H, W, 3] in 0..255; masks are bool [H, W].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]
Corruption = Callable[[Picture, np.random.Generator, Picture], Picture]

SMALLEST_AREA = 0.0012
LARGEST_AREA = 0.25
CHANGED_LEVELS = 6.0


def _blob(rng: np.random.Generator, shape: tuple[int, int], *, area: float | None = None) -> NDArray[np.float32]:
    """Soft irregular spot, [H, W] in 0..1; area log-uniform unless given."""
    height, width = shape
    if area is None:
        area = float(np.exp(rng.uniform(np.log(SMALLEST_AREA), np.log(LARGEST_AREA))))
    stretch = np.exp(rng.uniform(-0.8, 0.8))
    radius = np.sqrt(area * height * width / np.pi)
    cy, cx = _centre(rng, shape)
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = (np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)) / (radius * stretch)
    v = (-np.sin(angle) * (x - cx) + np.cos(angle) * (y - cy)) / (radius / stretch)
    cells = int(rng.integers(4, 24))
    ragged = _smooth_noise(rng, shape, cells) * rng.uniform(0.0, 0.9)
    edge = rng.uniform(0.6, 3.0) / max(radius, 1.0) if rng.random() < 0.75 else rng.uniform(0.1, 0.9)
    inside = 0.5 + (1.0 - np.sqrt(u * u + v * v) + ragged) / (2 * edge)
    return np.asarray(np.clip(inside, 0.0, 1.0), dtype=np.float32)


def _centre(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[float, float]:
    return float(rng.uniform(0.06, 0.94) * shape[0]), float(rng.uniform(0.06, 0.94) * shape[1])


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Value noise of about unit range, [H, W]."""
    grid = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
    y = np.linspace(1, cells + 1, shape[0], dtype=np.float32)
    x = np.linspace(1, cells + 1, shape[1], dtype=np.float32)
    out = ndimage.map_coordinates(grid, np.meshgrid(y, x, indexing="ij"), order=1)
    return np.asarray(out, dtype=np.float32)


def _mix(picture: Picture, other: Picture, alpha: NDArray[np.float32]) -> Picture:
    return picture + (other - picture) * alpha[..., None]


def foreign_texture(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A spot of another picture, more or less opaque."""
    shift = rng.integers(0, picture.shape[0], 2)
    texture = np.roll(other, shift, (0, 1)) * rng.uniform(0.6, 1.4) + rng.uniform(-30, 30)
    return _mix(picture, texture, _blob(rng, picture.shape[:2]) * rng.uniform(0.35, 1.0))


def spot(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A stain or chip of one colour, sometimes with grain, sometimes with a shadow."""
    shape = picture.shape[:2]
    alpha = _blob(rng, shape)
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.5:
        colour = np.full(3, rng.uniform(0, 255))
    grain = _smooth_noise(rng, shape, int(rng.integers(8, 90)))[..., None] * rng.uniform(0, 40)
    if rng.random() < 0.4:
        offset = rng.integers(-6, 7, 2)
        shadow = ndimage.gaussian_filter(np.roll(alpha, offset, (0, 1)), rng.uniform(1, 4)) * rng.uniform(0.2, 0.6)
        picture = picture * (1.0 - shadow[..., None])
    return _mix(picture, (colour + grain).astype(np.float32), alpha * rng.uniform(0.25, 1.0))


def scratch(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """One to three thin curved lines, bright, dark or with both sides."""
    shape = picture.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        cy, cx = _centre(rng, shape)
        length, angle = rng.uniform(14, 150), rng.uniform(0, 2 * np.pi)
        bend = rng.uniform(-0.5, 0.5)
        s = np.linspace(-0.5, 0.5, int(length * 2))
        py = cy + length * (np.sin(angle) * s + np.cos(angle) * bend * (s * s))
        px = cx + length * (np.cos(angle) * s - np.sin(angle) * bend * (s * s))
        line = np.zeros(shape, np.float32)
        inside = (py >= 0) & (py < shape[0]) & (px >= 0) & (px < shape[1])
        line[py[inside].astype(int), px[inside].astype(int)] = 1.0
        width = rng.uniform(0.5, 2.2)
        line = ndimage.gaussian_filter(line, width)
        line /= max(float(line.max()), 1e-6)
        level = rng.choice([-1.0, 1.0]) * rng.uniform(25, 150)
        picture = picture + (line * level)[..., None]
        if rng.random() < 0.4:
            side = np.roll(line, (int(rng.integers(-2, 3)), int(rng.integers(-2, 3))), (0, 1))
            picture = picture - (side * level * rng.uniform(0.3, 0.9))[..., None]
    return picture


def crack(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A thin ragged line that wanders and thins out, mostly dark, sometimes with a branch."""
    shape = picture.shape[:2]
    line = np.zeros(shape, np.float32)
    y, x = _centre(rng, shape)
    heading, length = rng.uniform(0, 2 * np.pi), rng.uniform(25, 220)
    for share in (1.0, rng.uniform(0.2, 0.6))[: 1 + int(rng.random() < 0.3)]:
        steps = int(length * share)
        turns = heading + np.cumsum(rng.normal(0, 0.05, steps)) + rng.normal(0, 0.5, steps)
        py, px = y + np.cumsum(np.sin(turns)), x + np.cumsum(np.cos(turns))
        inside = (py >= 0) & (py < shape[0]) & (px >= 0) & (px < shape[1])
        depth = np.linspace(1.0, rng.uniform(0.2, 1.0), steps) * rng.uniform(0.7, 1.0, steps)
        line[py[inside].astype(int), px[inside].astype(int)] = depth[inside]
        heading += rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.2)
    line = ndimage.gaussian_filter(line, rng.uniform(0.4, 1.8))
    line /= max(float(line.max()), 1e-6)
    level = rng.choice([-1.0, -1.0, -1.0, 1.0]) * rng.uniform(25, 140)
    return np.asarray(picture + (line * level)[..., None], dtype=np.float32)


def moved_patch(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A piece of the picture pasted elsewhere, turned or mirrored: something where it does not belong."""
    height, width = picture.shape[:2]
    largest = min(70, height // 3, width // 3)
    patch_height = int(np.exp(rng.uniform(np.log(6), np.log(largest))))
    patch_width = int(np.exp(rng.uniform(np.log(6), np.log(largest))))
    y, x = rng.integers(0, height - patch_height), rng.integers(0, width - patch_width)
    patch = picture[y : y + patch_height, x : x + patch_width]
    if rng.random() < 0.5:
        patch = patch[::-1]
    if rng.random() < 0.3:
        patch = np.swapaxes(patch, 0, 1)
    patch_height, patch_width = patch.shape[:2]
    if rng.random() < 0.5:  # near its own place: misplaced rather than foreign
        ty = int(np.clip(y + rng.integers(-20, 21), 0, height - patch_height))
        tx = int(np.clip(x + rng.integers(-20, 21), 0, width - patch_width))
    else:
        ty, tx = int(rng.integers(0, height - patch_height + 1)), int(rng.integers(0, width - patch_width + 1))
    out = picture.copy()
    out[ty : ty + patch_height, tx : tx + patch_width] = patch
    return out


def warp(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A local push, twist or bulge of the surface."""
    height, width = picture.shape[:2]
    cy, cx = _centre(rng, (height, width))
    radius = rng.uniform(8, 45)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    dy, dx = y - cy, x - cx
    weight = np.exp(-(dy * dy + dx * dx) / (2 * (radius / 2) ** 2))
    kind = rng.integers(0, 3)
    if kind == 0:
        push, angle = rng.uniform(3, 0.5 * radius + 3), rng.uniform(0, 2 * np.pi)
        sy, sx = weight * push * np.sin(angle), weight * push * np.cos(angle)
    elif kind == 1:
        twist = weight * rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
        sy, sx = dy * (np.cos(twist) - 1) + dx * np.sin(twist), dx * (np.cos(twist) - 1) - dy * np.sin(twist)
    else:
        swell = weight * rng.choice([-1, 1]) * rng.uniform(0.25, 0.6)
        sy, sx = dy * swell, dx * swell
    at = [y + sy, x + sx]
    moved = [ndimage.map_coordinates(picture[..., c], at, order=1, mode="nearest") for c in range(3)]
    return np.stack(moved, axis=-1).astype(np.float32)


def erased(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A spot filled with what lies around it: something is missing."""
    alpha = _blob(rng, picture.shape[:2], area=float(np.exp(rng.uniform(np.log(0.002), np.log(0.2)))))
    kind = rng.random()
    if kind < 0.45:
        ring = ndimage.binary_dilation(alpha > 0.1, iterations=5) & (alpha < 0.05)
        fill = np.median(picture[ring], axis=0) if ring.any() else picture.mean((0, 1))
        filled = np.broadcast_to(fill.astype(np.float32), picture.shape)
    elif kind < 0.75:
        filled = np.roll(picture, (int(rng.integers(-60, 61)), int(rng.integers(-60, 61))), (0, 1))
    else:
        sigma = rng.uniform(4, 12)
        filled = ndimage.gaussian_filter(picture, (sigma, sigma, 0))
    return _mix(picture, filled, alpha)


def dent(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """Shading of a bump: light on one side, dark on the other."""
    shape = picture.shape[:2]
    height = ndimage.gaussian_filter(_blob(rng, shape), rng.uniform(1.5, 6))
    gy, gx = np.gradient(height)
    angle = rng.uniform(0, 2 * np.pi)
    shade = np.sin(angle) * gy + np.cos(angle) * gx
    shade /= max(float(np.abs(shade).max()), 1e-6)
    out = picture * (1.0 + rng.uniform(0.2, 0.9) * shade[..., None]) + rng.uniform(5, 45) * shade[..., None]
    return np.asarray(out, dtype=np.float32)


def smudge(picture: Picture, rng: np.random.Generator, other: Picture) -> Picture:
    """A spot made darker, brighter, blurred or noisy."""
    alpha = _blob(rng, picture.shape[:2])
    kind = rng.integers(0, 3)
    if kind == 0:
        changed = picture * rng.choice([rng.uniform(0.3, 0.8), rng.uniform(1.25, 1.9)])
    elif kind == 1:
        sigma = rng.uniform(2, 6)
        changed = ndimage.gaussian_filter(picture, (sigma, sigma, 0))
    else:
        changed = picture + rng.normal(0, rng.uniform(15, 50), picture.shape)
    return _mix(picture, changed.astype(np.float32), alpha)


CORRUPTIONS: tuple[Corruption, ...] = (
    foreign_texture,
    spot,
    scratch,
    scratch,
    crack,
    moved_patch,
    warp,
    erased,
    dent,
    smudge,
)


def corrupt(
    picture: NDArray[np.uint8], *, other: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Mask]:
    """Damages a good picture in one to three places; returns it with the mask of changed pixels.

    `other` lends texture. Both [H, W, 3]; the mask is never empty: a draw that changes nothing is drawn again.
    """
    good = picture.astype(np.float32)
    while True:
        out = good
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            out = CORRUPTIONS[int(rng.integers(len(CORRUPTIONS)))](out, rng, other.astype(np.float32))
        result = np.clip(np.rint(out), 0, 255).astype(np.uint8)
        changed = np.abs(result.astype(np.float32) - good).mean(axis=2) > CHANGED_LEVELS
        if changed.mean() > 0.0004:
            return result, changed
