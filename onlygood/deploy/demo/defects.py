"""What goes wrong with the plate of the demo: five kinds of defect, each with its pixel mask.

A defect changes the plate's height, reflectance or cover, with a random severity between "needs a second
look" and "plain". `spoil` shades the plate with and without it and deepens it until the difference inside the
mask can be seen, so that no image is called defective for something invisible.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onlygood.deploy.demo.plate import CHAMFER, HOLES, SIZE, Field, Plate, shade, smooth_noise

# Gray levels: the least mean difference, over the mask, between the defective and the good plate.
VISIBLE = 14.0

_MARGIN = 14.0  # pixels from the picture's border
_REACH = 7  # pixels around a path within which its distance matters
_DEEPEN = 1.35
_ATTEMPTS = 8


@dataclass(frozen=True)
class Damage:
    """A defect's footprint ``(SIZE, SIZE)``, and what it does to a plate at a severity."""

    mask: NDArray[np.bool_]
    apply: Callable[[Plate, float], Plate]


def _spot(rng: np.random.Generator, plate: Plate, room: float) -> tuple[float, float]:
    """A place (column, row) on bare metal, ``room`` pixels from every hole and from the border."""
    low, high = _MARGIN + room, SIZE - 1 - _MARGIN - room
    while True:
        column, row = rng.uniform(low, high, 2)
        x, y = plate.x[int(row), int(column)], plate.y[int(row), int(column)]
        if all(np.hypot(x - hx, y - hy) > radius + CHAMFER + room for hx, hy, radius in HOLES):
            return float(column), float(row)


def _polar(column: float, row: float) -> tuple[Field, Field]:
    """Distance (pixels) and angle (radians) of each pixel from a point."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    dx, dy = columns - np.float32(column), rows - np.float32(row)
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _outline(rng: np.random.Generator, angle: Field, roughness: float) -> Field:
    """Radius of an irregular closed outline around 1, as a function of the angle: a few random harmonics."""
    radius = np.ones_like(angle)
    for order in range(1, 7):
        size = roughness * rng.normal() / order
        radius += np.float32(size) * np.cos(order * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.clip(radius, 0.45, 1.8)


def _wander(
    rng: np.random.Generator, start: tuple[float, float], length: float, bend: float
) -> NDArray[np.float64]:
    """Points ``(N, 2)`` (column, row), 1 pixel apart, of a curve whose curvature drifts, around ``start``."""
    steps = max(8, int(length))
    curvature = np.cumsum(rng.normal(0, 1.6 * bend / np.sqrt(steps), steps)) + rng.normal(0, 0.6 * bend)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(curvature) / steps
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    centered: NDArray[np.float64] = path - path.mean(axis=0) + np.asarray(start)
    return centered


def _from_path(path: NDArray[np.float64]) -> tuple[Field, Field]:
    """Distance of each pixel to a path (far ones are 99), and how far along it (0 to 1) they are nearest."""
    distance = np.full((SIZE, SIZE), 99.0, np.float32)
    along = np.zeros((SIZE, SIZE), np.float32)
    left, top = np.clip(path.min(axis=0).astype(int) - _REACH, 0, SIZE)
    right, bottom = np.clip(path.max(axis=0).astype(int) + _REACH + 1, 0, SIZE)
    box = (slice(top, bottom), slice(left, right))
    rows, columns = np.mgrid[box].astype(np.float32)[..., None]
    points = path.astype(np.float32)
    squared = (columns - points[:, 0]) ** 2 + (rows - points[:, 1]) ** 2
    along[box] = squared.argmin(axis=-1) / (len(path) - 1)
    distance[box] = np.sqrt(squared.min(axis=-1))
    return distance, along


def _scratch(rng: np.random.Generator, plate: Plate) -> Damage:
    """A furrow with raised lips, bent a little, fading at both ends and skipping where the tool bounced."""
    length = rng.uniform(28, 110)
    width = rng.uniform(0.65, 1.0)
    distance, along = _from_path(_wander(rng, _spot(rng, plate, 12), length, bend=0.45))
    pressure = np.sin(np.pi * np.clip(along, 0.02, 0.98)) ** 0.5
    pressure *= np.clip(1 + 0.35 * smooth_noise(rng, 14), 0.35, 1.5)
    profile = -np.exp(-((distance / width) ** 2)) + 0.3 * np.exp(-(((distance - 1.8 * width) / width) ** 2))
    furrow = 0.75 * pressure * profile * (1 - plate.cover)
    bare = pressure * np.exp(-((distance / (1.2 * width)) ** 2))

    def apply(target: Plate, severity: float) -> Plate:
        return replace(
            target,
            height=target.height + severity * furrow,
            albedo=target.albedo * (1 + 0.1 * severity * bare),
        )

    return Damage((distance < 2.2 * width + 0.8) & (plate.cover < 1), apply)


def _dent(rng: np.random.Generator, plate: Plate) -> Damage:
    """A blow's smooth hollow with a pushed-up rim, or a casting pore: small, dark, with a lit far wall."""
    pore = rng.random() < 0.4
    size = rng.uniform(2.6, 5.0) if pore else rng.uniform(6, 13)
    distance, angle = _polar(*_spot(rng, plate, size))
    stretch = 1 + rng.uniform(0.0, 0.35) * np.cos(2 * (angle - rng.uniform(0, np.pi)))
    reach = distance / (size * stretch * _outline(rng, angle, 0.16 if pore else 0.05))
    if pore:
        hollow = -0.55 * size * np.clip(1 - reach**2, 0, 1)
        dark = np.clip((1.0 - reach) * 1.6, 0, 1)
    else:
        bowl = -np.exp(-((1.5 * reach) ** 2)) + 0.22 * np.exp(-(((reach - 1.15) / 0.25) ** 2))
        hollow = 0.16 * size * bowl
        dark = np.zeros_like(reach)

    def apply(target: Plate, severity: float) -> Plate:
        return replace(
            target,
            height=target.height + severity * hollow,
            albedo=target.albedo * (1 - min(0.75, 0.6 * severity) * dark),
            gloss=target.gloss * (1 - min(1.0, severity) * dark),
        )

    return Damage(reach < (1.15 if pore else 1.35), apply)


def _stain(rng: np.random.Generator, plate: Plate) -> Damage:
    """Dried coolant: a cloudy film that dulls the metal, darkest along its drying edge."""
    size = rng.uniform(12, 28)
    distance, angle = _polar(*_spot(rng, plate, size * 0.5))
    reach = distance / (size * _outline(rng, angle, 0.22)) + 0.07 * smooth_noise(rng, 12)
    softness = rng.uniform(1.2, 3.5)
    film = np.clip(0.5 + (1 - reach) * size / (2 * softness), 0, 1)
    edge = np.exp(-(((1 - reach) * size / softness - 1) ** 2))
    cloud = film * np.clip(0.75 + 0.25 * smooth_noise(rng, 16), 0.2, 1.2) + rng.uniform(0.1, 0.5) * edge
    cloud *= 1 - plate.cover

    def apply(target: Plate, severity: float) -> Plate:
        return replace(
            target,
            albedo=target.albedo * (1 - np.clip(0.16 * severity * cloud, 0, 0.7)),
            gloss=target.gloss * (1 - np.clip(0.35 * severity * cloud, 0, 1)),
        )

    return Damage(((film > 0.1) | (edge > 0.4)) & (plate.cover < 1), apply)


def _fibre(rng: np.random.Generator, plate: Plate) -> Damage:
    """A textile fibre or a curled chip lying on the plate, dark or bright, with its shadow beside it."""
    distance, along = _from_path(_wander(rng, _spot(rng, plate, 10), rng.uniform(30, 80), bend=2.8))
    width = rng.uniform(0.7, 1.3)
    drop_x, drop_y = (round(-2.2 * float(side)) for side in plate.light.direction[:2])
    shadow = np.roll(np.clip(width + 1.2 - distance, 0, 1), (drop_y, drop_x), axis=(0, 1)) * (1 - plate.cover)
    body = np.clip(width + 0.5 - distance, 0, 1)
    tone = rng.uniform(0.15, 0.4) if rng.random() < 0.6 else rng.uniform(1.5, 1.8)
    twist = tone * (1 + 0.08 * np.sin(along * rng.uniform(10, 25)))

    def apply(target: Plate, severity: float) -> Plate:
        opacity = np.clip(0.55 * severity, 0, 0.95) * body
        cover = opacity + (1 - opacity) * target.cover
        mixed = opacity * twist + (1 - opacity) * target.cover * target.cover_tone
        return replace(
            target,
            albedo=target.albedo * (1 - min(0.5, 0.22 * severity) * shadow),
            cover=cover,
            cover_tone=np.divide(mixed, cover, out=np.zeros_like(mixed), where=cover > 0),
        )

    return Damage((body > 0) | (shadow > 0.2), apply)


def _chipped_edge(rng: np.random.Generator, plate: Plate) -> Damage:
    """A piece broken out of a hole's rim: a rough, dull, sunken notch that eats into the chamfer."""
    across, down, radius = HOLES[rng.integers(len(HOLES))]
    turn = rng.uniform(0, 2 * np.pi)
    size = rng.uniform(6.0, 11.0) * (1.2 if radius > 20 else 0.9)
    x = plate.x - np.float32(across + (radius + 1.0) * np.cos(turn))
    y = plate.y - np.float32(down + (radius + 1.0) * np.sin(turn))
    reach = np.hypot(x, y) / (size * _outline(rng, np.arctan2(y, x), 0.2))
    broken = np.clip((1.05 - reach) * size / 1.5, 0, 1) * (1 - plate.cover)
    facets = 0.9 * smooth_noise(rng, 4) - 0.35 * size * np.clip(1 - reach, 0, 1)

    def apply(target: Plate, severity: float) -> Plate:
        return replace(
            target,
            height=target.height * (1 - min(0.9, severity) * broken) + severity * broken * facets,
            albedo=target.albedo * (1 - min(0.7, 0.28 * severity) * broken),
            gloss=target.gloss * (1 - min(0.9, 0.6 * severity) * broken),
        )

    return Damage((reach < 1.1) & (plate.cover < 1), apply)


KINDS: dict[str, Callable[[np.random.Generator, Plate], Damage]] = {
    "scratch": _scratch,
    "dent": _dent,
    "stain": _stain,
    "fibre": _fibre,
    "chipped_edge": _chipped_edge,
}


def spoil(rng: np.random.Generator, plate: Plate, kind: str) -> tuple[Field, NDArray[np.bool_]]:
    """The shaded picture ``(SIZE, SIZE)`` of ``plate`` with one defect of ``kind``, and the defect's mask."""
    good = shade(plate)
    damage = KINDS[kind](rng, plate)
    severity = rng.uniform(0.5, 1.4)
    for _ in range(_ATTEMPTS):
        picture = shade(damage.apply(plate, severity))
        if np.abs(picture - good)[damage.mask].mean() >= VISIBLE:
            break
        severity *= _DEEPEN
    return picture, damage.mask
